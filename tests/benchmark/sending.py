"""Contenders that send: as fast as they can, and at a pace, until a consumer has printed it."""

import os
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from uuid import uuid4

from tests.benchmark.measuring import (
    BARE,
    CONFLUENT,
    OURS,
    QUICK,
    TUTORIAL,
    broker,
    contender,
    fill,
    late,
    memory,
    new_topic,
    output,
    watch,
)
from tests.benchmark.outcome import Run, Runs
from tests.benchmark.reading import reader
from tests.support.account import totals
from tests.support.client import records
from tests.support.process import Running, eventually, producer, script

SPEED = (200_000, 20_000)[QUICK]  # numbers that are sent as fast as it goes ...
FLUSHED = (5_000, 2_000)[QUICK]  # ... and by the loop that flushes after each
PACED = (600, 30)[QUICK]
STEP = 0.1  # seconds between those


def own_rate(name: str) -> Run:
    """Numbers a second, as a program says itself."""
    with contender(name, broker().servers, new_topic(), SPEED) as one:
        assert one.ended(300) == 0, one
        return {"rate": float(one.out[-1])}


def tutorial_at_full_speed() -> Run:
    """Numbers a second that the tutorials' loop prints without a pause."""
    with (
        output() as (sink, lines),
        contender("tutorial_producer", broker().servers, new_topic(), 0, stdout=sink) as one,
    ):
        return {"rate": watch(one, lines, FLUSHED).rate}


@contextmanager
def full_speed() -> Iterator[tuple[Running, Callable[[], int]]]:
    """This project's produce(sleep_time=0) on a topic of its own, and how many lines it printed."""
    with (
        output() as (sink, lines),
        producer(broker().servers, new_topic(), 0, stdout=sink) as one,
    ):
        yield one, lines


def ours_at_full_speed() -> Run:
    """Numbers a second by produce(sleep_time=0), each of them printed."""
    with full_speed() as (one, lines):
        rate = watch(one, lines, SPEED).rate
        assert one.stop() == 0, one
        assert totals(one) == [lines(), lines()], one
        return {"rate": rate}


def held_up() -> Run:
    """How many numbers are outstanding after Kafka was paused for 3 s, and the memory in MB."""
    with full_speed() as (one, lines), ExitStack() as stack:
        watch(one, lines, 1_000)
        broker().kafka.send(signal.SIGSTOP)
        stack.callback(broker().kafka.send, signal.SIGCONT)
        time.sleep(3)
        held = memory(one)
        one.stop()
        sent, acknowledged = totals(one)
        return {"outstanding": sent - acknowledged, "memory": held}


def paced() -> Runs:
    """How late each number is that this project and, beside it, the tutorials' loop sends.

    By the records' own timestamps, while each acknowledgement comes 100 ms late.
    """
    topics = {OURS: new_topic(), TUTORIAL: new_topic()}
    with (
        producer(late(), topics[OURS], STEP) as ours,
        contender("tutorial_producer", late(), topics[TUTORIAL], STEP),
    ):
        eventually(lambda: len(ours.out) >= PACED, 2 * PACED * STEP + 30, ours)
        ours.stop()
    runs: dict[str, list[Run]] = {}
    for name, topic in topics.items():
        times = [m.timestamp()[1] for m in records(broker().servers, topic)][:PACED]
        found = [abs(when - times[0] - 1000 * STEP * k) for k, when in enumerate(times)]
        runs[name] = [{"late": found, "last": found[-1]}]
    return runs


def latency(name: str, step: float, count: int) -> Run:
    """Milliseconds from send() to the line readable on the consumer's pipe, for each number."""
    topic, came = new_topic(), Arrivals()
    with ExitStack() as stack:
        stack.callback(came.close)
        moments = stack.enter_context(tempfile.NamedTemporaryFile()).name
        consumer = stack.enter_context(reader(name, topic, uuid4().hex, came.sink))
        fill(broker().servers, topic, 1)
        eventually(lambda: came.times, 60, consumer)
        sending = stack.enter_context(sender(name, topic, step, count, moments))
        eventually(lambda: len(came.times) > count, count * step + 60, consumer, sending)
        assert sending.ended() == 0, sending
        sent = map(float, Path(moments).read_text().split())
        late = [1000 * (then - now) for now, then in zip(sent, came.times[1:], strict=True)]
        return {"latency": late}


class Arrivals:
    """A pipe to write lines to, and the times at which they came."""

    def __init__(self) -> None:
        self.source, self.sink = os.pipe()
        self.times: list[float] = []
        threading.Thread(target=self.stamp, daemon=True).start()

    def stamp(self) -> None:
        """Take the time of each line until the pipe ends."""
        while data := os.read(self.source, 65536):
            self.times.extend([time.monotonic()] * data.count(b"\n"))
        os.close(self.source)

    def close(self) -> None:
        """End the pipe, once nobody else can write to it."""
        os.close(self.sink)


def sender(name: str, topic: str, step: float, count: int, moments: str) -> Running:
    """A contender that sends numbers at a pace, and writes into a file when it did."""
    if name == OURS:
        code = "from tests.benchmark.contenders import project_paced"
        code += f"; project_paced({step}, {count}, {moments!r})"
        return script("-c", broker().servers, topic, arguments=(code,))
    kind = {BARE: "bare_paced", CONFLUENT: "confluent_paced"}[name]
    return contender(kind, broker().servers, topic, step, count, moments)
