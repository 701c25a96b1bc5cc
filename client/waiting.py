"""One line when a wait lasts, with the broker's own reason, and one when it is over."""

import time

from client.messages import notify
from client.outages import report

# Seconds after which a wait is reported. Without an answer of the broker it takes longer: that the
# connection is lost (request_timeout_ms) says more.
PATIENCE = 5
WITHOUT_ANSWER = 7.5


class Wait:
    """What a script waits for, and which reasons for it were given."""

    def __init__(self) -> None:
        self.awaited = ""
        self.since = 0.0
        self.given: set[str] = set()

    def update(self, awaited: str, likely: str = "no answer") -> None:
        """Take note of what is waited for now, empty for nothing; report each reason once.

        `likely` is the reason where no broker gives one.
        """
        now = time.monotonic()
        if awaited != self.awaited:
            if self.given:
                notify(f"The wait for {self.awaited} is over.")
            self.awaited, self.since, self.given = awaited, now, set()
        since = max(self.since, report.changed)
        reason = report.answer if report.answered > since else ""
        if not awaited or now < since + (PATIENCE if reason else WITHOUT_ANSWER):
            return
        if not reason and report.lost:  # the lost connection was reported
            return
        reason = reason or likely
        if reason not in self.given:
            self.given.add(reason)
            notify(f"Waiting for {awaited}: {reason}.")
