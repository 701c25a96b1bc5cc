"""A consumer reads nothing any more after a rebalance that outlasted one of its poll() calls.

3.0.12: coordinator/consumer.py:590 does not need a rejoin any more once the metadata look as
before, though the join is still under way: nobody takes its answer. The development branch does
the same.
To reproduce: delete and create the topic while another member of the group is paused (kill -STOP).
"""

from kafka.coordinator.consumer import ConsumerCoordinator

original = ConsumerCoordinator.need_rejoin


def need_rejoin(self):
    """As before, and for as long as a join is under way."""
    return self.rejoining or original(self)


ConsumerCoordinator.need_rejoin = need_rejoin
