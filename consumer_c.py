"""Consumer C: prints each number of the topic "numbers" with its origin, as in "A: 4"."""

from kafka_utils import (
    ConsumerRecord,
    Reader,
    connect_kafka_consumer,
    notify,
    print_lines,
    printable,
    script,
    stop,
)


def consume() -> None:
    """Print the numbers of the topic until stopped (Ctrl-C, SIGTERM, SIGHUP).

    Raises SystemExit: with status 1 after an error of Kafka or of the output, or if the last
    numbers could not be committed.
    """
    with script("Reading"), connect_kafka_consumer() as consumer:
        read_messages(consumer)


def read_messages(consumer: Reader) -> None:
    """Poll for records, print those that are numbers, then commit, until stopped.

    If it is killed after printing and before committing, the next run prints those numbers again:
    none is lost. Raises OSError if writing fails, and KafkaError that retrying cannot fix.
    """
    skipped = 0
    while not stop.is_set():
        records = consumer.poll()
        lines = [to_line(record) for record in records]
        print_lines([line for line in lines if line])
        skipped += name_others(records, lines)
        consumer.commit()
    if skipped:
        notify(f"{skipped} skipped: not a number.")


def to_line(record: ConsumerRecord) -> str:
    """`key: value` of a number, a decimal one in ASCII; empty for any other record."""
    value = record.value
    if value is None or not value.removeprefix(b"-").isdigit():
        return ""
    return f"{'?' if record.key is None else printable(record.key)}: {value.decode()}"


def name_others(records: list[ConsumerRecord], lines: list[str]) -> int:
    """How many records have no line; each is named on standard error."""
    if all(lines):
        return 0
    others = [record for record, line in zip(records, lines, strict=True) if not line]
    for record in others:
        value = record.value
        found = "no value" if value is None else printable(value[:40]) or "an empty value"
        place = f"partition {record.partition}, offset {record.offset}"
        notify(f"Skipped {place}, not a number: {found}")
    return len(others)


if __name__ == "__main__":
    consume()
