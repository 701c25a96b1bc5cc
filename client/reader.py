"""Reading a topic so that no number is lost: where to resume, what is processed, what is committed.

The group's committed offsets, which Kafka keeps, say where reading resumes after a restart or a
rebalance.
"""

from __future__ import annotations

from contextlib import suppress
from functools import partial

from kafka import ConsumerRebalanceListener, KafkaConsumer, TopicPartition, errors
from kafka.errors import KafkaError

from client.connecting import POLL_INTERVAL, close, monitor_of
from client.messages import NAME, is_transient
from client.output import notify, notify_interrupted
from client.partition import Partition
from client.places import ConsumerRecord, Place, committed_place, place_after
from client.progress import UNASSIGNED, announce, held_back
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


class Reader(ConsumerRebalanceListener):
    """Polls, and commits what was processed; leaving the `with` block closes the consumer."""

    def __init__(self, consumer: KafkaConsumer) -> None:
        self.consumer, self.monitor = consumer, monitor_of(consumer)
        self.grouped = bool(consumer.config["group_id"])
        self.joining = self.grouped  # without a group all partitions are ours
        self.places_known = True  # whether each partition that is assigned has a place
        self.topic_id = self.monitor.topic_id()
        self.partitions: dict[TopicPartition, Partition] = {}
        self.polled: dict[TopicPartition, Place] = {}  # the places after what poll() returned last
        self.flowing: set[TopicPartition] = set()  # of which the last poll() returned records
        self.ever_assigned: set[TopicPartition] = set()
        self.unfetched: set[TopicPartition] = set()  # paused since they were assigned first
        self.stall = StallNotice(self.monitor)
        consumer.subscribe([TOPIC], listener=self)

    def on_partitions_revoked(self, revoked: object) -> None:
        """Remember that this consumer is no member of the group until it has joined again."""
        self.joining = True

    def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        """Remember that places are to be found: a call to Kafka would deadlock here.

        Until then new partitions are paused: what was fetched before seek() would be fetched again.
        """
        self.joining = self.places_known = False
        self.unfetched = self.unfetched & assigned | (assigned - self.ever_assigned)
        self.ever_assigned |= assigned
        self.consumer.pause(*self.unfetched)

    def poll(self) -> list[ConsumerRecord]:
        """The next records, often none; the next commit() counts them as processed.

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
        """The next records; raises whatever kafka-python raises, and should raise."""
        if self.monitor.final:  # over which kafka-python goes on
            raise self.monitor.final
        self.notice_new_topic()
        if not self.places_known:
            self.find_places()
        with suppress(*UNASSIGNED):
            if self.uncommitted() or not self.places_known:
                # Only what one poll() returned may be delivered a second time.
                self.consumer.pause(*self.consumer.assignment())
            else:
                self.consumer.resume(*self.consumer.paused())
                self.unfetched.clear()
        waits = self.awaiting() or held_back(self.consumer, self.partitions, self.flowing)
        self.stall.update(*waits)
        batches = self.consumer.poll(timeout_ms=int(POLL_INTERVAL * 1000))
        self.notice_new_topic()
        if not self.places_known:  # a rebalance or a new topic: find_places() goes back
            return []
        for one in [one for one in batches if self.partitions[one].sought]:
            self.seek_again(one)
            del batches[one]
        self.polled = {one: place_after(records[-1]) for one, records in batches.items()}
        self.flowing = set(batches)
        return [record for records in batches.values() for record in records]

    def commit(self) -> None:
        """Count what poll() returned as processed, and commit that.

        What cannot be committed now is committed later. Takes at most 2 seconds, or 0.5 once
        `stop` is set. Raises KafkaError that retrying cannot fix.
        """
        for one, place in self.polled.items():
            self.partitions[one].process(place)
        self.polled = {}
        uncommitted = self.uncommitted()
        if not uncommitted or not self.places_known:  # our places may be outdated
            return
        places = {one: known.place for one, known in uncommitted.items() if known.place}
        offsets = {one: place.to_commit(self.topic_id) for one, place in places.items()}
        try:
            self.consumer.commit(offsets, timeout_ms=500 if stop.is_set() else 2_000)
        except KafkaError as error:
            if is_transient(error) or isinstance(error, REBALANCED):
                return
            raise
        for known in uncommitted.values():
            known.uncommitted, known.lost = False, None

    def uncommitted(self) -> dict[TopicPartition, Partition]:
        """The partitions of which the group has yet to commit what was processed."""
        if not self.grouped:
            return {}
        return {one: known for one, known in self.partitions.items() if known.uncommitted}

    def find_places(self) -> None:
        """Give each assigned partition a place: the later of the committed and our own, if any.

        Another member may have read on meanwhile, and kafka-python keeps the old position of a
        partition that comes back. Where Kafka does not answer, the next poll() tries again: this
        one goes on, since only who polls can join the group again and lose a partition that is
        gone.
        """
        self.places_known = True  # unless a rebalance says otherwise meanwhile
        try:
            assigned = sorted(self.consumer.assignment())
            for one in sorted(self.partitions.keys() - set(assigned)):
                self.forget(one)
            for one in assigned:
                self.partitions.setdefault(one, Partition())
            self.find_place_of_each(assigned)
            announce(self.partitions)
        except (KafkaError, *UNASSIGNED) as error:
            self.places_known = False
            if not isinstance(error, UNASSIGNED) and not is_transient(error):
                raise

    def find_place_of_each(self, assigned: list[TopicPartition]) -> None:
        """Find out where to read on in partitions, and seek that.

        Kafka is asked once for all: one by one, many that are far away would take too long.
        """
        owned, committed = self.own_places(assigned), self.committed(assigned)
        for one, known in self.partitions.items():
            anew = one not in committed and self.grouped and self.topic_id is None
            if anew and not known.uncommitted:  # it may be in a topic that was deleted
                owned.pop(one, None)
            if one in committed and not known.is_valid(committed[one]):
                del committed[one]
        new = [one for one in assigned if one not in owned and one not in committed]
        earliest = self.consumer.beginning_offsets(new, timeout_ms=1_000) if new else {}
        for one in assigned:
            self.resume(one, owned.get(one), committed.get(one), earliest.get(one, 0))

    def resume(
        self, one: TopicPartition, own: Place | None, committed: Place | None, earliest: int
    ) -> None:
        """Read on at the later of two places of a partition, or else at its earliest offset."""
        known = self.partitions[one]
        place = committed if committed and (own is None or committed.is_after(own)) else own
        place = place or Place(earliest)
        self.seek(one, place)
        known.resume(place, own, committed)
        known.sought = one not in self.unfetched
        if known.rewound:
            why, known.rewound = known.rewound, ""
            notify(f"Partition {one.partition}: {why}, resuming at offset {place.offset}.")

    def own_places(self, assigned: list[TopicPartition]) -> dict[TopicPartition, Place]:
        """Our places, where there are any; they may be where the log was cut.

        A leader that has kept its epoch cannot tell what it stored after the truncation from what
        was there: such records may precede the offset that it names as the point of divergence.
        Then reading resumes at the first record that is later than the last one that was read.
        """
        places = {one: known.place for one in assigned if (known := self.partitions[one]).place}
        times = {one: self.partitions[one].may_resume_after() for one in places}
        later = {one: time + 1 for one, time in times.items() if time > 0}
        found = self.consumer.offsets_for_times(later, timeout_ms=1_000) if later else {}
        for one, at in found.items():
            if at and at.offset < places[one].offset:
                places[one] = places[one]._replace(offset=at.offset)
        return places

    def committed(self, assigned: list[TopicPartition]) -> dict[TopicPartition, Place]:
        """The places that the group has committed in this topic."""
        if not self.grouped:
            return {}
        try:
            found = self.consumer.committed(assigned, metadata=True, timeout_ms=1_000)
        except TypeError:  # kafka-python takes one partition only
            ask = partial(self.consumer.committed, metadata=True, timeout_ms=1_000)
            found = {one: ask(one) for one in assigned}
        places = {one: committed_place(at, self.topic_id) for one, at in found.items() if at}
        return {one: place for one, place in places.items() if place}

    def seek(self, one: TopicPartition, place: Place) -> None:
        """Read on at a place; with its epoch, if kafka-python takes that."""
        self.consumer.seek(one, place.offset)
        with suppress(ValueError):
            self.consumer.seek(one, place.with_epoch())

    def seek_again(self, one: TopicPartition) -> None:
        """Repeat seek(); what kafka-python returns or raises for the partition counts after it."""
        known = self.partitions.get(one)
        if known and known.place:
            known.sought = False
            with suppress(*UNASSIGNED):
                self.seek(one, known.place)

    def forget(self, one: TopicPartition) -> None:
        """Drop what is known of a partition that is assigned to another member now."""
        if one in self.uncommitted():
            name, why = f"Partition {one.partition}", "was reassigned before its last commit"
            notify(f"{name} {why}: its last numbers may be printed twice.")
        del self.partitions[one]

    def notice_new_topic(self) -> None:
        """Forget all places if the topic was deleted and created again."""
        present = self.monitor.topic_id()
        if present is None or present == self.topic_id:
            return
        if self.topic_id is not None:
            notify(f"Topic {NAME} was deleted and created again: reading the new one.")
            self.partitions, self.polled, self.places_known = {}, {}, False
        self.topic_id = present

    def recover(self, error: KafkaError) -> None:
        """Choose another place where an error of NO_USABLE_OFFSET says that there is none.

        Where Kafka has lost the end of a log: where it diverges from what was read. Out of range:
        at the earliest offset. After a rebalance find_places() decides first.
        """
        found: dict[TopicPartition, Place | None] = {}
        if isinstance(error, errors.LogTruncationError):
            why = "Kafka has lost the end of its log"
            for one, at in error.divergent_offsets.items():
                found[one] = Place(at.offset, at.leader_epoch) if at else None
        elif isinstance(error, errors.OffsetOutOfRangeError):
            found, why = dict.fromkeys(error.args[0]), "offset out of range"
        else:
            self.places_known = False
            if not self.grouped and self.topic_id is None:  # perhaps a topic was created again
                for one in error.args[0]:
                    self.partitions.pop(one, None)
        places_known = self.places_known
        for one, divergent in found.items():
            known = self.partitions.get(one)
            if places_known and known and not known.sought and known.may_diverge(divergent):
                known.rewind(divergent, why)
                self.places_known = False
            else:  # about another position, from which kafka-python would read on
                self.seek_again(one)

    def awaiting(self) -> tuple[str, ...]:
        """What keeps the consumer from getting records, with the likely reason; often none."""
        if self.joining:
            return "to join the group", "a member has died, or is slow to rejoin"
        if self.uncommitted():
            return ("for the commit of what was printed",)
        if not self.places_known:
            return ("for the offset to start from",)
        hindered = self.monitor.leaderless({one.partition for one in self.partitions})
        if not hindered and not self.flowing:
            hindered = self.monitor.throttled()
        return ("for more numbers", hindered) if hindered else ()

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
        if self.uncommitted():
            raise SystemExit("The last numbers could not be committed: they will be printed again.")
