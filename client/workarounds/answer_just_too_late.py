"""A broker that waits for its replicas is taken for one that is silent: its connection is closed.

3.0.12: producer/sender.py:669 lets the broker wait for request_timeout_ms, and net/connection.py
waits just as long for its answer. The development branch does the same.
To reproduce: stop (SIGSTOP) the broker of a replica, and write with acks="all".
"""

from kafka.producer.sender import Sender

original = Sender._produce_request


def _produce_request(self, node_id, acks, timeout, batches):
    """As before, but the broker has three quarters of the time, and its answer the rest."""
    return original(self, node_id, acks, timeout * 3 // 4, batches)


Sender._produce_request = _produce_request
