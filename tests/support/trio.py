"""Both producers and the consumer on a topic of their own, watched through a fault."""

from __future__ import annotations

import signal
from collections import defaultdict

from tests.support import account
from tests.support.process import Running, eventually, script

# Seconds within which numbers are to flow again once the broker is back.
BACK = 5


def producer(servers: str, topic: str, sleep_time: float, even: bool) -> Running:
    """A producer with a rhythm of its own."""
    code = f"from producer_utils import produce; produce(sleep_time={sleep_time}, even={even})"
    return script("-c", servers, topic, arguments=(code,))


class Trio:
    """Two producers and a consumer, with what they have done so far."""

    def __init__(self, servers: str, topic: str, sleep_time: float = 0.1) -> None:
        self.servers, self.topic = servers, topic
        self.producers = [producer(servers, topic, sleep_time, even) for even in (True, False)]
        group = {"KAFKA_GROUP_ID": topic}
        self.consumers = [script("consumer_c.py", servers, topic, **group)]

    @property
    def all(self) -> list[Running]:
        return [*self.producers, *self.consumers]

    def progress(self) -> list[int]:
        """The last number that each producer reported, and the last of each key printed."""
        printed = [pair for one in self.consumers for pair in account.printed(one)]
        return [*map(last_reported, self.producers), *(last_of(key, printed) for key in "AB")]

    def flowing(self, seconds: float = BACK) -> None:
        """Return when new numbers of both have come all the way; fail after so many seconds."""
        before = self.progress()

        def all_moved() -> bool:
            return all(now > then for now, then in zip(self.progress(), before, strict=True))

        try:
            eventually(all_moved, seconds)
        except AssertionError:
            raise AssertionError(
                f"reported and printed after {seconds} s: {self.progress()}, before: {before}:"
                f" {self.all}"
            ) from None

    def end(self) -> None:
        """Stop the producers, account for every number, stop the consumer."""
        for one in self.producers:
            assert one.stop() == 0, one
        account.account(self.producers, self.consumers, self.servers, self.topic)
        for one in self.consumers:
            assert one.process.poll() is not None or one.stop() == 0, one

    def kill(self) -> None:
        """Leave nothing running."""
        for one in self.all:
            one.send(signal.SIGCONT)
            one.kill()


def last_reported(producer: Running) -> int:
    """The last number that a producer reported; -1 before the first."""
    for line in reversed(producer.out):
        if found := account.ACKNOWLEDGED.fullmatch(line):
            return int(found[2])
    return -1


def last_of(key: str, printed: list[tuple[str, int]]) -> int:
    """The highest number of a key among those printed; -1 without one."""
    return max((number for k, number in printed if k == key), default=-1)


def contents(servers: str, topic: str) -> tuple[dict, dict[str, list[int]]]:
    """What a topic holds: key and number of each place, and the numbers of each key in order."""
    places, written = {}, defaultdict(list)
    for record in account.in_topic(servers, topic):
        key, number = account.key_of_record(record), int(record.value())
        places[record.partition(), record.offset()] = key, number
        written[key].append(number)
    return places, written
