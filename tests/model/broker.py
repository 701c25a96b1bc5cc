"""A small model of Kafka: one topic, and the committed offsets and the members of one group."""

from typing import NamedTuple
from uuid import UUID

from kafka import OffsetAndMetadata

from client.places import METADATA, Place
from client.settings import TOPIC


class Record(NamedTuple):
    """What is stored; `value` is different for each record that ever was."""

    partition: int
    offset: int
    leader_epoch: int
    value: int
    topic: str = TOPIC

    @property
    def timestamp(self) -> int:
        """When it was written: each later than all before, whatever has become of them."""
        return self.value


class Partition:
    """The log of one partition, and at which offset each leader epoch began."""

    def __init__(self, number: int) -> None:
        self.number, self.start, self.lost_until = number, 0, 0
        self.records: list[Record] = []
        self.epochs = [(0, 0)]

    @property
    def end(self) -> int:
        """The offset of the next record."""
        return self.start + len(self.records)

    @property
    def epoch(self) -> int:
        """The epoch of the present leader."""
        return self.epochs[-1][0]

    def read(self, offset: int, count: int) -> list[Record]:
        """At most `count` records from an offset on."""
        return self.records[offset - self.start :][:count]

    def retain(self, start: int) -> None:
        """Delete what is older than an offset."""
        del self.records[: start - self.start]
        self.start = start

    def elect(self, end: int, keeps_epoch: bool = False) -> None:
        """A new leader, whose log ends at an offset: what came after it is lost.

        With ZooKeeper, one that was restarted quickly leads in the same epoch as before.
        """
        epoch = self.epoch + (not keeps_epoch)
        if keeps_epoch:
            self.lost_until = max(self.end, self.lost_until)
        del self.records[end - self.start :]
        known = [entry for entry in self.epochs if entry[1] < end]
        self.epochs = known if known and known[-1][0] == epoch else [*known, (epoch, end)]

    def end_of(self, epoch: int) -> tuple[int, int] | None:
        """The last epoch up to the given one, and where it ended; None if that is not known."""
        if epoch == self.epoch:
            return epoch, self.end
        ends = [start for later, start in self.epochs if later > epoch]
        known = [earlier for earlier, _ in self.epochs if earlier <= epoch]
        return (max(known, default=epoch), ends[0]) if ends else None


class Broker:
    """The topic, and the group that the reader and perhaps two others are members of."""

    def __init__(self) -> None:
        self.topics = self.stored = self.generation = 0  # how many there ever were
        self.topic_id: UUID | None = None
        self.partitions: list[Partition] = []
        self.committed: dict[int, OffsetAndMetadata] = {}
        self.others = 0
        self.ours: set[int] = set()  # the partitions of the reader
        self.member = False  # whether the group knows the reader
        self.rebalancing = False  # whether the others wait for it to join again
        self.polls_unaware = self.polls_to_join = 0  # of the reader

    def create(self, partitions: int) -> None:
        """A new topic of the same name."""
        self.topics += 1
        self.topic_id = UUID(int=self.topics)
        self.partitions = [Partition(number) for number in range(partitions)]

    def delete(self, forget: bool) -> None:
        """Delete the topic, and its committed offsets unless their coordinator is away just then.

        Those without a mark always go: no reader could tell that they are of a deleted topic.
        """
        self.topic_id, self.partitions = None, []
        kept = {} if forget else self.committed
        self.committed = {number: one for number, one in kept.items() if one.metadata}

    def add_partition(self) -> None:
        """One more partition."""
        self.partitions.append(Partition(len(self.partitions)))

    def append(self, partition: Partition, count: int) -> None:
        """Store new records."""
        for _ in range(count):
            self.stored += 1
            place = partition.number, partition.end, partition.epoch
            partition.records.append(Record(*place, self.stored))

    def log_of(self, record: Record) -> Partition | None:
        """The partition that a record is stored in, if it still is."""
        for partition in self.partitions[record.partition : record.partition + 1]:
            if record.offset >= partition.start and record in partition.read(record.offset, 1):
                return partition
        return None

    def commit(self, partition: Partition, offset: int, epoch: int) -> None:
        """Commit an offset as the reader does."""
        last = partition.read(offset - 1, 1) if offset > partition.start else []
        place = Place(offset, epoch, last[0].timestamp if last else -1)
        self.committed[partition.number] = place.to_commit(self.topic_id)

    def is_marked(self, partition: Partition) -> bool:
        """Whether the committed offset carries the mark of this topic."""
        committed = self.committed.get(partition.number)
        mark = METADATA.fullmatch(committed.metadata) if committed else None
        return mark is not None and mark[1] == str(self.topic_id)

    def resume_at(self, partition: Partition) -> int:
        """Up to where the group has processed this log."""
        offset, mark, epoch = self.committed.get(partition.number, (0, "", -1))
        if mark and not self.is_marked(partition):
            return partition.start
        known = partition.end_of(epoch) if epoch >= 0 else None
        end = known[1] if known else partition.end
        return max(partition.start, min(offset, end))

    def join(self, partitions: int) -> set[int] | None:
        """The reader's partitions in a new generation; None while it has to wait for others."""
        if self.polls_to_join:
            self.polls_to_join -= 1
            return None
        self.generation += 1
        self.member, self.rebalancing = True, False
        every = self.others + 1
        self.ours = {one for one in range(partitions) if (one + self.generation) % every == 0}
        return self.ours

    def remove_reader(self) -> None:
        """The reader has left, or was not heard of for too long: others take its partitions."""
        self.member, self.rebalancing, self.ours = False, False, set()

    def of_others(self, partition: Partition) -> bool:
        """Whether another member reads a partition now."""
        return bool(self.others) and not self.rebalancing and partition.number not in self.ours
