"""Clients never go on where Kafka names a leader that has just died, without its address.

3.0.12: net/manager.py:281 raises UnknownBrokerIdError, which net/compat.py does not expect: a
producer spins and never asks again who leads (producer/sender.py:208), a consumer reads nothing
more from that broker (consumer/fetcher.py:282). Partly fixed on the development branch.
To reproduce: a proxy that gives the broker another number wherever Kafka names it, without its
address.
"""

from kafka.errors import NodeNotReadyError, UnknownBrokerIdError
from kafka.net.manager import KafkaConnectionManager

original = KafkaConnectionManager.get_connection


def get_connection(self, node_id, **options):
    """As before, but a broker without an address is not ready, and the metadata are asked for."""
    try:
        return original(self, node_id, **options)
    except UnknownBrokerIdError:
        self.cluster.request_update()
        raise NodeNotReadyError(node_id) from None


KafkaConnectionManager.get_connection = get_connection
