"""What the scripts share: how they connect to Kafka, and how they end."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

try:
    # Defer Ctrl-C until all is imported: an interrupted import would print a traceback.
    unmasked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        from kafka import KafkaConsumer, KafkaProducer
        from kafka.errors import KafkaError

        from client.connecting import connect
        from client.in_flight import TOPIC_MISSING, InFlight
        from client.messages import describe
        from client.output import is_closed, notify, notify_interrupted, print_lines, printable
        from client.reader import ConsumerRecord, Reader
        from client.settings import TOPIC
        from client.stopping import stop, stop_on_signals
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, unmasked)
except ImportError as error:
    sys.exit(
        f"kafka-python is missing, too old or shadowed by another module ({error}):"
        f" {sys.executable} -m pip install -r requirements.txt"
    )
except KeyboardInterrupt:
    if sys.stderr:  # else print() would take standard output
        print("Interrupted!", file=sys.stderr)
    sys.exit()

__all__ = [
    "TOPIC",
    "TOPIC_MISSING",
    "ConsumerRecord",
    "InFlight",
    "Reader",
    "connect_kafka_consumer",
    "connect_kafka_producer",
    "notify",
    "print_lines",
    "printable",
    "script",
    "stop",
]

# The consumer's defaults; each can be overridden by its variable KAFKA_<OPTION>.
CONSUMER_OPTIONS: dict[str, object] = {
    # After this time the partitions of a dead consumer are reassigned.
    "session_timeout_ms": 10_000,
    "heartbeat_interval_ms": 1_000,
    # A consumer that cannot print for so long leaves its group. A request to join whose answer is
    # lost is sent again five seconds later than that.
    "max_poll_interval_ms": 30_000,
    # Each batch waits for its commit: with the default of 500 a backlog would wait too often.
    "max_poll_records": 5_000,
    # A fetch that waits for new records in one partition delays the others of that broker.
    "fetch_max_wait_ms": 250,
    "isolation_level": "read_committed",  # no numbers of aborted transactions
}


def connect_kafka_producer() -> KafkaProducer:
    """A producer that is connected to a Kafka that has the topic; waits as long as that takes.

    Raises KeyboardInterrupt if `stop` is set meanwhile, and SystemExit where retrying cannot help.
    """

    def new(**settings: object) -> KafkaProducer:
        return KafkaProducer(
            acks="all",  # acknowledged means: stored by all replicas that are in sync
            enable_idempotence=True,  # a number that is sent again is not stored twice
            delivery_timeout_ms=float("inf"),  # an outage costs no number, however long it lasts
            max_block_ms=500,  # if the topic is missing, send() blocks no longer than this
            **settings,
        )

    return connect(KafkaProducer, new, KafkaProducer.partitions_for)


def connect_kafka_consumer() -> Reader:
    """A reader of the topic that is connected; waits as long as that takes.

    Its group is KAFKA_GROUP_ID, or `consumer_c`; empty stands for no group. Raises
    KeyboardInterrupt if `stop` is set meanwhile, and SystemExit where retrying cannot help.
    """
    group = os.environ.get("KAFKA_GROUP_ID", "consumer_c") or None

    def new(**settings: object) -> KafkaConsumer:
        return KafkaConsumer(
            enable_auto_commit=False,  # an offset is committed after its number was printed
            auto_offset_reset="none",  # the reader decides where to resume
            **settings,
        )

    defaults = CONSUMER_OPTIONS | {"group_id": group}
    reader = Reader(connect(KafkaConsumer, new, KafkaConsumer.partitions_for_topic, defaults))
    name = f'as group "{group}"' if group else "without a group: everything, every time"
    notify(f'Reading topic "{TOPIC}" {name}.')
    return reader


@contextmanager
def script(doing: str) -> Iterator[None]:
    """Run a script: stop signals and errors end the block with one sentence and an exit status.

    Ctrl-C, SIGTERM and SIGHUP set `stop`, on which the block returns by itself; a second Ctrl-C
    ends the process. `doing` says what an error of Kafka stops, as in "Reading". Raises
    SystemExit: with status 1 after an error of Kafka or of the output.
    """
    if is_closed(sys.stdout):
        sys.exit("Standard output is closed, so numbers cannot be printed: open it.")
    with stop.in_use(), stop_on_signals():
        try:
            yield
        except KafkaError as error:
            raise SystemExit(f"{doing} stopped: {describe(error)[0]}.") from None
        except BrokenPipeError:  # whoever read the output has left
            return
        except OSError as error:
            why = error.strerror or error
            raise SystemExit(f"Cannot write to standard output: {why}.") from None
        except KeyboardInterrupt:  # while connecting
            notify_interrupted()
