"""What both producers do: write numbers to Kafka at a steady pace and account for each."""

from __future__ import annotations

import math
import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import suppress

from kafka_utils import (
    GLANCE,
    PASSING,
    TOPIC,
    KafkaError,
    KafkaTimeoutError,
    close_kafka_producer,
    connect_kafka_producer,
    describe,
    output_lost,
    say,
    show,
    stop,
    stop_on_signals,
)

# Numbers that may wait for their acknowledgement; the next ones wait for these.
LIMIT = 10_000

# Seconds that the broker gets to acknowledge the last numbers.
LAST_WAIT = 4

# Seconds by which a number may be late and still goes out; a quarter of sleep_time if that is more.
LATE = 0.1


def produce(sleep_time: float = 1, even: bool = True) -> None:
    """Write 0, 2, 4, … with key A, or 1, 3, 5, … with key B, one every `sleep_time` seconds.

    Prints a number once it is acknowledged, with the partition and offset where it lies. Returns
    when it was stopped (Ctrl-C, SIGTERM, SIGHUP) and all is acknowledged; raises SystemExit(1)
    if something is not, and ValueError for a sleep_time that is no number from 0 on.
    """
    if isinstance(sleep_time, bool) or not isinstance(sleep_time, (int, float)):
        raise ValueError(f"sleep_time={sleep_time!r} is not a number of seconds")
    if not 0 <= sleep_time < math.inf:
        raise ValueError(f"sleep_time={sleep_time!r} is not 0 or a positive number of seconds")
    stop_on_signals()
    try:
        producer = connect_kafka_producer()
    except KeyboardInterrupt:
        return say("Interrupted!")
    key, number, status = ("A", 0, 0) if even else ("B", 1, 0)
    pending: deque = deque()  # what was sent and is not acknowledged: (number, future)
    sent, late = 0, max(LATE, sleep_time / 4)
    try:
        for due in grid(sleep_time):
            wait(due, key, pending)
            if stop.is_set():
                break
            if sleep_time and time.monotonic() - due > late:
                continue  # held up or asleep: the next number goes out at the next time
            with suppress(KafkaTimeoutError, *PASSING):  # no such topic now: try the same again
                future = producer.send(TOPIC, key=key.encode(), value=str(number).encode())
                pending.append((number, future))
                number, sent = number + 2, sent + 1
        say("Interrupted!")
        deadline = time.monotonic() + LAST_WAIT
        while pending and time.monotonic() < deadline:
            report(key, pending, GLANCE)
    except KafkaError as error:
        refused = pending[0][0] if pending else number  # the latter by send() itself
        say(f"Number {refused} was not accepted: {describe(error)[0]}.")
    except OSError as error:
        status = output_lost(error)
    close_kafka_producer(producer)
    say(f"{key}: {sent} sent, {sent - len(pending)} acknowledged.")
    if pending:
        say(f"{len(pending)} numbers remain unsent: {pending[0][0]} to {pending[-1][0]}.")
    if pending or status:
        sys.exit(1)


def grid(step: float) -> Iterator[float]:
    """Times on the monotonic clock `step` seconds apart, without those that are long past."""
    start, k = time.monotonic(), 0
    while True:
        yield start + k * step
        elapsed = time.monotonic() - start
        k = max(k + 1, math.floor(elapsed / step)) if step else 0


def wait(due: float, key: str, pending: deque) -> None:
    """Return when the next number may go out, or at `stop`; reports acknowledgements meanwhile."""
    said = False
    while not stop.is_set():
        early = due - time.monotonic()
        full = len(pending) >= LIMIT
        report(key, pending, GLANCE if full else min(max(early, 0), GLANCE))
        if early <= 0 and not full:
            return
        if full and len(pending) >= LIMIT and not said:
            said = True
            say(f"{LIMIT} numbers wait for their acknowledgement: no more until some have it.")


def report(key: str, pending: deque, timeout: float) -> None:
    """Print the numbers that are acknowledged; wait for the first of them at most `timeout` s.

    Raises the error of a number that will never be acknowledged, and OSError of the output.
    """
    if not pending:
        stop.wait(timeout)
        return
    if timeout:
        with suppress(KafkaTimeoutError):
            pending[0][1].get(timeout)
    lines = []
    while pending and pending[0][1].succeeded():
        number, future = pending.popleft()
        lines.append(
            f"{key}: {number}  (partition {future.value.partition}, offset {future.value.offset})"
        )
    show(lines)
    if pending and pending[0][1].failed():
        raise pending[0][1].exception
