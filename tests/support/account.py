"""The account of every number: what was sent, acknowledged, stored and printed."""

import re
import time
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import groupby, pairwise

import psutil
from confluent_kafka import Message

from tests.support.client import number_of, place_of, records
from tests.support.process import Running, eventually

ACKNOWLEDGED = re.compile(r"([AB]): (\d+)  \(partition (\d+), offset (\d+)\)")
PRINTED = re.compile(r"([AB]): (\d+)")
TOTALS = re.compile(r"[AB]: (\d+) sent, (\d+) acknowledged\.")

# A key and a number; a partition and an offset.
Number = tuple[str, int]
Place = tuple[int, int]


def account(
    producers: list[Running],
    consumers: list[Running],
    servers: str,
    topic: str,
    twice_allowed: int = 0,
) -> None:
    """Stop the producers, and assert that no number is lost, doubled or out of order.

    Give all producers and consumers that the topic ever had. The consumers get ten seconds to
    print the last numbers; `twice_allowed` numbers may be printed a second time.
    """
    assert [one.stop(seconds=5) for one in producers] == [0] * len(producers), producers
    Account(producers, consumers, stored(servers, topic)).settle(twice_allowed)


class Account:
    """What became of every number of a topic after its producers were stopped.

    `stored` holds the number at each place of the topic, `written` those of each key in order.
    An account of nothing is wrong.
    """

    def __init__(
        self,
        producers: list[Running],
        consumers: list[Running],
        stored: Iterable[tuple[Place, Number]],
    ) -> None:
        self.producers, self.consumers = producers, consumers
        self.stored: dict[Place, Number] = dict(stored)
        self.written: dict[str, list[int]] = defaultdict(list)
        for key, number in self.stored.values():
            self.written[key].append(number)

    def settle(self, twice_allowed: int = 0, seconds: float = 10) -> None:
        """Assert that nothing is wrong, once the consumers had so long for the last numbers."""
        self.wait(seconds)
        wrong = self.wrong()
        if self.twice().total() > twice_allowed:
            wrong.append(f"printed twice: {first_of(self.twice())}")
        assert not wrong, "\n".join([*wrong, *map(repr, [*self.producers, *self.consumers])])

    def wait(self, seconds: float) -> None:
        """Return when the consumers have printed all that is stored, or after so many seconds."""
        with suppress(AssertionError):
            eventually(lambda: not self.consumers or not self.unprinted(), seconds)

    def miscounted(self) -> list[str]:
        """Producers that printed nothing, or not as many numbers as they say in the end."""
        return [sentence for sentence in map(miscounted, self.producers) if sentence]

    def acknowledged(self) -> list[tuple[Place, Number]]:
        """Place and number of each line that a producer printed."""
        return [pair for one in self.producers for pair in acknowledged(one)]

    def lost(self) -> list[Number]:
        """Numbers that were acknowledged, but are not stored where the producer said."""
        return [number for place, number in self.acknowledged() if self.stored.get(place) != number]

    def reported_twice(self) -> list[Place]:
        """Places that a producer printed more than once."""
        places = Counter(place for place, _ in self.acknowledged())
        return [place for place, count in places.items() if count > 1]

    def gaps(self) -> list[str]:
        """Where the numbers of a key do not ascend by two, once for each start of its producer."""
        starts = Counter(map(key_of, self.producers))
        found = []
        for key, numbers in self.written.items():
            runs, due, first = 0, None, "AB".find(key)
            for place, number in enumerate(numbers):
                runs += number == first
                if number not in (first, due):
                    near = numbers[max(place - 5, 0) : place + 5]
                    found.append(f"{key}: {number}, not {due}, in {near}")
                due = number + 2
            if runs > starts[key] + starts[""]:
                found.append(f"{key} starts {runs} times: {numbers[:50]}")
        return found

    def printed(self) -> Counter[Number]:
        """How often each number was printed."""
        return Counter(number for one in self.consumers for number in printed(one))

    def unprinted(self) -> Counter[Number]:
        """Numbers that were printed less often than they are stored."""
        return Counter(self.stored.values()) - self.printed()

    def twice(self) -> Counter[Number]:
        """Numbers that were printed more often than they are stored."""
        return self.printed() - Counter(self.stored.values())

    def repeated(self) -> list[int]:
        """How many numbers of a key in a row were printed again, for each such row."""
        twice = self.twice()
        return [
            len(list(row))
            for key, numbers in self.written.items()
            for again, row in groupby((key, number) in twice for number in numbers)
            if again
        ]

    def unexpected(self) -> list[Number]:
        """Numbers that were printed, but are not stored."""
        stored = set(self.stored.values())
        return [number for number in self.printed() if number not in stored]

    def disorder(self) -> list[str]:
        """What a consumer printed in another order than it is stored."""
        found = [
            out_of_order(one, key, numbers)
            for one in self.consumers
            for key, numbers in self.written.items()
        ]
        return [sentence for sentence in found if sentence]

    def wrong(self) -> list[str]:
        """A sentence for each kind of error; numbers printed twice may be right."""
        errors: dict[str, Collection] = {"nothing is stored": [] if self.stored else ["topic"]}
        if self.producers:
            errors["not as many printed as acknowledged"] = self.miscounted()
            errors["acknowledged, but not stored there"] = self.lost()
            errors["acknowledged twice"] = self.reported_twice()
            errors["a hole, a step back or doubled in the topic"] = self.gaps()
        if self.consumers:
            errors["stored, but not printed"] = self.unprinted()
            errors["printed, but not stored"] = self.unexpected()
            errors["printed out of order"] = self.disorder()
        return [
            f"{what}: {len(found)}, such as {first_of(found)}"
            for what, found in errors.items()
            if found
        ]


def stored(servers: str, topic: str) -> Iterator[tuple[Place, Number]]:
    """Place and number of each record of a topic, partition by partition in order."""
    for record in records(servers, topic):
        yield place_of(record), (key_of_record(record), number_of(record))


def first_of(found: Iterable) -> list:
    """The first twenty of what was found, in order."""
    return sorted(found)[:20]


def acknowledged(producer: Running) -> list[tuple[Place, Number]]:
    """Place and number of each line that a producer printed."""
    lines = filter(None, map(ACKNOWLEDGED.fullmatch, list(producer.out)))
    return [((int(m[3]), int(m[4])), (m[1], int(m[2]))) for m in lines]


def miscounted(producer: Running) -> str:
    """What is wrong with the number of a stopped producer's lines, in a sentence, if anything."""
    printed = len(acknowledged(producer))
    totals = producer.find(TOTALS.pattern)
    if totals and printed and printed == len(producer.out) == int(totals[1]) == int(totals[2]):
        return ""
    said = totals[0] if totals else "no totals"
    return f"process {producer.process.pid}: {printed} of {len(producer.out)} lines, {said}"


def totals(producer: Running) -> list[int]:
    """How many numbers a producer sent, and how many were acknowledged, as it says at its end."""
    return [int(number) for number in producer.said(TOTALS.pattern).groups()]


def last_acknowledged(producer: Running) -> int:
    """The last number that a producer printed; -1 before the first."""
    for line in reversed(producer.out):
        if match := ACKNOWLEDGED.fullmatch(line):
            return int(match[2])
    return -1


def printed(consumer: Running) -> list[Number]:
    """Key and number of each line that a consumer printed."""
    found = filter(None, map(PRINTED.fullmatch, list(consumer.out)))
    return [(match[1], int(match[2])) for match in found]


def key_of_record(record: Message) -> str:
    """The key of a record as the consumer prints it."""
    key = record.key()
    return "?" if key is None else key.decode()


def key_of(producer: Running) -> str:
    """The key that a producer writes, by its first acknowledged line; empty without one."""
    found = producer.find(ACKNOWLEDGED.pattern)
    return found[1] if found else ""


def out_of_order(consumer: Running, key: str, numbers: list[int]) -> str:
    """The first number of a key that a consumer printed out of order, in a sentence, if any.

    It may go back only to numbers that it has printed before.
    """
    where: dict[int, list[int]] = defaultdict(list)
    for place, number in enumerate(numbers):
        where[number].append(place)
    had: dict[int, int] = {}
    last = -1
    for number in (number for k, number in printed(consumer) if k == key):
        after = bisect_left(where[number], last + 1)
        if after < len(where[number]):
            last = where[number][after]
        elif number in had:
            last = had[number]
        else:
            return f"{key}: {number} by process {consumer.process.pid}"
        had[number] = last
    return ""


@contextmanager
def not_spinning(*processes: Running) -> Iterator[None]:
    """Assert that each takes less than 5 % of a core meanwhile, and says less than a line a second.

    In less than ten seconds, nine lines are allowed.
    """
    begin = time.monotonic()
    before = [(one, cpu(one), len(one.err)) for one in processes]
    yield
    seconds = time.monotonic() - begin
    for one, busy, lines in before:
        assert one.alive, one
        share = (cpu(one) - busy) / seconds
        assert share < 0.05, f"{share:.0%} of a core for {seconds:.0f} s: {one}"
        assert len(one.err) - lines < max(seconds, 10), one


def cpu(one: Running) -> float:
    """Seconds of processor time that a process has used."""
    times = psutil.Process(one.process.pid).cpu_times()
    return times.user + times.system


def in_rhythm(servers: str, topic: str, key: str, step: float, paused: float = 0) -> None:
    """Assert that the numbers of a key were sent so many seconds apart, but for a pause.

    The machine may be busy: a third of a step late is still on time, one number in five may be
    missing, and the first may be late.
    """
    sent = [m.timestamp()[1] / 1000 for m in records(servers, topic) if key_of_record(m) == key]
    times = [round(when - sent[-1], 2) for when in sent[1:]]
    off = [abs((when + step / 2) % step - step / 2) for when in times]
    assert max(off) < 0.35 * step, times
    assert min(later - earlier for earlier, later in pairwise(times)) > 0.6 * step, times
    assert len(times) > 0.8 * (-times[0] - paused) / step, times
