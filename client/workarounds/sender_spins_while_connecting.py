"""A producer takes a whole core while its broker is paused, or a connection is being made.

3.0.12: producer/sender.py:207 takes the delay of connection_delay(), which is in seconds, for
milliseconds, and it is zero while connecting. The development branch has the same fault.
To reproduce: pause a broker (kill -STOP) under a producer with an unacknowledged number, and run
top.
"""

from kafka.net.compat import KafkaNetClient

original = KafkaNetClient.connection_delay


def connection_delay(self, node_id):
    """Milliseconds, and 50 at least; a group's coordinator counts as dead unless this is zero."""
    delay = original(self, node_id)
    return delay if "coordinator" in str(node_id) else max(delay * 1000, 50)


KafkaNetClient.connection_delay = connection_delay
