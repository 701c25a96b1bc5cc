"""Clients try the former addresses for ever when all brokers come back at other ones.

3.0.12: net/manager.py:321 chooses among the brokers that it was told of last, and never goes back
to bootstrap_servers, as Java's clients do (KIP-899). The development branch does the same.
To reproduce: connect through a proxy, stop the broker, start it again on another port, and let the
proxy forward to that.
"""

import random

from kafka.net.manager import KafkaConnectionManager

original = KafkaConnectionManager.least_loaded_node


def least_loaded_node(self):
    """As before, but while none of those brokers is connected the bootstrap servers are tried, too.

    One of these may be connected, but for a coordinator, or it named no broker yet.
    """
    brokers = self.cluster.brokers()
    connected = {connection.node_id for connection in self.least_used_connections()}
    if not self.bootstrapped or any(node.node_id in connected for node in brokers):
        return original(self)
    nodes = (*brokers, *self.cluster.bootstrap_brokers())
    ready = [node.node_id for node in nodes if not self.connection_delay(node.node_id)]
    return random.choice(ready) if ready else None


KafkaConnectionManager.least_loaded_node = least_loaded_node
