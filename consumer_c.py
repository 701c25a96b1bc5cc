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
        print_lines([to_line(record) for record in records if is_number(record)])
        skipped += name_others(records)
        consumer.commit()
    if skipped:
        notify(f"{skipped} skipped: not a number.")


def is_number(record: ConsumerRecord) -> bool:
    """Whether the value of a record is a decimal number in ASCII."""
    return record.value is not None and record.value.removeprefix(b"-").isdigit()


def to_line(record: ConsumerRecord) -> str:
    """`key: value` of a number."""
    return f"{'?' if record.key is None else printable(record.key)}: {record.value.decode()}"


def name_others(records: list[ConsumerRecord]) -> int:
    """How many records are no numbers; each is named on standard error."""
    others = [record for record in records if not is_number(record)]
    for record in others:
        value = record.value
        found = "no value" if value is None else printable(value[:40]) or "an empty value"
        place = f"partition {record.partition}, offset {record.offset}"
        notify(f"Skipped {place}, not a number: {found}")
    return len(others)


if __name__ == "__main__":
    consume()
