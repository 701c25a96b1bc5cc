"""Consumer C: prints each number of the topic "numbers" with its origin, as in "A: 4"."""

from __future__ import annotations

import signal

signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # Ctrl-C waits until all is imported

import io
import sys
from functools import lru_cache

from kafka_utils import (
    ConsumerRecord,
    KafkaConsumer,
    KafkaError,
    KafkaTimeoutError,
    Progress,
    close_kafka_consumer,
    commit,
    connect_kafka_consumer,
    describe,
    notify,
    output_lost,
    poll,
    print_lines,
    stop,
    stop_on_signals,
)


def consume() -> None:
    """Print the numbers of the topic until stopped (Ctrl-C, SIGTERM, SIGHUP).

    Raises SystemExit(1) if a number could not be printed, or one that was could not be committed.
    """
    stop_on_signals()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # for letters that its encoding lacks
    try:
        consumer = connect_kafka_consumer()
    except KeyboardInterrupt:
        return notify("Interrupted!")
    status = 0
    try:
        read_messages(consumer)
        notify("Interrupted!")
    except KafkaError as error:
        notify(f"Reading stopped: {describe(error)[0]}.")
        status = 1
    except OSError as error:
        status = output_lost(error)
    close_kafka_consumer(consumer)
    if status:
        sys.exit(status)


def read_messages(consumer: KafkaConsumer) -> None:
    """Poll for records, print those that are numbers, then commit, until stopped.

    A consumer that dies in between prints the last numbers again, rather than never. Raises OSError
    of the output, and KafkaError where waiting cannot help.
    """
    progress, skipped = Progress(consumer), 0
    while not stop.is_set():
        for partition, records in poll(consumer, progress).items():
            lines = [to_line(record) for record in records]
            print_lines([line for line in lines if line])
            progress.delivered(partition, next_offset=records[-1].offset + 1)
            commit(consumer, progress)
            skipped += lines.count("")
    if skipped:
        notify(f"{skipped} skipped: not a number.")
    commit(consumer, progress)
    if progress.uncommitted:
        raise KafkaTimeoutError("the last numbers could not be committed and will be redelivered")


def to_line(record: ConsumerRecord) -> str:
    """`key: value` of a number; empty for any other record, which is named on standard error."""
    value = record.value
    if value is not None and value.removeprefix(b"-").isdigit():
        return f"{origin(record.key)}: {value.decode()}"
    found = "no value" if value is None else printable(value[:40]) or "an empty value"
    notify(f"Skipped partition {record.partition}, offset {record.offset}, not a number: {found}")
    return ""


@lru_cache(maxsize=16)
def origin(key: bytes | None) -> str:
    """A key as text on one line, `?` where there is none."""
    return "?" if key is None else printable(key)


def printable(raw: bytes) -> str:
    """UTF-8 as text that cannot break the line or the terminal: the rest as escapes."""
    text = raw.decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


if __name__ == "__main__":
    consume()
