"""A client waits for ever, and silently, for a port that accepts but never answers the handshake.

3.0.12: net/transport.py:418 waits for the socket without a time limit. The development branch has
the same fault, in net/selector.py.
To reproduce: KAFKA_SECURITY_PROTOCOL=SSL with `nc -lk PORT` in the place of the broker.
"""

import ssl
import time

from kafka.net.transport import KafkaSSLTransport

LIMIT = 3  # seconds


async def handshake(self):
    """Shake hands, or raise KafkaTimeoutError."""
    deadline = time.monotonic() + LIMIT
    while True:
        try:
            return self._sock.do_handshake()
        except ssl.SSLWantReadError:
            await self._net.wait_read(self._sock, timeout_at=deadline)
        except ssl.SSLWantWriteError:
            await self._net.wait_write(self._sock, timeout_at=deadline)


KafkaSSLTransport.handshake = handshake
