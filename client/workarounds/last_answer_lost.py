"""A client does not learn why a broker closed its connection, for example over a wrong password.

3.0.12: net/transport.py:93 drops what was received together with the end of a connection. The
development branch has the same fault, in net/selector.py.
To reproduce: log in with a wrong password; the first error is "socket disconnected".
"""

from kafka.net.transport import KafkaSSLTransport, KafkaTCPTransport


def to_the_end(original):
    """A _sock_recv() that returns the data now, and the end at the next call."""

    def _sock_recv(self):
        data, error = original(self)
        return data, None if data else error

    return _sock_recv


for transport in (KafkaTCPTransport, KafkaSSLTransport):
    transport._sock_recv = to_the_end(transport._sock_recv)
