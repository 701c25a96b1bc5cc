"""A producer gives up for good over an error that would pass.

3.0.12: producer/transaction_manager.py:857 sends its first request again after a lost connection
only, and producer/sender.py gives up a batch over an answer that is not Kafka's. With either, all
numbers are lost. The development branch does the same.
To reproduce: drop all packets from a producer's first request on, for longer than
request_timeout_ms.
"""

from kafka.errors import (
    KafkaConnectionError,
    KafkaProtocolError,
    RetriableError,
    SaslAuthenticationFailedError,
)
from kafka.future import Future
from kafka.net.compat import KafkaNetClient

# A login that is refused under way is one whose password is being rotated.
TRANSIENT = (RetriableError, KafkaProtocolError, SaslAuthenticationFailedError)

original = KafkaNetClient.send


def send(self, node_id, request, **options):
    """As before, but every transient error is reported as a lost connection."""
    answer = Future()

    def fail(error):
        transient = isinstance(error, TRANSIENT)
        answer.failure(KafkaConnectionError(str(error)) if transient else error)

    sent = original(self, node_id, request, **options)
    sent.add_callback(answer.success).add_errback(fail)
    return answer


KafkaNetClient.send = send
