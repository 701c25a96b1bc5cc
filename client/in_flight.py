"""What a producer has sent: each number is printed once it is acknowledged, and all are counted."""

from __future__ import annotations

import time
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING

from kafka import KafkaProducer
from kafka.errors import KafkaError, KafkaTimeoutError, OutOfOrderSequenceNumberError

from client.connecting import POLL_INTERVAL, close, monitor_of
from client.messages import NAME, TRANSIENT, describe
from client.output import notify, notify_interrupted, print_lines, printable
from client.stalls import StallNotice
from client.stopping import stop

if TYPE_CHECKING:
    from kafka.future import Future

# What send() raises, or its future, while there is no topic.
TOPIC_MISSING = (KafkaTimeoutError, ValueError, *TRANSIENT)

LIMIT = 10_000  # unacknowledged numbers; the next one waits
LAST_WAIT = 4  # seconds to wait at the end for the last acknowledgements

# What was sent to a partition that is gone cannot be sent to another one.
CREATED_AGAIN = f"topic {NAME} was created again, with fewer partitions: start this script again"


class InFlight:
    """The numbers of one key that were sent and are not acknowledged yet, oldest first.

    Leaving the `with` block waits for the last acknowledgements, closes the producer and counts;
    it raises SystemExit(1) if a number is not acknowledged.
    """

    def __init__(self, key: str, producer: KafkaProducer) -> None:
        self.key, self.producer = printable(key.encode()), producer
        self.pending: deque[tuple[int, Future]] = deque()
        self.sent = 0
        self.topic_missing = False
        self.monitor = monitor_of(producer)
        self.stall = StallNotice(self.monitor)
        self.topic_id = self.monitor.topic_id()  # when nothing was in flight

    def add(self, number: int, future: Future) -> None:
        """Count a number as sent; its future is done when Kafka has answered.

        Raises an error of TOPIC_MISSING, or SystemExit if Kafka has rejected it already.
        """
        if future.failed() and isinstance(future.exception, TOPIC_MISSING):
            raise future.exception
        if future.failed():
            raise rejected(number, future)
        if not self.pending:
            self.topic_id = self.monitor.topic_id()
        self.pending.append((number, future))
        self.sent += 1
        self.topic_missing = False

    def report(self, until: float) -> None:
        """Print the numbers that are acknowledged until that time on the monotonic clock.

        Returns earlier at `stop`, and later while the next number has to wait. Raises SystemExit if
        Kafka rejects a number, and OSError if writing fails.
        """
        notified = False
        while not stop.is_set():
            early = until - time.monotonic()
            full = self.is_full()
            self.print_acknowledged(POLL_INTERVAL if full else min(max(early, 0), POLL_INTERVAL))
            if early <= 0 and not full:
                return
            if len(self.pending) >= LIMIT and not notified:
                notified = True
                notify(f"{LIMIT} numbers are unacknowledged: sending pauses.")

    def is_full(self) -> bool:
        """Whether the next number has to wait, as it has to until the first is acknowledged.

        If Kafka refuses the first number it is sent again: none may be sent behind it until then.
        """
        return len(self.pending) >= (LIMIT if self.sent > len(self.pending) else 1)

    def print_acknowledged(self, timeout: float) -> None:
        """Print what is acknowledged now; wait for the oldest number at most `timeout` seconds."""
        if not self.pending:
            stop.wait(timeout)
        elif timeout:
            with suppress(KafkaError):  # no answer yet, or rejected: handled below
                self.pending[0][1].get(timeout)
        lines = []
        while self.pending and self.pending[0][1].succeeded():
            number, stored = self.pending[0][0], self.pending.popleft()[1].value
            partition, offset = stored.partition, stored.offset
            lines.append(f"{self.key}: {number}  (partition {partition}, offset {offset})")
        print_lines(lines)
        if self.pending and self.pending[0][1].failed():
            self.reject(*self.pending[0])
        self.stall.update(*self.awaiting())

    def reject(self, number: int, future: Future) -> None:
        """Raise SystemExit with the reason why Kafka has rejected a number.

        Returns, with the number to be sent again, if it was the first one and its sequence number
        did not fit: a broker whose data were deleted may give the id of a running producer to a new
        one. kafka-python has asked for another id then.
        """
        if self.sent == 1 and isinstance(future.exception, OutOfOrderSequenceNumberError):
            self.pending.clear()
            self.sent = 0
        else:
            raise rejected(number, future)

    def awaiting(self) -> tuple[str, ...]:
        """What the producer waits for, with the likely reason; often nothing."""
        if self.pending:
            outlived = self.monitor.topic_id() not in (None, self.topic_id)
            awaited = f"for the acknowledgement of number {self.pending[0][0]}"
            return awaited, CREATED_AGAIN if outlived else ""
        return (f"for topic {NAME}",) if self.topic_missing else ()

    def __enter__(self) -> InFlight:
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        notify_interrupted()
        try:
            deadline = time.monotonic() + (0 if error else LAST_WAIT)
            with suppress(BrokenPipeError):
                while self.pending and time.monotonic() < deadline:
                    self.print_acknowledged(POLL_INTERVAL)
        finally:
            close(self.producer)
            if self.pending:  # some may be acknowledged since
                with suppress(OSError, SystemExit):
                    self.print_acknowledged(0)
            self.summarize()
        if self.pending and (error is None or isinstance(error, BrokenPipeError)):
            raise SystemExit(1)

    def summarize(self) -> None:
        """Say how many numbers were sent, and which were not acknowledged."""
        count = len(self.pending)
        notify(f"{self.key}: {self.sent} sent, {self.sent - count} acknowledged.")
        if count:
            lost = f"{self.pending[0][0]} to {self.pending[-1][0]}"
            notify(f"{count} unacknowledged (may be stored): {lost}.")


def rejected(number: int, future: Future) -> SystemExit:
    """The end of a script whose number Kafka has rejected for good."""
    return SystemExit(f"The broker rejected number {number}: {describe(future.exception)[0]}.")
