"""A producer that is closed with unacknowledged numbers stays open: its program hangs at exit.

3.0.12: producer/kafka.py:695 flushes first and raises before anything is closed; __del__() does the
same again, sometimes with a traceback. The development branch has the same fault.
To reproduce: stop the broker, send(), close(timeout=1), and end the program.
"""

from kafka import KafkaProducer
from kafka.errors import KafkaTimeoutError

original = KafkaProducer.close


def close(self, timeout=None, null_logger=False):
    """As before, but what is not acknowledged in time is given up."""
    try:
        original(self, timeout, null_logger)
    except KafkaTimeoutError:
        self._sender.force_close()
        original(self, timeout, null_logger)


KafkaProducer.close = close
