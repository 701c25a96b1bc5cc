"""What the producers do: write numbers to Kafka at a steady pace, and account for each."""

import math
import time

from kafka_utils import TOPIC, TOPIC_MISSING, InFlight, connect_kafka_producer, script, stop

TOLERANCE = 0.1  # seconds by which a number may be late, or a quarter of sleep_time if that is more


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
    with (
        script("Writing"),
        connect_kafka_producer() as producer,
        InFlight(key, producer) as in_flight,
    ):
        due = time.monotonic()
        while not stop.is_set():
            if on_time(due, sleep_time):
                number = (0 if even else 1) + 2 * in_flight.sent
                try:
                    future = producer.send(TOPIC, key=key.encode(), value=str(number).encode())
                    in_flight.add(number, future)
                except TOPIC_MISSING:  # not sent: the same number is tried at the next time
                    in_flight.topic_missing = True
            due = next_time(due, sleep_time)
            in_flight.report(until=due)


def on_time(due: float, interval: float) -> bool:
    """Whether a number may still be sent; after a pause it is not, so that there is no burst."""
    return not interval or time.monotonic() <= due + max(TOLERANCE, interval / 4)


def next_time(due: float, interval: float) -> float:
    """The first time of the schedule that is not over, on the monotonic clock."""
    missed = (time.monotonic() - due) / interval if interval else 0
    return due + max(1, math.ceil(missed)) * interval
