"""One line when a wait lasts, with the broker's own reason, and one when it is over."""

import time

from client.messages import NO_TOPIC
from client.monitor import ConnectionMonitor
from client.output import notify

# Seconds to wait before reporting, if the broker has given the same reason all the time: one that
# has just started gives others for a moment. Without a reason it takes longer: if the connection is
# lost, that is reported after request_timeout_ms, and says more.
PATIENCE = 5
WITHOUT_REASON = 7.5


class StallNotice:
    """What a script waits for, and which reasons for it were given."""

    def __init__(self, monitor: ConnectionMonitor) -> None:
        self.monitor = monitor
        self.awaiting = ""
        self.since = 0.0
        self.reported: set[str] = set()

    def update(self, awaited: str = "", likely: str = "") -> None:
        """Take note of what is awaited, as in "for a number" or "to start"; say each reason once.

        `awaited` is empty for nothing; `likely` is the reason where no broker gives one.
        """
        now, monitor = time.monotonic(), self.monitor
        if awaited != self.awaiting:
            if self.reported:
                notify(f"No longer waiting {self.awaiting}.")
            self.awaiting, self.since, self.reported = awaited, now, set()
        since = max(self.since, monitor.changed_at)
        repeated_since, last = monitor.repeated.get(monitor.last_error, (0.0, 0.0))
        reason = monitor.last_error if last > since else ""
        if reason == NO_TOPIC and monitor.topic_id():  # there is one now
            reason = ""
        begun = max(since, repeated_since) if reason else since
        if not awaited or now < begun + (PATIENCE if reason else WITHOUT_REASON):
            return
        if not reason and (monitor.outcome or (monitor.lost and not monitor.connected)):
            return  # that there is no connection was reported
        reason = reason or monitor.throttled() or likely or monitor.leaderless() or "no answer"
        if reason not in self.reported:
            self.reported.add(reason)
            notify(f"Waiting {awaited}: {reason}.")
