"""What the producers do: write numbers to Kafka at a steady pace, and account for each."""

import math
import time
from collections.abc import Iterator

from kafka_utils import (
    POLL_INTERVAL,
    TOPIC,
    TRANSIENT,
    KafkaError,
    KafkaTimeoutError,
    Unacknowledged,
    close_kafka_producer,
    connect_kafka_producer,
    describe,
    end_without_output,
    notify,
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
    number, unacknowledged, status = 0 if even else 1, Unacknowledged(key), 0
    try:
        for due in due_times(sleep_time):
            wait_until(due, unacknowledged)
            if stop.is_set():
                break
            if sleep_time and time.monotonic() - due > max(TOLERANCE, sleep_time / 4):
                continue  # too late, after a pause: the number is sent at the next time
            try:
                future = producer.send(TOPIC, key=key.encode(), value=str(number).encode())
                if future.failed():
                    raise future.exception
            except (KafkaTimeoutError, ValueError, *TRANSIENT):  # there is no topic just now
                unacknowledged.topic_missing = True  # the number is sent at the next time
            else:
                unacknowledged.add(number, future)
                number += 2
        notify("Interrupted!")
        deadline = time.monotonic() + LAST_WAIT
        while unacknowledged and time.monotonic() < deadline:
            unacknowledged.report(POLL_INTERVAL)
    except KafkaError as error:
        status = 1
        refused = unacknowledged.refused(next_number=number)
        notify(f"Number {refused} was not accepted: {describe(error)[0]}.")
    except OSError as error:
        end_without_output(error)
    finally:
        close_kafka_producer(producer)
        unacknowledged.summarize()
    if unacknowledged or status:
        raise SystemExit(1)


def due_times(interval: float) -> Iterator[float]:
    """Times on the monotonic clock `interval` seconds apart, without those that were missed."""
    start, k = time.monotonic(), 0
    while True:
        yield start + k * interval
        k = max(k + 1, int((time.monotonic() - start) / interval)) if interval else 0


def wait_until(due: float, unacknowledged: Unacknowledged) -> None:
    """Return when the next number may be sent, or at `stop`; reports acknowledgements meanwhile."""
    notified = False
    while not stop.is_set():
        early = due - time.monotonic()
        full = len(unacknowledged) >= IN_FLIGHT_LIMIT
        unacknowledged.report(POLL_INTERVAL if full else min(max(early, 0), POLL_INTERVAL))
        if early <= 0 and not full:
            return
        if full and len(unacknowledged) >= IN_FLIGHT_LIMIT and not notified:
            notified = True
            notify(f"{IN_FLIGHT_LIMIT} numbers are unacknowledged: waiting before the next one.")
