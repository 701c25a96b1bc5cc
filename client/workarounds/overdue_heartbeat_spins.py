"""A member of a group takes a whole core while its heartbeat gets no answer.

3.0.12: coordinator/heartbeat.py:60 tells poll() to come back at once while a heartbeat is overdue,
and one that is under way is overdue after its interval. The development branch does the same.
To reproduce: drop all packets between a consumer and its broker, and run top.
"""

from kafka.coordinator.consumer import ConsumerCoordinator

original = ConsumerCoordinator.time_to_next_poll


def time_to_next_poll(self):
    """Seconds as before, but 0.05 at least."""
    return max(original(self), 0.05)


ConsumerCoordinator.time_to_next_poll = time_to_next_poll
