"""One reader, everything that can happen to it, and the account of what was stored and printed."""

from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any
from uuid import UUID

from kafka import OffsetAndMetadata, errors

from tests.model.broker import Broker, Partition, Record
from tests.model.consumer import Consumer

Step = tuple[str, int]  # its name, and a number that says how or how much

# What can happen, and how often. The methods of World that have these names say what each does.
TO_READER = {"read": 40, "stop": 1, "kill": 3, "fail": 6, "lose_output": 1, "nothing": 10}
TO_TOPIC = {"recreate": 2, "delete": 1, "add_partition": 1, "refresh": 3}
TO_PARTITION = {"append": 14, "retain": 2, "elect": 1, "truncate": 3, "cut": 3}
TO_GROUP = {"member_joins": 2, "member_leaves": 2, "lose_membership": 2, "lose_coordinator": 2}
BY_OTHERS = {"other_reads": 6, "tool_commits": 1}
STEPS = TO_READER | TO_TOPIC | TO_PARTITION | TO_GROUP | BY_OTHERS
BETWEEN_CALLS = ("read", "stop", "without_group")  # all others happen within calls as well

# What each call may raise. After a final error the reader ends.
FINAL = (errors.GroupAuthorizationFailedError, errors.TopicAuthorizationFailedError)
REBALANCED = (errors.CommitFailedError, errors.RebalanceInProgressError)
FAILURES = {
    "poll": (errors.KafkaConnectionError, errors.KafkaProtocolError, *FINAL),
    "committed": (errors.KafkaTimeoutError, errors.UnstableOffsetCommitError, FINAL[0]),
    "position": (errors.KafkaTimeoutError, errors.KafkaProtocolError, FINAL[1]),
    "beginning_offsets": (errors.KafkaTimeoutError, FINAL[1]),
    "offsets_for_times": (errors.KafkaTimeoutError, FINAL[1]),
    "commit": (errors.KafkaTimeoutError, errors.KafkaConnectionError, *REBALANCED, FINAL[0]),
    "stored": (errors.KafkaTimeoutError,),  # the answer to a commit is lost
    "close": (errors.KafkaTimeoutError,),
}

ROUNDS = 40  # in which the reader must have read all, once nothing disturbs it any more


class Fault(Exception):
    """What must not be: numbers lost or printed twice, or a reader that ended."""


class Killed(BaseException):
    """The process is gone."""


class World:
    """Plays one history: steps that happen one after the other."""

    def __init__(self, make_reader: Callable, history: Iterable[Step]) -> None:
        self.make_reader, self.steps = make_reader, list(history)[::-1]
        self.broker = Broker()
        self.broker.create(2)
        self.group: str | None = "group"
        self.reader: Any = None  # as the consumer, while it runs
        self.consumer: Any = None
        self.topic_known: UUID | None = None
        self.output_lost = False
        self.unanswered = 0  # calls of which the group's coordinator is away
        self.before: list[int] = []  # up to where all was processed before the present commit
        self.printed: dict[int, int] = {}  # the values that were printed, and after which cause
        self.at_risk: list[Record] = []  # the batch that was printed last by the reader
        self.causes = 0  # how often something happened that may make a batch be printed twice

    def play(self) -> None:
        """Play the history, let the reader finish undisturbed, and close the account."""
        while self.steps:
            self.happen(*self.steps.pop())
        self.finish()

    def happen(self, name: str, number: int) -> None:
        """Let one step happen."""
        if name not in TO_PARTITION | BY_OTHERS:
            getattr(self, name)(number)
        elif self.broker.partitions:
            which, number = number % len(self.broker.partitions), number // 4
            getattr(self, name)(self.broker.partitions[which], number)

    def within(self, call: str) -> bool:
        """Let the next step happen within a call; whether its answer comes late instead."""
        if call == "stored":
            self.check_committed()
        late = False
        if self.steps and self.steps[-1][0] not in BETWEEN_CALLS:
            late = self.happen_within(call, *self.steps.pop())
        if call == "commit":
            self.before = [self.broker.resume_at(one) for one in self.broker.partitions]
        return late

    def happen_within(self, call: str, name: str, number: int) -> bool:
        """Let one step happen within a call; whether the answer comes late instead."""
        if self.unanswered and call in ("commit", "committed"):
            self.unanswered -= 1
            raise errors.KafkaTimeoutError
        if name == "kill":
            raise Killed
        if name == "fail" and call in FAILURES:
            raise FAILURES[call][number % len(FAILURES[call])]
        self.happen(name, number)
        return name == "nothing"

    # What happens to the reader.

    def without_group(self, _: int) -> None:
        """The reader has no group: each run reads all."""
        self.group = None

    def read(self, _: int) -> None:
        """One round of the consumer, which is started unless it runs: poll, print, commit."""
        if not self.reader:
            self.printed = self.printed if self.group else {}
            self.consumer = Consumer(self.broker, self.group, self.within)
            self.reader = self.make_reader(self.consumer)
        try:
            records = self.reader.poll()
            self.check_returned(records)
            for count, record in enumerate(records):
                if self.output_lost and count == len(records) // 2:
                    raise BrokenPipeError
                self.print(record)
            self.within("print")
            self.reader.commit()
        except (BrokenPipeError, *FINAL) as error:
            self.leave(error)
        except Killed:
            self.end()
        except Fault:
            raise
        except Exception as error:
            raise Fault(f"the reader ended with {error!r}") from error

    def stop(self, _: int) -> None:
        """Ctrl-C."""
        if self.reader:
            self.leave(None)

    def leave(self, error: Exception | None) -> None:
        """The consumer ends by itself, over an error if there is one."""
        with suppress(Killed, SystemExit, *FINAL):
            self.reader.__exit__(error and type(error), error, None)
        self.end()

    def kill(self, _: int) -> None:
        """kill -9."""
        self.end()

    def end(self) -> None:
        """The process is gone."""
        self.reader = self.consumer = self.topic_known = None
        self.output_lost, self.at_risk = False, []
        self.broker.remove_reader()
        self.causes += 1

    def nothing(self, _: int) -> None:
        """The next call passes undisturbed, though perhaps slowly."""

    fail = nothing  # where no call is made that could

    def lose_output(self, _: int) -> None:
        """Whoever read the output goes away."""
        self.output_lost = True

    # What happens to the topic.

    def append(self, partition: Partition, number: int) -> None:
        """Some records arrive."""
        self.broker.append(partition, number % 5 + 1)
        for record in partition.records[-(number % 5) - 1 :]:
            if record.offset < partition.lost_until:  # perhaps nobody can tell it from what was
                self.printed.setdefault(record.value, -1)

    def retain(self, partition: Partition, number: int) -> None:
        """Old records are deleted."""
        partition.retain(partition.start + number % (len(partition.records) + 1))

    def elect(self, partition: Partition, _: int) -> None:
        """A partition has another leader."""
        partition.elect(partition.end)

    def truncate(self, partition: Partition, number: int) -> None:
        """The new leader lacks the last records; others may be stored instead."""
        if self.of_tool(partition):
            return
        partition.elect(partition.end - number % (len(partition.records) + 1))
        self.broker.append(partition, number // 16 % 8)

    def cut(self, partition: Partition, number: int) -> None:
        """The leader loses its last records and goes on."""
        if not self.of_tool(partition):
            end = partition.end - number % (len(partition.records) + 1)
            partition.elect(end, keeps_epoch=True)

    def of_tool(self, partition: Partition) -> bool:
        """Whether the committed offset has no epoch, so that no reader could notice a loss."""
        committed = self.broker.committed.get(partition.number)
        return committed is not None and committed.leader_epoch < 0

    def delete(self, number: int) -> None:
        """The topic is deleted."""
        self.broker.delete(forget=bool(number % 4))
        self.causes += 1

    def recreate(self, number: int) -> None:
        """The topic is deleted and created again, with 1 to 3 partitions and some records."""
        self.delete(number)
        self.broker.create(number // 4 % 3 + 1)
        for partition in self.broker.partitions:
            self.broker.append(partition, number // 16 % 12)

    def add_partition(self, _: int) -> None:
        """The topic gets another partition."""
        if 0 < len(self.broker.partitions) < 3:
            self.broker.add_partition()

    def refresh(self, _: int) -> None:
        """The reader's client looks up the metadata."""
        if self.consumer:
            self.consumer.refresh()

    # What happens to the group.

    def rebalance(self, number: int) -> None:
        """The reader hears of it some polls later, and waits some more for the others."""
        self.broker.rebalancing = self.broker.member
        self.broker.polls_unaware, self.broker.polls_to_join = number % 3, number // 4 % 3
        self.causes += 1

    def member_joins(self, number: int) -> None:
        """Another member joins the group."""
        self.broker.others = min(self.broker.others + 1, 2) if self.group else 0
        self.rebalance(number)

    def member_leaves(self, number: int) -> None:
        """Another member leaves the group."""
        self.broker.others = max(self.broker.others - 1, 0)
        self.rebalance(number)

    def lose_membership(self, number: int) -> None:
        """The group has heard nothing of the reader for too long, and goes on without it."""
        self.rebalance(number)
        self.broker.remove_reader()

    def lose_coordinator(self, number: int) -> None:
        """The broker that keeps the group's offsets is away for some calls."""
        self.unanswered = number % 6 + 1

    def other_reads(self, partition: Partition, number: int) -> None:
        """Another member prints some records, and commits them unless it is killed before."""
        if not self.broker.of_others(partition):
            return
        records = partition.read(self.broker.resume_at(partition), number % 3 + 1)
        for record in records:
            self.print(record, by_other=True)
        if number // 4 % 4 == 0:
            self.causes += 1
        elif records:
            self.broker.commit(partition, records[-1].offset + 1, records[-1].leader_epoch)

    def tool_commits(self, partition: Partition, number: int) -> None:
        """Somebody sets the group's offset by Kafka's tool, which works while it has no members."""
        if self.group and not self.reader and not self.broker.others:
            offset = partition.start + number % (len(partition.records) + 1)
            self.broker.committed[partition.number] = OffsetAndMetadata(offset, "", -1)
            self.causes += 1
            for record in partition.read(partition.start, offset - partition.start):
                self.printed.setdefault(record.value, -1)  # nobody wants to see it

    # The account.

    def print(self, record: Record, by_other: bool = False) -> None:
        """Account for one printed record."""
        before, causes = self.printed.get(record.value), self.causes + self.broker.generation
        unaware = not by_other and self.is_unaware(record)
        self.printed[record.value] = -1 if unaware else causes
        if before is None or unaware:
            return
        if before == causes:
            raise Fault(f"printed twice without a cause: {record}")
        partition = self.group and self.broker.log_of(record)
        if partition and self.broker.resume_at(partition) > record.offset:
            raise Fault(f"printed twice although committed: {record}")

    def is_unaware(self, record: Record) -> bool:
        """Whether the reader does not know yet that the topic is new or the partition another's."""
        lost = self.group and record.partition not in self.broker.ours
        return lost or self.consumer.topic != self.broker.topic_id

    def check_returned(self, records: list[Record]) -> None:
        """While a batch is not committed, no other one may be returned."""
        if self.topic_known != self.consumer.topic:  # what was read of it before is read again
            self.causes += 1
        if self.topic_known != self.consumer.topic or self.consumer.joined:
            self.topic_known, self.consumer.joined, self.at_risk = self.consumer.topic, False, []
        if records:
            for record in self.at_risk:
                if self.broker.log_of(record):
                    raise Fault(f"another batch, although not committed: {record}")
            self.at_risk = records if self.group else []

    def check_committed(self) -> None:
        """Nothing may be committed that was not printed, and no commit taken back."""
        for partition, before in zip(self.broker.partitions, self.before, strict=True):
            end = self.broker.resume_at(partition)
            aware = self.broker.is_marked(partition)
            if aware and end < before and not partition.lost_until:
                raise Fault(f"committed {before}, and then {end}: partition {partition.number}")
            for record in partition.read(partition.start, end - partition.start):
                if record.value not in self.printed:
                    raise Fault(f"committed, but not printed: {record}")
        ends = {number: one.offset for number, one in self.broker.committed.items()}
        self.at_risk = [one for one in self.at_risk if one.offset >= ends.get(one.partition, 0)]

    def finish(self) -> None:
        """Let the reader read on without disturbance; then all must be printed and committed."""
        self.broker.others = 0
        self.rebalance(0)
        self.output_lost, self.unanswered = False, 0
        self.refresh(0)
        finished = 0
        for _ in range(ROUNDS):
            self.read(0)
            finished = 0 if self.unfinished() else finished + 1
            if finished == 3:  # the last rounds have not spoilt it
                return
        raise Fault(self.unfinished())

    def unfinished(self) -> str:
        """What was not printed or not committed; empty for nothing."""
        for partition in self.broker.partitions:
            for record in partition.records:
                if record.value not in self.printed:
                    return f"never printed: {record}"
            if self.group and self.broker.resume_at(partition) < partition.end:
                return f"printed, but never committed: {partition.records[-1]}"
        return ""
