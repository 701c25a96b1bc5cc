"""A client notices only after 10 to 30 seconds that nothing answers its attempt to connect.

3.0.12: net/manager.py:32 knows these limits, but no client has them as options. Fixed on the
development branch.
To reproduce: drop all packets to the broker, start a producer, and wait for the first sentence.
"""

from kafka.net.manager import KafkaConnectionManager

KafkaConnectionManager.DEFAULT_CONFIG |= {
    "socket_connection_setup_timeout_ms": 3_000,
    "socket_connection_setup_timeout_max_ms": 3_000,
}
