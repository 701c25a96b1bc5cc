"""Consumer C: prints each number of the topic "numbers" with its origin, as in "A: 4"."""

import signal

signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # Ctrl-C waits until all is imported

from kafka_utils import (
    ConsumerRecord,
    KafkaConsumer,
    KafkaError,
    Progress,
    close_kafka_consumer,
    commit,
    connect_kafka_consumer,
    describe,
    end_without_output,
    notify,
    poll,
    print_lines,
    printable,
    stop,
    stop_on_signals,
)


def consume() -> None:
    """Print the numbers of the topic until stopped (Ctrl-C, SIGTERM, SIGHUP).

    Exits with status 1 over an error of Kafka or of the output, or if the last numbers could not be
    committed; with 0 if the reader of the output went away.
    """
    stop_on_signals()
    try:
        consumer = connect_kafka_consumer()
    except KeyboardInterrupt:
        return notify("Interrupted!")
    try:
        read_messages(consumer)
        notify("Interrupted!")
    except KafkaError as error:
        raise SystemExit(f"Reading stopped: {describe(error)[0]}.") from None
    except OSError as error:
        end_without_output(error)
    finally:
        close_kafka_consumer(consumer)


def read_messages(consumer: KafkaConsumer) -> None:
    """Poll for records, print those that are numbers, then commit, until stopped.

    If it is killed after printing and before committing, the next run prints those numbers again:
    none is lost. Raises OSError of the output, and KafkaError that retrying cannot fix.
    """
    progress, skipped = Progress(consumer), 0
    while not stop.is_set():
        for partition, records in poll(consumer, progress).items():
            lines = [to_line(record) for record in records]
            print_lines([line for line in lines if line])
            progress.mark_delivered(partition, next_offset=records[-1].offset + 1)
            commit(consumer, progress)
            skipped += lines.count("")
    if skipped:
        notify(f"{skipped} skipped: not a number.")
    commit(consumer, progress)
    if progress.uncommitted:
        raise SystemExit("The last numbers could not be committed and will be redelivered.")


def to_line(record: ConsumerRecord) -> str:
    """`key: value` of a number; empty for any other record, which is named on standard error."""
    value = record.value
    if value is not None and value.removeprefix(b"-").isdigit():
        return f"{'?' if record.key is None else printable(record.key)}: {value.decode()}"
    found = "no value" if value is None else printable(value[:40]) or "an empty value"
    notify(f"Skipped partition {record.partition}, offset {record.offset}, not a number: {found}")
    return ""


if __name__ == "__main__":
    consume()
