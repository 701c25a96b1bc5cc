"""A producer takes more than half a core while a partition has no leader.

3.0.12: producer/sender.py:200 requests new metadata at each look, and cluster.py:421 wakes up the
loop that waits before it may ask again. The development branch has the same fault.
To reproduce: kill the only replica of a partition under a producer, on a cluster of several
brokers.
"""

from kafka.cluster import ClusterMetadata

original = ClusterMetadata.request_update


def request_update(self):
    """As before, but not again while an update is pending."""
    requested = self._future
    if requested and not requested.is_done and self.need_update:
        return requested
    return original(self)


ClusterMetadata.request_update = request_update
