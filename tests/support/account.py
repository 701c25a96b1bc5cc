"""Every number accounted for: what producers reported, what the topic holds, what was printed."""

from __future__ import annotations

import re
import time
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise

import psutil
from confluent_kafka import Consumer, Message, TopicPartition

from tests.support.process import Running, eventually

ACKNOWLEDGED = re.compile(r"([AB]): (\d+)  \(partition (\d+), offset (\d+)\)")
PRINTED = re.compile(r"([AB]): (\d+)")


def account(
    producers: list[Running],
    consumers: list[Running],
    servers: str,
    topic: str,
    twice_allowed: int = 0,
) -> None:
    """Assert that nothing is lost, doubled or out of order; stop the producers before.

    Give all producers and consumers that the topic ever had. The consumers get ten seconds to
    print the last numbers; `twice_allowed` of all numbers may be printed a second time.
    """
    places: dict[tuple[int, int], tuple[str, int]] = {}
    written: dict[str, list[int]] = defaultdict(list)
    for m in in_topic(servers, topic):
        places[m.partition(), m.offset()] = key_of_record(m), int(m.value())
        written[key_of_record(m)].append(int(m.value()))
    starts = Counter(map(key_of, producers))
    assert_acknowledged_once(producers, places)
    if producers:
        assert_without_hole(written, starts)
    if consumers:
        assert_printed(consumers, written, twice_allowed)


@contextmanager
def calm(*processes: Running) -> Iterator[None]:
    """Assert that meanwhile each took less than 5 % of a core and said less than a line a second.

    So few lines may come at once, but no more of them in ten seconds.
    """
    begin = time.monotonic()
    before = [(one, cpu(one), len(one.err)) for one in processes if one.process.poll() is None]
    yield
    seconds = time.monotonic() - begin
    for one, busy, lines in before:
        share = (cpu(one) - busy) / seconds
        assert share < 0.05, f"{share:.0%} of a core for {seconds:.0f} s: {one}"
        assert len(one.err) - lines < max(seconds, 10), one


def cpu(one: Running) -> float:
    """Seconds of processor time that a process has taken."""
    times = psutil.Process(one.process.pid).cpu_times()
    return times.user + times.system


def in_rhythm(servers: str, topic: str, key: str, step: float) -> None:
    """Assert that the numbers of a key were sent at times so many seconds apart.

    A quarter of that late is on time still. One in five may be missing, and the first be late:
    the machine may have been busy.
    """
    sent = [m.timestamp()[1] / 1000 for m in in_topic(servers, topic) if key_of_record(m) == key]
    times = [round(when - sent[-1], 2) for when in sent[1:]]
    off = [abs((when + step / 2) % step - step / 2) for when in times]
    assert max(off) < 0.35 * step, times
    assert min(later - earlier for earlier, later in pairwise(times)) > 0.6 * step, times
    assert len(times) > 0.8 * -times[0] / step, times


def in_topic(servers: str, topic: str) -> list[Message]:
    """All records of a topic, those of each partition in order."""
    settings = {"bootstrap.servers": servers, "group.id": "tests", "enable.auto.commit": False}
    settings |= {"log_level": 0, "allow.auto.create.topics": False}
    consumer = Consumer(settings | {"auto.offset.reset": "earliest"})
    found: list[Message] = []
    try:
        partitions = consumer.list_topics(topic, timeout=20).topics[topic].partitions
        tps = [TopicPartition(topic, number, 0) for number in partitions]
        ends = {tp.partition: consumer.get_watermark_offsets(tp, timeout=20) for tp in tps}
        ends = {number: high for number, (low, high) in ends.items() if high > low}
        tps = [tp for tp in tps if tp.partition in ends]
        consumer.assign(tps)

        def complete() -> bool:
            found.extend(m for m in consumer.consume(10_000, 0.1) if not m.error())
            return all(tp.offset >= ends[tp.partition] for tp in consumer.position(tps))

        eventually(complete, 30, f"all records of {topic}")
    finally:
        consumer.close()
    return [m for m in found if m.offset() < ends[m.partition()]]


def key_of_record(record: Message) -> str:
    """The key of a record as the consumer prints it."""
    return "?" if record.key() is None else record.key().decode()


def key_of(producer: Running) -> str:
    """The key a producer writes, as its first acknowledged line tells; empty without one."""
    found = producer.find(ACKNOWLEDGED.pattern)
    return found[1] if found else ""


def assert_acknowledged_once(producers: list[Running], places: dict) -> None:
    """Each number that was reported lies at its place, and none is there more often than sent."""
    reported = {}
    for producer in producers:
        for found in filter(None, map(ACKNOWLEDGED.fullmatch, producer.out)):
            key, number, partition, offset = found[1], *map(int, found.groups()[1:])
            there = places.get((partition, offset))
            assert there == (key, number), f"{found[0]!r} was reported, but there lies {there}"
            assert (partition, offset) not in reported, f"{found[0]!r} was reported twice"
            reported[partition, offset] = key, number


def assert_without_hole(written: dict[str, list[int]], starts: Counter) -> None:
    """The numbers of each key ascend in steps of two, once for each start of its producer."""
    for key, numbers in written.items():
        runs, due, first = 0, None, "AB".index(key)
        for place, number in enumerate(numbers):
            runs += number == first
            near = numbers[max(place - 5, 0) : place + 5]
            assert number in (first, due), f"hole or doubled: {key}: {number}, not {due}: {near}"
            due = number + 2
        assert runs <= starts[key] + starts[""], f"{key} starts {runs} times: {numbers[:50]}"


def assert_printed(consumers: list[Running], written: dict, twice_allowed: int) -> None:
    """Each number of the topic was printed, in order for each key, and few of them twice."""
    due = Counter((key, number) for key, numbers in written.items() for number in numbers)

    def missing() -> Counter:
        return due - Counter(line for one in consumers for line in printed(one))

    try:
        eventually(lambda: not missing(), 10)
    except AssertionError:
        lost = sorted(missing())
        raise AssertionError(f"{len(lost)} not printed: {lost[:20]} by {consumers}") from None
    twice = Counter(line for one in consumers for line in printed(one)) - due
    strangers = [line for line in twice if line not in due]
    assert not strangers, f"printed, but not in the topic: {strangers[:20]}"
    assert twice.total() <= twice_allowed, f"printed twice: {sorted(twice)[:20]} by {consumers}"
    for one in consumers:
        for key, numbers in written.items():
            assert_in_order(one, key, numbers)


def printed(consumer: Running) -> list[tuple[str, int]]:
    """Key and number of each line that a consumer printed."""
    found = filter(None, map(PRINTED.fullmatch, list(consumer.out)))
    return [(match[1], int(match[2])) for match in found]


def assert_in_order(consumer: Running, key: str, numbers: list[int]) -> None:
    """What one consumer printed of a key follows the topic; it only goes back to what it had."""
    where: dict[int, list[int]] = defaultdict(list)
    for place, number in enumerate(numbers):
        where[number].append(place)
    had: dict[int, int] = {}
    last = -1
    for number in (number for k, number in printed(consumer) if k == key):
        after = bisect_left(where[number], last + 1)
        if after < len(where[number]):
            last = where[number][after]
        else:
            assert number in had, f"{key}: {number} out of order in {consumer}"
            last = had[number]
        had[number] = last
