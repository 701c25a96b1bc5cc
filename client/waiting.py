"""One line when a wait lasts, with the broker's own reason, and one when it is over."""

import time

from client.messages import notify
from client.outages import report

# Seconds after which a wait is reported, if the broker has given the same reason all the time: one
# that has just started gives others for a moment. Without any reason it takes longer, since that
# the connection is lost (request_timeout_ms) says more.
PATIENCE = 5
WITHOUT_REASON = 7.5


class Wait:
    """What a script waits for, and which reasons for it were given."""

    def __init__(self) -> None:
        self.awaiting = ""
        self.since = 0.0
        self.reported: set[str] = set()

    def update(self, awaited: str, likely: str = "no answer") -> None:
        """Take note of what is waited for now, empty for nothing; report each reason once.

        `likely` is the reason where no broker gives one.
        """
        now = time.monotonic()
        if awaited != self.awaiting:
            if self.reported:
                notify(f"The wait for {self.awaiting} is over.")
            self.awaiting, self.since, self.reported = awaited, now, set()
        since = max(self.since, report.changed_at)
        reason = report.last_error if report.last_error_at > since else ""
        begun = max(since, report.repeated_since) if reason else since
        if not awaited or now < begun + (PATIENCE if reason else WITHOUT_REASON):
            return
        if not reason and report.lost and not report.connected:  # that was reported
            return
        reason = reason or likely
        if reason not in self.reported:
            self.reported.add(reason)
            notify(f"Waiting for {awaited}: {reason}.")
