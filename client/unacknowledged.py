"""What a producer has sent: each number is printed once it is acknowledged, and all are counted."""

from collections import deque
from contextlib import suppress

from kafka.errors import KafkaTimeoutError

from client.messages import NAME, notify, print_lines
from client.stopping import stop
from client.waiting import Wait


class Unacknowledged:
    """The numbers of one key that were sent and are not acknowledged yet, oldest first."""

    def __init__(self, key: str) -> None:
        self.key = key
        self.pending: deque = deque()  # each number with its future
        self.sent = 0
        self.topic_missing = False
        self.wait = Wait()

    def __len__(self) -> int:
        return len(self.pending)

    def add(self, number: int, future: object) -> None:
        """Count a number as sent; its future is done when Kafka has answered."""
        self.pending.append((number, future))
        self.sent += 1
        self.topic_missing = False

    def report(self, timeout: float) -> None:
        """Print the numbers that are acknowledged; wait for the oldest at most `timeout` seconds.

        Raises the error of a number that will never be acknowledged, and OSError of the output.
        """
        if not self.pending:
            stop.wait(timeout)
        elif timeout:
            with suppress(KafkaTimeoutError):
                self.pending[0][1].get(timeout)
        lines = []
        while self.pending and self.pending[0][1].succeeded():
            number, stored = self.pending[0][0], self.pending.popleft()[1].value
            partition, offset = stored.partition, stored.offset
            lines.append(f"{self.key}: {number}  (partition {partition}, offset {offset})")
        print_lines(lines)
        if self.pending and self.pending[0][1].failed():
            raise self.pending[0][1].exception
        self.wait.update(self.awaiting())

    def awaiting(self) -> str:
        """What the producer waits for, empty for nothing."""
        if self.pending:
            return f"the acknowledgement of number {self.pending[0][0]}"
        return f"topic {NAME}" if self.topic_missing else ""

    def refused(self, next_number: int) -> int:
        """The number that Kafka has refused: the oldest, or the next one, which was not sent."""
        failed = self.pending and self.pending[0][1].failed()
        return self.pending[0][0] if failed else next_number

    def summarize(self) -> None:
        """Say how many numbers were sent, and which were not acknowledged."""
        count = len(self.pending)
        notify(f"{self.key}: {self.sent} sent, {self.sent - count} acknowledged.")
        if count:
            lost = f"{self.pending[0][0]} to {self.pending[-1][0]}"
            notify(f"{count} unacknowledged (may be stored): {lost}.")
