"""How far a consumer has come: which offsets it delivered, and which are not committed yet.

After a crash nothing of this is left: the group's committed offsets, which Kafka keeps, say where
the next run resumes. Its first join counts as a rebalance, so restore_positions() looks them up.
"""

from collections.abc import Collection
from contextlib import suppress

from kafka import ConsumerRebalanceListener, KafkaConsumer, TopicPartition, errors
from kafka.errors import KafkaError

from client.messages import notify
from client.settings import TOPIC
from client.waiting import Wait

# The group has committed no offset of a partition, or the partition no longer has that offset.
NO_USABLE_OFFSET = (
    errors.NoOffsetForPartitionError,
    errors.OffsetOutOfRangeError,
    errors.LogTruncationError,
)


class Progress(ConsumerRebalanceListener):
    """The next offset of each partition that was read, and the partitions to be committed."""

    def __init__(self, consumer: KafkaConsumer) -> None:
        self.consumer = consumer
        self.next_offset: dict[TopicPartition, int] = {}
        self.uncommitted: set[TopicPartition] = set()
        self.announced: set[TopicPartition] = set()
        self.rebalanced = False
        self.member = not consumer.config["group_id"]  # without a group all partitions are ours
        self.wait = Wait()
        consumer.subscribe([TOPIC], listener=self)

    def on_partitions_revoked(self, revoked: object) -> None:
        """Remember that the group has no place for this consumer until it has joined again."""
        self.member = False

    def on_partitions_assigned(self, assigned: object) -> None:
        """Remember that positions are to be restored: here a call to Kafka would deadlock."""
        self.member = self.rebalanced = True

    def mark_delivered(self, partition: TopicPartition, next_offset: int) -> None:
        """Count all before an offset as delivered, but not yet committed."""
        self.next_offset[partition] = next_offset
        self.uncommitted.add(partition)

    def forget(self, partition: TopicPartition) -> bool:
        """Drop what is known of a partition; whether some of it was uncommitted."""
        self.next_offset.pop(partition, None)
        uncommitted = partition in self.uncommitted
        self.uncommitted.discard(partition)
        return uncommitted

    def restore_positions(self) -> None:
        """After a rebalance, resume each partition at the later of delivered and committed offset.

        Another member may have read on meanwhile, and kafka-python keeps the old position of a
        partition that comes back. Raises KafkaError where Kafka does not say what was committed.
        """
        assigned = self.consumer.assignment()
        for partition in self.next_offset.keys() - assigned:
            if self.forget(partition):
                name = f"Partition {partition.partition}"
                why = "was reassigned before its last commit"
                notify(f"{name} {why}: its last numbers may be printed twice.")
        for partition in assigned:
            committed = self.consumer.committed(partition, timeout_ms=1_000) or 0
            resume_at = max(committed, self.next_offset.get(partition, 0))
            if resume_at:
                self.next_offset[partition] = resume_at
                self.consumer.seek(partition, resume_at)
            if resume_at > committed:
                self.uncommitted.add(partition)
            else:
                self.uncommitted.discard(partition)
        if not assigned:
            notify("Standing by: no partition is assigned to this consumer.")
        self.announced &= assigned
        self.rebalanced = False

    def announce(self, batches: dict[TopicPartition, list]) -> None:
        """Say which partitions are read from now on, and from where."""
        for partition in sorted(self.consumer.assignment() - self.announced):
            start = batches[partition][0].offset if partition in batches else None
            if start is None:
                with suppress(KafkaError):  # not known yet: tried again at the next poll
                    start = self.consumer.position(partition, timeout_ms=100)
            if start is not None and not self.rebalanced:
                notify(f"Reading partition {partition.partition} from offset {start}.")
                self.announced.add(partition)

    def report_wait(self, batches: Collection[TopicPartition]) -> None:
        """Say what keeps the consumer from reading, if that lasts; `batches` have just arrived."""
        assigned = self.consumer.assignment()
        if not self.member:
            self.wait.update("a place in the group", "other members are slow to rejoin")
        elif self.uncommitted:
            self.wait.update("the commit of what was printed")
        elif unknown := assigned if self.rebalanced else assigned - self.announced:
            self.wait.update(f"the offset to start from in partition {numbers(unknown)}")
        elif behind := set(filter(self.is_behind, assigned - set(batches))):
            held = "perhaps an open transaction or a quota holds them back"
            self.wait.update(f"the next records of partition {numbers(behind)}", held)
        else:
            self.wait.update("")

    def is_behind(self, partition: TopicPartition) -> bool:
        """Whether a partition goes on after the last record that was read."""
        end = self.consumer.highwater(partition) or 0
        if end <= self.next_offset.get(partition, 0):
            return False
        position = self.consumer.position(partition, timeout_ms=100)
        return position is not None and end > position

    def recover_offset(self, error: KafkaError) -> None:
        """Resume where an error of NO_USABLE_OFFSET says that there is no position.

        Without a committed offset: after the last record delivered here, or else at the earliest.
        Out of range: at the earliest. After a rebalance restore_positions() decides first.
        """
        if self.rebalanced:
            return
        no_offset = isinstance(error, errors.NoOffsetForPartitionError)
        truncated = isinstance(error, errors.LogTruncationError)
        for partition in list(error.divergent_offsets if truncated else error.args[0]):
            if no_offset and partition in self.next_offset:
                self.consumer.seek(partition, self.next_offset[partition])
                self.uncommitted.add(partition)
                continue
            if not no_offset:
                number = partition.partition
                notify(f"Partition {number}: offset out of range, resuming at the earliest.")
            self.consumer.seek_to_beginning(partition)
            self.forget(partition)


def numbers(partitions: set[TopicPartition]) -> str:
    """The numbers of partitions, for a person."""
    return ", ".join(str(one.partition) for one in sorted(partitions))
