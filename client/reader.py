"""Reading a topic so that no number is lost: where to resume, what is processed, what is committed.

The group's committed offsets, which Kafka keeps, say where reading resumes after a restart or a
rebalance. Each is committed with the id of the topic, so that the offset of a topic that was
deleted is not taken for one of its namesake.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from kafka import (
    ConsumerRebalanceListener,
    KafkaConsumer,
    OffsetAndMetadata,
    TopicPartition,
    errors,
)
from kafka.errors import KafkaError

from client.connecting import POLL_INTERVAL, close, monitor_of
from client.messages import NAME, is_transient, notify, notify_interrupted
from client.settings import TOPIC
from client.stalls import StallNotice
from client.stopping import stop

ConsumerRecord = Any  # kafka-python has no public name for the class of its records

# The group has committed no offset of a partition, or the partition no longer has that offset.
NO_USABLE_OFFSET = (
    errors.NoOffsetForPartitionError,
    errors.OffsetOutOfRangeError,
    errors.LogTruncationError,
)

# What a commit meets where the group has rebalanced meanwhile: poll() joins it again.
REBALANCED = (errors.CommitFailedError, errors.RebalanceInProgressError)

# What kafka-python raises for a partition that was taken away meanwhile.
UNASSIGNED = (ValueError, KeyError, errors.IllegalStateError)

HELD_BACK = "perhaps an open transaction or a quota holds them back"

TOPIC_ID = "topic id "  # what the metadata of our commits begin with


class Reader(ConsumerRebalanceListener):
    """Polls, and commits what was processed; leaving the `with` block closes the consumer.

    A partition has a place once it is known where to read on: the offset after the last record
    that was processed, or where it was begun.
    """

    def __init__(self, consumer: KafkaConsumer) -> None:
        self.consumer, self.monitor = consumer, monitor_of(consumer)
        self.grouped = bool(consumer.config["group_id"])
        self.joining = self.grouped  # without a group all partitions are ours
        self.places_known = True  # whether each partition that is assigned has a place
        self.topic_id = self.monitor.topic_id()
        self.place: dict[TopicPartition, int] = {}
        self.polled: dict[TopicPartition, int] = {}  # the places after what poll() returned last
        self.flowing: set[TopicPartition] = set()  # of which the last poll() returned records
        self.uncommitted: set[TopicPartition] = set()
        # Partitions whose place counts, whatever is committed: Kafka has lost what was there.
        self.rewound: set[TopicPartition] = set()
        self.stall = StallNotice(self.monitor)
        consumer.subscribe([TOPIC], listener=self)

    def on_partitions_revoked(self, revoked: object) -> None:
        """Remember that this consumer is no member of the group until it has joined again."""
        self.joining = True

    def on_partitions_assigned(self, assigned: object) -> None:
        """Remember that places are to be found: a call to Kafka would deadlock here."""
        self.joining = self.places_known = False

    def poll(self) -> list[ConsumerRecord]:
        """The next records, often none; the next commit() or poll() counts them as processed.

        Waits for them at most POLL_INTERVAL seconds. Raises KafkaError that retrying cannot fix.
        """
        try:
            return self.next_records()
        except NO_USABLE_OFFSET as error:
            self.recover(error)
        except KafkaError as error:
            if not is_transient(error):
                raise
            self.stall.update(*self.awaiting())
            stop.wait(POLL_INTERVAL)
        return []

    def next_records(self) -> list[ConsumerRecord]:
        """The next records; raises whatever kafka-python raises."""
        self.notice_new_topic()
        if not self.places_known:
            self.find_places()
        self.commit()
        if self.uncommitted or not self.places_known:
            # Only what one poll() returned may be delivered a second time.
            self.consumer.pause(*self.consumer.assignment())
        else:
            self.consumer.resume(*self.consumer.paused())
        self.stall.update(*self.awaiting() or self.held_back())
        batches = self.consumer.poll(timeout_ms=int(POLL_INTERVAL * 1000))
        self.notice_new_topic()
        if not self.places_known:  # these records may be others': find_places() goes back
            return []
        self.polled = {one: records[-1].offset + 1 for one, records in batches.items()}
        self.flowing = set(batches)
        return [record for records in batches.values() for record in records]

    def commit(self) -> None:
        """Count what poll() returned as processed, and commit that.

        What cannot be committed now is committed later. Takes at most 2 seconds, or 0.5 once
        `stop` is set. Raises KafkaError that retrying cannot fix.
        """
        self.place |= self.polled
        if self.grouped:
            self.uncommitted |= self.polled.keys()
        self.polled = {}
        if not self.uncommitted or not self.places_known:  # another member may have read on
            return
        metadata = f"{TOPIC_ID}{self.topic_id}" if self.topic_id else ""
        offsets = {
            one: OffsetAndMetadata(self.place[one], metadata, -1) for one in self.uncommitted
        }
        try:
            self.consumer.commit(offsets, timeout_ms=500 if stop.is_set() else 2_000)
        except KafkaError as error:
            if is_transient(error) or isinstance(error, REBALANCED):
                return
            raise
        self.uncommitted.clear()
        self.rewound.clear()

    def find_places(self) -> None:
        """Give each assigned partition a place: the later of the committed and our own, if any.

        Another member may have read on meanwhile, and kafka-python keeps the old position of a
        partition that comes back. Where Kafka does not answer, the next poll() tries again: this
        one goes on, since only who polls can join the group again and lose a partition that is
        gone.
        """
        self.places_known = True  # unless a rebalance says otherwise meanwhile
        try:
            assigned = self.consumer.assignment()
            for partition in (self.place.keys() | self.rewound) - assigned:
                self.forget(partition)
            new = assigned - self.place.keys()
            for partition in assigned:
                self.find_place(partition)
            self.announce(assigned, new)
        except (KafkaError, *UNASSIGNED) as error:
            self.places_known = False
            if not isinstance(error, UNASSIGNED) and not is_transient(error):
                raise

    def find_place(self, partition: TopicPartition) -> None:
        """Find out where to read on in a partition, and seek that."""
        own, committed = self.place.get(partition), self.committed(partition)
        unsure = self.grouped and self.topic_id is None and partition not in self.uncommitted
        if committed is None and unsure:  # perhaps the place in a topic that was deleted
            own = None
        place = own
        if committed is not None and partition not in self.rewound:
            place = max(committed, own or 0)
        if place is None:
            place = self.consumer.beginning_offsets([partition], timeout_ms=1_000)[partition]
            own = place if partition in self.rewound else None
            self.consumer.seek(partition, place)
        elif own is None or not self.is_at(partition, place):
            # Only if need be: after seek() kafka-python does not notice that a log was truncated.
            self.consumer.seek(partition, place)
        self.place[partition] = place
        if self.grouped and own == place != committed:
            self.uncommitted.add(partition)
        else:
            self.uncommitted.discard(partition)

    def is_at(self, partition: TopicPartition, place: int) -> bool:
        """Whether kafka-python reads on at a place by itself."""
        with suppress(errors.NoOffsetForPartitionError):  # of this one, or of another
            return self.consumer.position(partition, timeout_ms=100) == place
        return False

    def committed(self, partition: TopicPartition) -> int | None:
        """The offset that the group has committed in this topic, if any."""
        if not self.grouped:
            return None
        found = self.consumer.committed(partition, metadata=True, timeout_ms=1_000)
        if found is None:
            return None
        # Offsets that another program has committed count as they are.
        known = self.topic_id is not None and (found.metadata or "").startswith(TOPIC_ID)
        of_another = known and found.metadata != f"{TOPIC_ID}{self.topic_id}"
        return None if of_another else found.offset

    def forget(self, partition: TopicPartition) -> None:
        """Drop what is known of a partition that is assigned to another member now."""
        self.place.pop(partition, None)
        self.rewound.discard(partition)
        if partition in self.uncommitted:
            self.uncommitted.remove(partition)
            name = f"Partition {partition.partition}"
            why = "was reassigned before its last commit"
            notify(f"{name} {why}: its last numbers may be printed twice.")

    def notice_new_topic(self) -> None:
        """Forget all places if the topic was deleted and created again."""
        present = self.monitor.topic_id()
        if present is None or present == self.topic_id:
            return
        if self.topic_id is not None:
            notify(f"Topic {NAME} was deleted and created again: reading the new one.")
            for known in (self.place, self.polled, self.uncommitted, self.rewound):
                known.clear()
            self.places_known = False
        self.topic_id = present

    def recover(self, error: KafkaError) -> None:
        """Choose another place where an error of NO_USABLE_OFFSET says that there is none.

        Where Kafka has lost the end of a log: where it diverges from what was read. Out of range:
        at the earliest offset. After a rebalance find_places() decides first.
        """
        if isinstance(error, errors.LogTruncationError):
            for partition, divergent in error.divergent_offsets.items():
                offset = divergent.offset if divergent else None
                self.rewind(partition, offset, "Kafka has lost the end of its log")
        elif self.places_known and isinstance(error, errors.OffsetOutOfRangeError):
            for partition in error.args[0]:
                self.rewind(partition, None, "offset out of range")
        elif not self.grouped and self.topic_id is None:  # perhaps a topic that was created again
            for partition in error.args[0]:
                self.place.pop(partition, None)
        self.places_known = False

    def rewind(self, partition: TopicPartition, offset: int | None, why: str) -> None:
        """Resume a partition at an offset that is no later than its place, or at the earliest."""
        own = self.place.pop(partition, None)
        if offset is not None:
            self.place[partition] = offset if own is None else min(offset, own)
        self.rewound.add(partition)
        where = "at the earliest" if offset is None else f"at offset {self.place[partition]}"
        notify(f"Partition {partition.partition}: {why}, resuming {where}.")

    def announce(self, assigned: set[TopicPartition], new: set[TopicPartition]) -> None:
        """Say which partitions are read from now on, and from where."""
        if not assigned:
            notify("Standing by: no partition is assigned to this consumer.")
        elif len(new) > 10:
            notify(f"Reading {len(new)} partitions.")
        else:
            for one in sorted(new):
                notify(f"Reading partition {one.partition} from offset {self.place[one]}.")

    def awaiting(self) -> tuple[str, ...]:
        """What keeps the consumer from polling for records, with the likely reason; often none."""
        if self.joining:
            return "to join the group", "other members are slow to rejoin"
        if self.uncommitted:
            return ("for the commit of what was printed",)
        return () if self.places_known else ("for the offset to start from",)

    def held_back(self) -> tuple[str, ...]:
        """Which partitions go on after what was read, although poll() returned none of them."""
        numbers = []
        for partition in self.consumer.assignment() - self.flowing:
            with suppress(*UNASSIGNED):
                end = self.consumer.highwater(partition) or 0
                if end > self.place.get(partition, 0):
                    # Beyond the place there may be no numbers, but the marks of transactions.
                    position = self.consumer.position(partition, timeout_ms=100)
                    if position is not None and end > position:
                        numbers.append(partition.partition)
        names = ", ".join(map(str, sorted(numbers)))
        return (f"for the next records of partition {names}", HELD_BACK) if names else ()

    def close(self) -> None:
        """Commit what was processed, and leave the group, if that can be done within a second."""
        try:
            self.commit()
        finally:
            close(self.consumer)

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        notify_interrupted()
        if error:
            self.polled = {}  # was not processed
            with suppress(KafkaError):
                self.close()
            return
        self.close()
        if self.uncommitted:
            raise SystemExit("The last numbers could not be committed and will be redelivered.")
