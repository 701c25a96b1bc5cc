"""A consumer takes a whole core while other brokers still name a dead one as its coordinator.

3.0.12: coordinator/base.py:341 asks for the coordinator again without a pause until the cluster
has noticed that it is dead. The development branch does the same.
To reproduce: kill the coordinator of a group on a cluster of three brokers, and run top.
"""

import time

from kafka.coordinator.base import BaseCoordinator

PAUSE = 0.2  # seconds

original = BaseCoordinator._send_group_coordinator_request


async def _send_group_coordinator_request(self):
    """As before, but at most once in PAUSE seconds."""
    last = getattr(self, "last_lookup", 0.0)
    await self._net.sleep(max(last + PAUSE - time.monotonic(), 0))
    self.last_lookup = time.monotonic()
    return await original(self)


BaseCoordinator._send_group_coordinator_request = _send_group_coordinator_request
