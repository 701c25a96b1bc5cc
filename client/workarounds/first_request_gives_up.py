"""A producer gives up for good where its first request gets no answer in time.

3.0.12: producer/transaction_manager.py:857 tries InitProducerId again after a lost connection only;
any other error is fatal, and with it all numbers are lost. The development branch does the same.
See it: drop all packets from a producer's first request on, for longer than request_timeout_ms.
"""

from kafka.errors import KafkaConnectionError, KafkaProtocolError, RetriableError
from kafka.producer.transaction_manager import TxnRequestHandler

original = TxnRequestHandler.on_complete


def on_complete(self, correlation_id, response):
    """As before, with every transient error as a lost connection."""
    if isinstance(response, (RetriableError, KafkaProtocolError)):
        response = KafkaConnectionError(str(response))
    original(self, correlation_id, response)


TxnRequestHandler.on_complete = on_complete
