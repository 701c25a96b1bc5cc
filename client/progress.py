"""What a consumer says of its progress: where it begins to read, and what it waits for."""

from collections.abc import Iterable, Mapping
from contextlib import suppress

from kafka import KafkaConsumer, TopicPartition, errors

from client.output import notify
from client.partition import Partition

MANY = 10  # partitions: more are not named one by one

# What kafka-python raises for a partition that was taken away meanwhile.
UNASSIGNED = (ValueError, KeyError, errors.IllegalStateError)

HELD_BACK = "perhaps an open transaction or a quota holds them back"


def announce(partitions: Mapping[TopicPartition, Partition]) -> None:
    """Say which partitions are read from now on, and from where."""
    new = {one.partition: known for one, known in partitions.items() if not known.announced}
    if not partitions:
        notify("Standing by: no partition is assigned to this consumer.")
    elif len(new) > MANY:
        notify(f"Reading {len(new)} partitions.")
    for number, known in sorted(new.items()):
        known.announced = True
        if len(new) <= MANY and known.place:
            notify(f"Reading partition {number} from offset {known.place.offset}.")


def held_back(
    consumer: KafkaConsumer,
    partitions: Mapping[TopicPartition, Partition],
    flowing: Iterable[TopicPartition],
) -> tuple[str, ...]:
    """Which partitions go on after what was read, although poll() returned none of them.

    Names the first ones. Beyond a place there may be no numbers, but the marks of transactions:
    then the position is asked for once, since that takes time.
    """
    numbers: list[int] = []
    for one in sorted(partitions.keys() - flowing):
        with suppress(*UNASSIGNED):
            end, known = consumer.highwater(one) or 0, partitions[one]
            if known.place and end > max(known.place.offset, known.position):
                known.position = consumer.position(one, timeout_ms=100) or 0
                if end > known.position > 0:
                    numbers.append(one.partition)
        if len(numbers) == MANY:
            break
    names = ", ".join(map(str, numbers))
    return (f"for the next records of partition {names}", HELD_BACK) if names else ()
