"""Producers A and B and consumer C on one topic, watched through a fault."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from types import MappingProxyType

from tests.support.account import account, last_acknowledged, printed
from tests.support.process import Running, eventually, producer, script

SCRIPTS = ("producer_a.py", "producer_b.py", "consumer_c.py")

# Seconds within which numbers flow again once the broker is back, if nothing else is busy.
BACK = 5


class Trio:
    """Two producers and a consumer, which is alone in its group.

    The account is taken at `servers`, where the three connect unless `writer` and `reader`, the
    settings of producers and consumer, name another address. Without a `sleep_time` A and B keep
    their own intervals.
    """

    def __init__(
        self,
        servers: str,
        topic: str,
        sleep_time: float | None = 0.1,
        writer: Mapping[str, str] = MappingProxyType({}),
        reader: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self.servers, self.topic = servers, topic
        if sleep_time is None:
            self.producers = [script(name, servers, topic, **writer) for name in SCRIPTS[:2]]
        else:
            self.producers = [
                producer(servers, topic, sleep_time, even, **writer) for even in (True, False)
            ]
        self.consumer = script("consumer_c.py", servers, topic, **reader)

    @property
    def all(self) -> list[Running]:
        """All three."""
        return [*self.producers, self.consumer]

    def progress(self) -> list[int]:
        """The last number that each producer printed, and the last of each key that C printed."""
        return progress(self.producers, [self.consumer])

    def flowing(self, seconds: float = BACK) -> None:
        """Return when new numbers of both have been printed by C; fail after so many seconds."""
        flowing(self.producers, [self.consumer], seconds)

    def end(self, seconds: float = BACK, twice_allowed: int = 0) -> None:
        """See numbers flow, stop the producers, account for every number, stop the consumers."""
        self.flowing(seconds)
        account(self.producers, [self.consumer], self.servers, self.topic, twice_allowed)
        assert self.consumer.stop(seconds=5) == 0, self.consumer
        assert not any(one.find("Traceback") for one in self.all)

    def kill(self) -> None:
        """Leave nothing running."""
        for one in self.all:
            one.send(signal.SIGCONT)
            one.kill()

    def __enter__(self) -> Trio:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()


def progress(producers: list[Running], consumers: list[Running]) -> list[int]:
    """The last number that each producer printed, and the last of each key that consumers did."""
    shown = [number for one in consumers for number in printed(one)]
    return [*map(last_acknowledged, producers), *(last_of(key, shown) for key in "AB")]


def flowing(producers: list[Running], consumers: list[Running], seconds: float) -> None:
    """Return when each producer and a consumer have printed new numbers of both keys."""
    before = progress(producers, consumers)

    def all_moved() -> bool:
        now = progress(producers, consumers)
        return all(new > old for new, old in zip(now, before, strict=True))

    everybody = [*producers, *consumers]
    eventually(all_moved, seconds, "new numbers beyond", before, "from", everybody)


def last_of(key: str, numbers: list[tuple[str, int]]) -> int:
    """The highest number of a key; -1 without one."""
    return max((number for k, number in numbers if k == key), default=-1)
