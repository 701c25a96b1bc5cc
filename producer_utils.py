"""What the producers do: write numbers to Kafka at a steady pace, and account for each."""

from __future__ import annotations

import math
import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import suppress

from kafka_utils import (
    POLL_INTERVAL,
    TOPIC,
    KafkaError,
    KafkaTimeoutError,
    close_kafka_producer,
    connect_kafka_producer,
    describe,
    is_transient,
    notify,
    output_lost,
    print_lines,
    stop,
    stop_on_signals,
)

# Numbers that may be unacknowledged; the next ones wait for these.
IN_FLIGHT_LIMIT = 10_000

# Seconds that the broker gets to acknowledge the last numbers.
LAST_WAIT = 4

# Seconds by which a number may be late and is still sent; a quarter of sleep_time if that is more.
TOLERANCE = 0.1


def produce(sleep_time: float = 1, even: bool = True, key: str | None = None) -> None:
    """Write 0, 2, 4, … with key A, or 1, 3, 5, … with key B, one every `sleep_time` seconds.

    `key` names another origin than A or B. Prints a number once it is acknowledged, with its
    partition and offset. Returns when it was stopped (Ctrl-C, SIGTERM, SIGHUP) and all is
    acknowledged; raises SystemExit(1) if something is not, and ValueError for a sleep_time that is
    no number from 0 on, or a key that is no printable text.
    """
    key = check(sleep_time, ("A" if even else "B") if key is None else key)
    stop_on_signals()
    try:
        producer = connect_kafka_producer()
    except KeyboardInterrupt:
        return notify("Interrupted!")
    number, sent, status = 0 if even else 1, 0, 0
    pending: deque = deque()  # numbers that are not acknowledged, each with its future
    tolerance = max(TOLERANCE, sleep_time / 4)
    try:
        for due in due_times(sleep_time):
            wait_until(due, key, pending)
            if stop.is_set():
                break
            if sleep_time and time.monotonic() - due > tolerance:
                continue  # held up or asleep: the next number goes out at the next time
            try:
                future = producer.send(TOPIC, key=key.encode(), value=str(number).encode())
            except KafkaError as error:
                if not is_transient(error):
                    raise
                continue  # the topic is missing just now: the same number goes out next time
            pending.append((number, future))
            number, sent = number + 2, sent + 1
        notify("Interrupted!")
        deadline = time.monotonic() + LAST_WAIT
        while pending and time.monotonic() < deadline:
            report_acknowledged(key, pending, POLL_INTERVAL)
    except KafkaError as error:
        refused = pending[0][0] if pending else number  # the latter by send() itself
        notify(f"Number {refused} was not accepted: {describe(error)[0]}.")
    except OSError as error:
        status = output_lost(error)
    close_kafka_producer(producer)
    notify(f"{key}: {sent} sent, {sent - len(pending)} acknowledged.")
    if pending:
        first, last = pending[0][0], pending[-1][0]
        notify(f"{len(pending)} unacknowledged (may be stored): {first} to {last}.")
    if pending or status:
        sys.exit(1)


def check(sleep_time: object, key: object) -> str:
    """The key; raises ValueError where one of them cannot be used."""
    if isinstance(sleep_time, bool) or not isinstance(sleep_time, (int, float)):
        raise ValueError(f"sleep_time={sleep_time!r} is not a number of seconds")
    if not 0 <= sleep_time < math.inf:
        raise ValueError(f"sleep_time={sleep_time!r} is not 0 or a positive number of seconds")
    if not isinstance(key, str) or not key or not key.isprintable():
        raise ValueError(f"key={key!r} is not a printable text")
    return key


def due_times(interval: float) -> Iterator[float]:
    """Times on the monotonic clock `interval` seconds apart, without those that are long past."""
    start, k = time.monotonic(), 0
    while True:
        yield start + k * interval
        elapsed = time.monotonic() - start
        k = max(k + 1, math.floor(elapsed / interval)) if interval else 0


def wait_until(due: float, key: str, pending: deque) -> None:
    """Return when the next number may be sent, or at `stop`; reports acknowledgements meanwhile."""
    notified = False
    while not stop.is_set():
        early = due - time.monotonic()
        full = len(pending) >= IN_FLIGHT_LIMIT
        report_acknowledged(
            key, pending, POLL_INTERVAL if full else min(max(early, 0), POLL_INTERVAL)
        )
        if early <= 0 and not full:
            return
        if full and len(pending) >= IN_FLIGHT_LIMIT and not notified:
            notified = True
            notify(f"{IN_FLIGHT_LIMIT} numbers are unacknowledged: waiting before the next one.")


def report_acknowledged(key: str, pending: deque, timeout: float) -> None:
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
        stored = future.value
        lines.append(f"{key}: {number}  (partition {stored.partition}, offset {stored.offset})")
    print_lines(lines)
    if pending and pending[0][1].failed():
        raise pending[0][1].exception
