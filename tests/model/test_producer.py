"""The producer's account, after thousands of random histories of what it sent."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from contextlib import nullcontext
from types import SimpleNamespace

import pytest
from kafka.errors import (
    InvalidReplicationFactorError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
)

import kafka_utils
import producer_utils
from client import in_flight
from client.stopping import StopFlag, stop

# What can happen while the producer waits or sends, and how often; the last four end it.
STEPS = {"acknowledge": 72, "nothing": 48, "pass_time": 24, "topic_missing": 12}
STEPS |= {"reject": 1, "lose_output": 1, "lose_kafka": 1, "interrupt": 1}
LENGTH = 60
INTERVAL = 0.5
MISSING = (KafkaTimeoutError, ValueError, InvalidReplicationFactorError)


class Future:
    """The answer to one number, which may still be out."""

    def __init__(self, world: World, number: int) -> None:
        self.world, self.number = world, number
        self.value: SimpleNamespace | None = None
        self.exception: Exception | None = None

    def succeeded(self) -> bool:
        """Whether the number is stored."""
        return self.value is not None

    def failed(self) -> bool:
        """Whether it will never be acknowledged."""
        return self.exception is not None

    def get(self, timeout: float) -> object:
        """The answer, if it comes in time."""
        self.world.sleep(timeout)
        if self.exception:
            raise self.exception
        if not self.value:
            raise KafkaTimeoutError
        return self.value


class World:
    """A producer that is connected, its clock and its output."""

    def __init__(self, history: list[str]) -> None:
        self.steps = history[::-1]
        self.now = self.stopped_at = self.slept = 0.0
        self.sent: list[Future] = []
        self.missing = self.output_lost = self.kafka_lost = False
        self.printed: list[int] = []
        self.said: list[str] = []

    def sleep(self, seconds: float) -> None:
        """Let some time pass, in which the next step happens."""
        self.now += seconds
        assert not self.stopped_at or self.now < self.stopped_at + self.slept + 60, "does not end"
        waiting = self.pending and not self.kafka_lost
        step = self.steps.pop() if self.steps else "acknowledge" if waiting else "interrupt"
        if step != "nothing":
            getattr(self, step)()

    @property
    def pending(self) -> list[Future]:
        """The numbers without an answer."""
        return [one for one in self.sent if not one.succeeded() and not one.failed()]

    def acknowledge(self) -> None:
        """The oldest number is stored."""
        if self.pending and not self.kafka_lost:
            oldest = self.pending[0]
            oldest.value = SimpleNamespace(partition=0, offset=oldest.number)

    def reject(self) -> None:
        """The oldest number, and all that were sent after it, will never be."""
        for one in self.pending:
            one.exception = MessageSizeTooLargeError()

    def pass_time(self) -> None:
        """The machine sleeps, which is no time that the producer takes to end."""
        self.now += 7
        if self.stopped_at:
            self.slept += 7

    def topic_missing(self) -> None:
        """The topic is deleted, or it is back."""
        self.missing = not self.missing

    def lose_output(self) -> None:
        """Whoever read the output goes away."""
        self.output_lost = True

    def lose_kafka(self) -> None:
        """Kafka will answer no more."""
        self.kafka_lost = True

    def interrupt(self) -> None:
        """Ctrl-C."""
        stop.set()
        self.stopped_at = self.stopped_at or self.now

    def send(self, _topic: str, key: bytes, value: bytes) -> Future:
        """As KafkaProducer does."""
        self.sleep(0)
        if self.missing:
            self.sleep(0.5)
            raise MISSING[len(self.steps) % len(MISSING)]()
        self.sent.append(Future(self, int(value)))
        return self.sent[-1]

    def print_lines(self, lines: list[str]) -> None:
        """Standard output."""
        if lines and self.output_lost:
            raise BrokenPipeError
        self.printed += [int(line.split()[1]) for line in lines]

    def account(self, status: object) -> Iterator[str]:
        """What is wrong after a history that ended with this status."""
        numbers = [one.number for one in self.sent]
        stored = [one.number for one in self.sent if one.succeeded()]
        rejected = [one.number for one in self.sent if one.failed()]
        if numbers != list(range(0, 2 * len(numbers), 2)):
            yield f"sent: {numbers}"
        if self.printed != stored[: len(self.printed)]:
            yield f"printed: {self.printed}"
        if status is None and not self.output_lost and self.printed != stored:
            yield f"not printed: {stored[len(self.printed) :]}"
        if (status is None) != (len(stored) == len(numbers)):
            yield f"{len(stored)} of {len(numbers)} stored, but status {status}"
        totals = re.search(r"A: (\d+) sent, (\d+) acknowledged", " ".join(self.said))
        counts = totals and totals.groups()
        if not self.output_lost and counts != (str(len(numbers)), str(len(self.printed))):
            yield f"{len(numbers)} sent, {len(self.printed)} printed, but said {counts}"
        lost = numbers[len(self.printed) :]
        names = lost and f"{len(lost)} unacknowledged (may be stored): {lost[0]} to {lost[-1]}."
        if names and not self.output_lost and names not in self.said:
            yield f"unacknowledged: {lost}, but said {self.said}"
        if rejected and not self.output_lost and f"number {rejected[0]}:" not in str(status):
            yield f"rejected {rejected[0]}, but status {status}"
        if not self.stopped_at:
            return
        took = self.now - self.stopped_at
        if took > in_flight.LAST_WAIT + 1 + self.slept:
            yield "ended late"
        if status == 1 and not self.output_lost and took < in_flight.LAST_WAIT:
            yield "gave up early"


def faults(history: list[str], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is wrong when produce() runs through a history."""
    world = World(history)
    clock = SimpleNamespace(monotonic=lambda: world.now)
    producer = nullcontext(SimpleNamespace(send=world.send))
    status = None
    with monkeypatch.context() as patch:
        for module in (in_flight, producer_utils):
            patch.setattr(module, "time", clock)
        patch.setattr(StopFlag, "wait", lambda _, seconds: world.sleep(seconds))
        patch.setattr(producer_utils, "connect_kafka_producer", lambda: producer)
        patch.setattr(kafka_utils, "stop_on_signals", nullcontext)
        silent = SimpleNamespace(update=lambda *_: None, topic_id=lambda: None)
        patch.setattr(in_flight, "close", lambda _: world.acknowledge())
        for name in ("monitor_of", "StallNotice", "notify_interrupted"):
            patch.setattr(in_flight, name, lambda *_: silent)
        patch.setattr(in_flight, "print_lines", world.print_lines)
        patch.setattr(in_flight, "notify", world.said.append)
        try:
            producer_utils.produce(INTERVAL)
        except SystemExit as ended:
            status = ended.code
    return list(world.account(status))


def search(seed: int, histories: int, monkeypatch: pytest.MonkeyPatch) -> tuple[list[str], ...]:
    """The shortest history with a fault, and its faults; two empty lists for none."""
    rng = random.Random(seed)
    for _ in range(histories):
        history = rng.choices(list(STEPS), list(STEPS.values()), k=LENGTH)
        if faults(history, monkeypatch):
            for place in reversed(range(LENGTH)):
                shorter = history[:place] + history[place + 1 :]
                history = shorter if faults(shorter, monkeypatch) else history
            return history, faults(history, monkeypatch)
    return [], []


def test_each_number_that_is_stored_is_printed_once_and_the_count_is_right(monkeypatch):
    assert search(1, 2000, monkeypatch) == ([], [])
