"""The public calls of KafkaConsumer 3.0.12 that the reader uses, answered by the model of Kafka.

What a call does beyond its documentation was read in kafka/consumer and kafka/coordinator, and seen
on a broker: a rebalance keeps the positions of the partitions that stay, its listener is called
within poll() and close() only, what was fetched is kept while a partition is paused and whatever is
sought, what is found out in the background is raised by a later call, and metadata are as old as
their last refresh.
"""

from collections.abc import Callable, Iterable
from typing import Any
from uuid import UUID

from kafka import OffsetAndMetadata, TopicPartition, errors
from kafka.structs import OffsetAndTimestamp

from client.settings import TOPIC
from tests.model.broker import Broker, Partition, Record

FETCHED, RETURNED = 4, 3  # records that one fetch, and one poll(), returns at most


class State:
    """What the client keeps of an assigned partition."""

    def __init__(self) -> None:
        self.position: Any = None  # an offset, once it is known
        self.epoch = -1  # of the record before the position
        self.checked = -1  # the leader's epoch for which the position was last validated
        self.validating = self.paused = self.revoking = self.out_of_range = False
        self.fetched: list[Record] = []
        self.fetched_from = 0
        self.highwater: int | None = None

    def seek(self, offset: int, epoch: int = -1) -> None:
        """Read on from an offset; what was fetched stays."""
        self.position, self.epoch, self.checked, self.validating = offset, epoch, -1, False

    def may_be_read(self) -> bool:
        """Whether records may be fetched and returned now."""
        held = self.position is None or self.validating or self.paused or self.revoking
        return not held


class Consumer:
    """A KafkaConsumer of one topic; calls `happen` in each call that needs the network."""

    def __init__(self, broker: Broker, group: str | None, happen: Callable[[str], bool]) -> None:
        self.broker, self.happen = broker, happen
        self.config = {"group_id": group}
        self.states: dict[TopicPartition, State] = {}
        self.truncated: dict[TopicPartition, OffsetAndMetadata | None] = {}
        self.topic: UUID | None = None
        self.epochs: list[int] = []  # of the leaders, as the metadata know them
        self.lost = self.rejoin = True  # no member of the group; it has to be joined
        self.rejoining = self.joined = False
        self.refresh()

    def network(self, call: str) -> bool:
        """Ask Kafka, while other things happen; whether the answer may come late.

        Metadata that proved outdated are renewed.
        """
        if self.outdated:
            self.refresh()
        return self.happen(call)

    def refresh(self) -> None:
        """Look up the metadata; new partitions make the group's leader, which this is, rejoin."""
        before, self.topic, self.outdated = self.topic, self.broker.topic_id, False
        epochs = [partition.epoch for partition in self.broker.partitions]
        self.rejoin |= len(epochs) != len(self.epochs)
        self.epochs = epochs if before in (None, self.topic) else [-1] * len(epochs)

    def topic_id(self) -> UUID | None:
        """The id of the topic, as the metadata know it."""
        return self.topic

    final = None

    def leaderless(self, _among: object) -> str:
        """Which partitions have no leader: none in the model."""
        return ""

    def throttled(self) -> str:
        """Whether a quota holds the consumer back: there is none in the model."""
        return ""

    # The group.

    def subscribe(self, _topics: list[str], listener: Any) -> None:
        """Take part in the group."""
        self.listener = listener

    def assignment(self) -> set[TopicPartition]:
        """The assigned partitions."""
        return set(self.states)

    def assign(self, numbers: Iterable[int]) -> None:
        """Take on partitions; of those that stay all is kept that is known."""
        assigned = [TopicPartition(TOPIC, number) for number in numbers]
        self.states = {one: self.states.get(one) or State() for one in assigned}
        for state in self.states.values():
            state.revoking = False

    def coordinate(self) -> bool:
        """Hear from the group, and join it where needed; whether that is done."""
        broker = self.broker
        if not self.config["group_id"]:
            self.assign(range(len(self.epochs)))
            return True
        if not broker.member or broker.rebalancing:
            broker.polls_unaware -= 1
            if broker.polls_unaware < 0:
                self.lost |= not broker.member
                self.rejoin = True
        if not self.rejoin:
            return True
        if not self.rejoining:
            self.revoke()
        self.rejoining = True
        numbers = broker.join(len(self.epochs))
        if numbers is None:
            return False
        self.rejoin = self.rejoining = self.lost = False
        self.joined = True
        self.assign(numbers)
        self.listener.on_partitions_assigned(set(self.states))
        return True

    def revoke(self) -> None:
        """Tell the listener; the positions are forgotten only where the membership was lost."""
        if self.lost and self.states:
            self.listener.on_partitions_lost(set(self.states))
            self.states = {}
        else:
            for state in self.states.values():
                state.revoking = True
            self.listener.on_partitions_revoked(set(self.states))

    def needs_group(self) -> None:
        """Fail as kafka-python does without a group."""
        if not self.config["group_id"]:
            raise errors.IllegalStateError("Requires group_id")

    def committed(
        self,
        partitions: list[TopicPartition],
        metadata: bool,
        timeout_ms: float | None = None,
    ) -> dict[TopicPartition, OffsetAndMetadata]:
        """What the group has committed, asked for all partitions at once."""
        self.needs_group()
        self.network("committed")
        stored = self.broker.committed
        return {one: stored[one.partition] for one in partitions if one.partition in stored}

    def commit(
        self, offsets: dict[TopicPartition, OffsetAndMetadata], timeout_ms: float | None = None
    ) -> None:
        """Commit each of some offsets; fails if one partition does not exist."""
        self.needs_group()
        self.network("commit")
        if self.rejoining:
            raise errors.RebalanceInProgressError
        self.lost |= not self.broker.member
        if self.lost:
            self.rejoin = True
            raise errors.CommitFailedError(errors.UnknownMemberIdError())
        stored = {one.partition: at for one, at in offsets.items() if self.log(one)}
        self.broker.committed |= stored
        self.happen("stored")
        if len(stored) < len(offsets):
            raise errors.KafkaTimeoutError

    def close(self, autocommit: bool, timeout_ms: float | None = None) -> None:
        """Leave the group."""
        self.network("close")
        if self.config["group_id"] and self.states:
            self.revoke()
        self.broker.remove_reader()

    # Positions.

    def state(self, partition: TopicPartition) -> State:
        """What is known of an assigned partition."""
        if partition not in self.states:
            raise errors.IllegalStateError("Partition is not assigned")
        return self.states[partition]

    def paused(self) -> set[TopicPartition]:
        """The partitions of which no records are returned."""
        return {one for one, state in self.states.items() if state.paused}

    def pause(self, *partitions: TopicPartition) -> None:
        """Return no records of these."""
        for partition in partitions:
            self.states[partition].paused = True

    def resume(self, *partitions: TopicPartition) -> None:
        """Return their records again."""
        for partition in partitions:
            self.states[partition].paused = False

    def seek(self, partition: TopicPartition, offset: int | OffsetAndMetadata) -> None:
        """Read on from an offset; with the epoch of the record before it, if that is known."""
        if partition not in self.states:
            raise ValueError("Unassigned partition")
        place = offset if isinstance(offset, OffsetAndMetadata) else OffsetAndMetadata(offset)
        self.states[partition].seek(place.offset, place.leader_epoch)

    def beginning_offsets(
        self, partitions: list[TopicPartition], timeout_ms: float | None = None
    ) -> dict[TopicPartition, int]:
        """The earliest offsets."""
        self.network("beginning_offsets")
        logs = {one: self.log(one) for one in partitions}
        if not all(log and self.knows_epoch(log) for log in logs.values()):
            raise errors.KafkaTimeoutError
        return {one: log.start for one, log in logs.items() if log}

    def offsets_for_times(
        self, times: dict[TopicPartition, int], timeout_ms: float | None = None
    ) -> dict[TopicPartition, OffsetAndTimestamp | None]:
        """The first record of each partition that is no earlier than a time, if any."""
        self.network("offsets_for_times")
        logs = {one: self.log(one) for one in times}
        if not all(log and self.knows_epoch(log) for log in logs.values()):
            raise errors.KafkaTimeoutError
        found: dict[TopicPartition, OffsetAndTimestamp | None] = dict.fromkeys(logs)
        for one, log in logs.items():
            for record in reversed(log.records if log else []):
                if record.timestamp >= times[one]:
                    found[one] = OffsetAndTimestamp(record.offset, record.timestamp, -1)
        return found

    def highwater(self, partition: TopicPartition) -> int | None:
        """The end of a partition as of the last fetch."""
        return self.state(partition).highwater

    def position(self, partition: TopicPartition, timeout_ms: float | None = None) -> int | None:
        """The offset of the next record."""
        state = self.state(partition)
        self.network("position")
        self.check_positions()
        self.validate()
        return state.position

    def log(self, one: TopicPartition) -> Partition | None:
        """The log of a partition if there is one; otherwise the metadata are outdated."""
        found = self.broker.partitions[one.partition : one.partition + 1]
        self.outdated |= not found
        return found[0] if found else None

    def knows_epoch(self, log: Partition) -> bool:
        """Whether a request names the right epoch of a leader; otherwise metadata are outdated."""
        known = self.epochs[log.number] if log.number < len(self.epochs) else -1
        self.outdated |= known not in (-1, log.epoch)
        return known in (-1, log.epoch)

    def check_positions(self) -> None:
        """Start where the group has committed; raise what is wrong with positions."""
        missing = {one for one, state in self.states.items() if state.position is None}
        if self.config["group_id"]:
            for one in [one for one in missing if one.partition in self.broker.committed]:
                self.states[one].seek(self.broker.committed[one.partition].offset)
                missing.remove(one)
        if missing:
            raise errors.NoOffsetForPartitionError(missing)
        for one, state in self.states.items():
            known = self.epochs[one.partition] if one.partition < len(self.epochs) else -1
            if known > max(state.checked, state.epoch):
                state.checked = known
                state.validating |= state.epoch >= 0
        if self.truncated:
            found, self.truncated = self.truncated, {}
            raise errors.LogTruncationError(found)

    def validate(self) -> None:
        """Find out in the background whether logs diverge before positions."""
        for one, state in self.states.items():
            log = self.log(one) if state.validating else None
            if not log or not self.knows_epoch(log):
                continue
            found, state.validating = log.end_of(state.epoch), False
            if found is None:
                self.truncated[one] = None
            elif found[1] < state.position:
                self.truncated[one] = OffsetAndMetadata(found[1], "", found[0])
            else:
                state.epoch = found[0]

    # Records.

    def poll(self, timeout_ms: float = 0) -> dict[TopicPartition, list[Record]]:
        """The next records, if there are any in time."""
        for _ in range(2):
            late = self.network("poll")
            if not self.coordinate():
                break
            self.check_positions()
            records = self.drain()
            for one, state in self.states.items():  # what comes is returned in the next round
                if state.may_be_read() and not state.fetched and not state.out_of_range:
                    self.fetch(one, state)
            self.validate()
            if records or late:
                return records
        return {}

    def drain(self) -> dict[TopicPartition, list[Record]]:
        """Return what was fetched and is still next."""
        drained: dict[TopicPartition, list[Record]] = {}
        left = RETURNED
        for one, state in self.states.items():
            if state.paused or not (state.fetched or state.out_of_range):
                continue
            if not state.may_be_read() or state.position != state.fetched_from:
                state.fetched, state.out_of_range = [], False
            elif state.out_of_range:
                if not drained:  # otherwise the next call raises it
                    state.out_of_range = False
                    raise errors.OffsetOutOfRangeError({one: state.position})
            elif left:
                drained[one], state.fetched = state.fetched[:left], state.fetched[left:]
                last = drained[one][-1]
                state.position = state.fetched_from = last.offset + 1
                state.epoch = last.leader_epoch
                left -= len(drained[one])
        return drained

    def fetch(self, one: TopicPartition, state: State) -> None:
        """Fetch records, by the name of the topic: it may be another one."""
        log, at = self.log(one), state.position
        if not log:
            return
        if not self.knows_epoch(log):
            state.validating = state.epoch >= 0
            return
        known = log.end_of(state.epoch) if state.epoch >= 0 else (-1, log.end)
        if known and state.epoch >= 0 and (known[0] < state.epoch or known[1] < at):
            state.validating = self.outdated = True
            return
        state.fetched_from = at
        state.out_of_range = known is None or not log.start <= at <= log.end
        if not state.out_of_range:
            state.highwater, state.fetched = log.end, log.read(at, FETCHED)
