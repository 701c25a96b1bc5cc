"""What the producers do: write numbers to Kafka at a steady pace, and account for each."""

import math
import time
from collections import deque
from collections.abc import Iterator
from contextlib import suppress

from kafka_utils import (
    POLL_INTERVAL,
    TOPIC,
    TRANSIENT,
    KafkaError,
    KafkaTimeoutError,
    close_kafka_producer,
    connect_kafka_producer,
    describe,
    end_without_output,
    notify,
    print_lines,
    stop,
    stop_on_signals,
)

IN_FLIGHT_LIMIT = 10_000  # unacknowledged numbers; the next one waits
LAST_WAIT = 4  # seconds to wait at the end for the last acknowledgements
TOLERANCE = 0.1  # seconds by which a number may be late; a quarter of sleep_time if that is more


def produce(sleep_time: float = 1, even: bool = True, key: str | None = None) -> None:
    """Write 0, 2, 4, … with key A, or 1, 3, 5, … with key B, one every `sleep_time` seconds.

    `key` names another origin than A or B. Prints a number once it is acknowledged, with its
    partition and offset. Returns when it was stopped (Ctrl-C, SIGTERM, SIGHUP) and all is
    acknowledged; raises SystemExit(1) if something is not, and ValueError for bad arguments.
    """
    if type(sleep_time) not in (int, float) or not 0 <= sleep_time < math.inf:
        raise ValueError(f"sleep_time={sleep_time!r} is not a number of seconds from 0 on")
    key = ("A" if even else "B") if key is None else key
    if not isinstance(key, str) or not key or not key.isprintable():
        raise ValueError(f"key={key!r} is not a printable text")
    stop_on_signals()
    try:
        producer = connect_kafka_producer()
    except KeyboardInterrupt:
        return notify("Interrupted!")
    first = number = 0 if even else 1
    status = 0
    pending: deque = deque()  # numbers that are not acknowledged, each with its future
    try:
        for due in due_times(sleep_time):
            wait_until(due, key, pending)
            if stop.is_set():
                break
            if sleep_time and time.monotonic() - due > max(TOLERANCE, sleep_time / 4):
                continue  # too late, after a pause: the number is sent at the next time
            with suppress(KafkaTimeoutError, *TRANSIENT):  # the topic is missing just now
                future = producer.send(TOPIC, key=key.encode(), value=str(number).encode())
                pending.append((number, future))
                number += 2
        notify("Interrupted!")
        deadline = time.monotonic() + LAST_WAIT
        while pending and time.monotonic() < deadline:
            report_acknowledged(key, pending, POLL_INTERVAL)
    except KafkaError as error:
        refused = pending[0][0] if pending and pending[0][1].failed() else number
        status = 1
        notify(f"Number {refused} was not accepted: {describe(error)[0]}.")
    except OSError as error:
        end_without_output(error)
    finally:
        close_kafka_producer(producer)
        sent = (number - first) // 2
        notify(f"{key}: {sent} sent, {sent - len(pending)} acknowledged.")
        if pending:
            lost = f"{pending[0][0]} to {pending[-1][0]}"
            notify(f"{len(pending)} unacknowledged (may be stored): {lost}.")
    if pending or status:
        raise SystemExit(1)


def due_times(interval: float) -> Iterator[float]:
    """Times on the monotonic clock `interval` seconds apart, without those that were missed."""
    start, k = time.monotonic(), 0
    while True:
        yield start + k * interval
        k = max(k + 1, int((time.monotonic() - start) / interval)) if interval else 0


def wait_until(due: float, key: str, pending: deque) -> None:
    """Return when the next number may be sent, or at `stop`; reports acknowledgements meanwhile."""
    notified = False
    while not stop.is_set():
        early = due - time.monotonic()
        full = len(pending) >= IN_FLIGHT_LIMIT
        wait = POLL_INTERVAL if full else min(max(early, 0), POLL_INTERVAL)
        report_acknowledged(key, pending, wait)
        if early <= 0 and not full:
            return
        if full and len(pending) >= IN_FLIGHT_LIMIT and not notified:
            notified = True
            notify(f"{IN_FLIGHT_LIMIT} numbers are unacknowledged: waiting before the next one.")


def report_acknowledged(key: str, pending: deque, timeout: float) -> None:
    """Print the numbers that are acknowledged; wait for the oldest at most `timeout` seconds.

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
        number, stored = pending[0][0], pending.popleft()[1].value
        lines.append(f"{key}: {number}  (partition {stored.partition}, offset {stored.offset})")
    print_lines(lines)
    if pending and pending[0][1].failed():
        raise pending[0][1].exception
