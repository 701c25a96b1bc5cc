"""A client reconnects hundreds of times a second to a port that accepts and closes.

3.0.12: net/manager.py:262 resets the back-off after initialize(), which has swallowed its error.
The development branch has the same fault.
To reproduce: put a listener that closes each connection at once in the place of the broker, and run
top.
"""

from kafka.net.manager import KafkaConnectionManager

STABLE_AFTER = 1  # second: some brokers close only after the first answer

original = KafkaConnectionManager._connect


async def _connect(self, node, conn, reset_backoff_on_connect=True, timeout_at=None):
    """As before, but only a connection that lasts resets the back-off; a lost one increases it."""
    conn.close_future.add_errback(lambda _: self.update_backoff(node.node_id))
    await original(self, node, conn, reset_backoff_on_connect=False, timeout_at=timeout_at)

    def made() -> None:
        if conn.connected:
            self.reset_backoff(node.node_id)

    self._net.call_later(STABLE_AFTER, made)


KafkaConnectionManager._connect = _connect
