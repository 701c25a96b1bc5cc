"""Consumer C: prints each number of the topic "numbers" with its origin, as in "A: 4"."""

from __future__ import annotations

import io
import sys
from functools import lru_cache

from kafka_utils import (
    ConsumerRecord,
    KafkaConsumer,
    KafkaError,
    close_kafka_consumer,
    connect_kafka_consumer,
    describe,
    output_lost,
    poll,
    say,
    show,
    stop_on_signals,
)


def consume() -> None:
    """Print the numbers of the topic until stopped (Ctrl-C, SIGTERM, SIGHUP).

    Raises SystemExit(1) if a number could not be printed, or one that was not committed.
    """
    stop_on_signals()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # for letters that its encoding lacks
    try:
        consumer = connect_kafka_consumer()
    except KeyboardInterrupt:
        return say("Interrupted!")
    status = 0
    try:
        read_messages(consumer)
        say("Interrupted!")
    except KafkaError as error:
        say(f"Reading stopped: {describe(error)[0]}.")
        status = 1
    except OSError as error:
        status = output_lost(error)
    close_kafka_consumer(consumer)
    if status:
        sys.exit(status)


def read_messages(consumer: KafkaConsumer) -> None:
    """Print each number that comes, as a line `key: value`, until stopped; poll() commits it then.

    Raises OSError of the output, and KafkaError where going on is of no use or the last numbers
    could not be committed.
    """
    skipped = 0
    for records in poll(consumer):
        lines = [to_line(record) for record in records]
        show([line for line in lines if line])
        skipped += lines.count("")
    if skipped:
        say(f"{skipped} skipped: not a number.")


def to_line(record: ConsumerRecord) -> str:
    """`key: value` of a number; nothing for any other record, which is named on standard error."""
    value = record.value
    if value is not None and value.removeprefix(b"-").isdigit():
        return f"{origin(record.key)}: {value.decode()}"
    found = "no value" if value is None else printable(value[:40]) or "an empty value"
    say(f"Skipped partition {record.partition}, offset {record.offset}, not a number: {found}")
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
