"""Reading a topic so that no number is lost: where to resume, what is processed, what is committed.

The group's committed offsets, which Kafka keeps, say where reading resumes after a restart or a
rebalance.
"""

from __future__ import annotations

from contextlib import suppress

from kafka import ConsumerRebalanceListener, KafkaConsumer, TopicPartition, errors
from kafka.errors import KafkaError

from client.connecting import POLL_INTERVAL, close, monitor_of
from client.messages import NAME, is_transient, notify, notify_interrupted
from client.places import ConsumerRecord, Place, committed_place, place_after
from client.settings import TOPIC
from client.stalls import StallNotice
from client.stopping import stop

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


class Reader(ConsumerRebalanceListener):
    """Polls, and commits what was processed; leaving the `with` block closes the consumer.

    The place of a partition is where reading resumes: after the last record that was processed, or
    where it was begun. By its leader epoch kafka-python detects that the log was truncated.
    """

    def __init__(self, consumer: KafkaConsumer) -> None:
        self.consumer, self.monitor = consumer, monitor_of(consumer)
        self.grouped = bool(consumer.config["group_id"])
        self.joining = self.grouped  # without a group all partitions are ours
        self.places_known = True  # whether each partition that is assigned has a place
        self.topic_id = self.monitor.topic_id()
        self.place: dict[TopicPartition, Place] = {}
        self.polled: dict[TopicPartition, Place] = {}  # the places after what poll() returned last
        self.flowing: set[TopicPartition] = set()  # of which the last poll() returned records
        self.uncommitted: set[TopicPartition] = set()
        # Places behind a truncation: commits up to them do not count.
        self.lost: dict[TopicPartition, Place] = {}
        self.rewinds: dict[TopicPartition, str] = {}  # why a partition gets another place
        self.unannounced: set[TopicPartition] = set()
        # Partitions that were just sought: the first batch or error that follows may stem from a
        # request that was sent before seek(). It is dropped, and seek() repeated.
        self.sought: set[TopicPartition] = set()
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
        with suppress(*UNASSIGNED):
            if self.uncommitted or not self.places_known:
                # Only what one poll() returned may be delivered a second time.
                self.consumer.pause(*self.consumer.assignment())
            else:
                self.consumer.resume(*self.consumer.paused())
        self.stall.update(*self.awaiting() or self.held_back())
        batches = self.consumer.poll(timeout_ms=int(POLL_INTERVAL * 1000))
        self.notice_new_topic()
        if not self.places_known:  # a rebalance or a new topic: find_places() goes back
            return []
        for partition in self.sought & batches.keys():
            self.seek_again(partition)
            del batches[partition]
        self.polled = {one: place_after(records[-1]) for one, records in batches.items()}
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
        if not self.uncommitted or not self.places_known:  # our places may be outdated
            return
        offsets = {one: self.place[one].to_commit(self.topic_id) for one in self.uncommitted}
        try:
            self.consumer.commit(offsets, timeout_ms=500 if stop.is_set() else 2_000)
        except KafkaError as error:
            if is_transient(error) or isinstance(error, REBALANCED):
                return
            raise
        self.uncommitted.clear()
        self.lost.clear()

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
            for partition in (self.place.keys() | self.lost.keys()) - assigned:
                self.forget(partition)
            self.unannounced |= assigned - self.place.keys() - self.rewinds.keys()
            for partition in assigned:
                self.find_place(partition)
            self.announce(assigned)
        except (KafkaError, *UNASSIGNED) as error:
            self.places_known = False
            if not isinstance(error, UNASSIGNED) and not is_transient(error):
                raise

    def find_place(self, partition: TopicPartition) -> None:
        """Find out where to read on in a partition, and seek that."""
        own, committed = self.own_place(partition), self.committed(partition)
        if committed is None and self.is_unsure(partition):
            own = None
        if committed and partition in self.lost and not committed.is_after(self.lost[partition]):
            committed = None
        place = committed if committed and (own is None or committed.is_after(own)) else own
        if place is None:
            start = self.consumer.beginning_offsets([partition], timeout_ms=1_000)[partition]
            place = Place(start)
            own = place if partition in self.lost else None
        self.seek(partition, place)
        self.sought.add(partition)
        self.place[partition] = place
        # Where reading was only begun, there is nothing to commit.
        processed = place.time >= 0 or partition in self.lost or partition in self.uncommitted
        if self.grouped and own == place and place != committed and processed:
            self.uncommitted.add(partition)
        else:
            self.uncommitted.discard(partition)
        if partition in self.rewinds:
            why = self.rewinds.pop(partition)
            notify(f"Partition {partition.partition}: {why}, resuming at offset {place.offset}.")

    def own_place(self, partition: TopicPartition) -> Place | None:
        """Our place in a partition, which may be where its log was cut.

        A leader that has kept its epoch cannot tell what it stored after the truncation from what
        was there: such records may precede the offset that it names as the point of divergence.
        Then reading resumes at the first record that is later than the last one that was read.
        """
        own, lost = self.place.get(partition), self.lost.get(partition)
        if own and lost and partition in self.rewinds and own.epoch == lost.epoch and lost.time > 0:
            later = {partition: lost.time + 1}
            found = self.consumer.offsets_for_times(later, timeout_ms=1_000)[partition]
            if found and found.offset < own.offset:
                return own._replace(offset=found.offset)
        return own

    def is_unsure(self, partition: TopicPartition) -> bool:
        """Whether our place may be in a topic that was deleted, if nothing is committed."""
        return self.grouped and self.topic_id is None and partition not in self.uncommitted

    def committed(self, partition: TopicPartition) -> Place | None:
        """The place that the group has committed in this topic, if any."""
        if not self.grouped:
            return None
        found = self.consumer.committed(partition, metadata=True, timeout_ms=1_000)
        return committed_place(found, self.topic_id) if found else None

    def seek(self, partition: TopicPartition, place: Place) -> None:
        """Read on at a place; with its epoch, if kafka-python takes that."""
        self.consumer.seek(partition, place.offset)
        with suppress(ValueError):
            self.consumer.seek(partition, place.with_epoch())

    def seek_again(self, partition: TopicPartition) -> None:
        """Repeat seek(); what kafka-python returns or raises for the partition counts after it."""
        self.sought.discard(partition)
        if partition in self.place:
            with suppress(*UNASSIGNED):
                self.seek(partition, self.place[partition])

    def forget(self, partition: TopicPartition) -> None:
        """Drop what is known of a partition that is assigned to another member now."""
        self.place.pop(partition, None)
        self.lost.pop(partition, None)
        self.rewinds.pop(partition, None)
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
            for known in (self.place, self.polled, self.uncommitted, self.lost, self.rewinds):
                known.clear()
            self.places_known = False
        self.topic_id = present

    def recover(self, error: KafkaError) -> None:
        """Choose another place where an error of NO_USABLE_OFFSET says that there is none.

        Where Kafka has lost the end of a log: where it diverges from what was read. Out of range:
        at the earliest offset. After a rebalance find_places() decides first.
        """
        found: dict[TopicPartition, Place | None] = {}
        if isinstance(error, errors.LogTruncationError):
            why = "Kafka has lost the end of its log"
            for partition, one in error.divergent_offsets.items():
                found[partition] = Place(one.offset, one.leader_epoch) if one else None
        elif isinstance(error, errors.OffsetOutOfRangeError):
            found, why = dict.fromkeys(error.args[0]), "offset out of range"
        else:
            self.places_known = False
            if not self.grouped and self.topic_id is None:  # perhaps a topic was created again
                for partition in error.args[0]:
                    self.place.pop(partition, None)
        places_known = self.places_known
        for partition, divergent in found.items():
            current = places_known and partition not in self.sought
            if current and self.may_diverge(partition, divergent):
                self.rewind(partition, divergent, why)
            else:  # about another position, from which kafka-python would read on
                self.seek_again(partition)

    def may_diverge(self, partition: TopicPartition, divergent: Place | None) -> bool:
        """Whether a log may diverge before our place; if not, another position was meant."""
        own = self.place.get(partition)
        if own is None or divergent is None:
            return own is not None
        return divergent.offset < own.offset and (own.epoch < 0 or divergent.epoch <= own.epoch)

    def rewind(self, partition: TopicPartition, divergent: Place | None, why: str) -> None:
        """Resume a partition where Kafka's log diverges from what was read, or at the earliest."""
        self.lost[partition] = self.place.pop(partition)
        self.rewinds[partition] = why
        self.places_known = False
        if divergent:
            self.place[partition] = divergent

    def announce(self, assigned: set[TopicPartition]) -> None:
        """Say which partitions are read from now on, and from where."""
        new, self.unannounced = self.unannounced & assigned, set()
        if not assigned:
            notify("Standing by: no partition is assigned to this consumer.")
        elif len(new) > 10:
            notify(f"Reading {len(new)} partitions.")
        else:
            for one in sorted(new):
                offset = self.place[one].offset
                notify(f"Reading partition {one.partition} from offset {offset}.")

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
                if partition in self.place and end > self.place[partition].offset:
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
