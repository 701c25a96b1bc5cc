"""What kafka-python's log tells: a connection lost, and why; back; an error that a broker answered.

The log is the only place where kafka-python says why it cannot connect and what it tries again.
Shown as it is, it would flood the terminal.
"""

import logging
import queue
import threading
import time
from functools import partial

from kafka import errors

from client.messages import describe, notify
from client.stopping import stop

# Seconds after which a connection counts as made: some are accepted and closed at once.
STABLE_AFTER = 1

# Seconds within which an error of a broker counts as the same as before.
SAME_WITHIN = 5

# The loggers to read, and the level that each needs: that a group has no coordinator, or that it is
# just starting, is logged at DEBUG only.
LOGGERS = dict.fromkeys(("kafka.net.manager", "kafka.net.connection"), logging.INFO)
LOGGERS |= dict.fromkeys(("kafka.cluster", "kafka.producer.sender"), logging.WARNING)
LOGGERS |= dict.fromkeys(("kafka.coordinator", "kafka.coordinator.consumer"), logging.DEBUG)
LOGGERS["kafka.coordinator.heartbeat"] = logging.INFO

# What is logged without the error that the broker answered.
UNNAMED = {
    "Topic %s not found in cluster metadata": errors.UnknownTopicOrPartitionError,
    "Group Coordinator Not Available; retry": errors.CoordinatorNotAvailableError,
}

NO_ANSWER = (errors.NoError, errors.RequestTimedOutError)


class ConnectionReport:
    """Says when a connection is lost and when it is back; knows the last error of a broker."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.addresses: dict[object, str] = {}  # by kafka-python's name for the broker
        self.connected: set[str] = set()
        self.lost: set[str] = set()
        self.unreachable: dict[str, str] = {}  # since the start, and why
        self.changed_at = 0.0  # when a connection was lost or came back
        self.last_error = ""  # what a broker answered last,
        self.last_error_at = 0.0  # when,
        self.repeated_since = 0.0  # and since when it has been the same
        self.outcome: queue.SimpleQueue | None = None  # of whoever is connecting

    def listen(self) -> None:
        """Read kafka-python's log from now on; who logs it elsewhere gets what they asked for."""
        loggers = {name: logging.getLogger(name) for name in LOGGERS}
        wanted = {name: logger.getEffectiveLevel() for name, logger in loggers.items()}
        for name, logger in loggers.items():
            if not logger.filters:
                logger.addFilter(partial(self.read, wanted[name]))
                logger.setLevel(min(LOGGERS[name], wanted[name]))

    def read(self, level: int, record: logging.LogRecord) -> bool:
        """Take note of a line of the log; whether it reaches the level that was asked for."""
        with self.lock:
            self.note(record)
        return record.levelno >= level

    def note(self, record: logging.LogRecord) -> None:
        """Take note of a connection that is begun, made or lost, or of a broker's error."""
        match record.msg, record.args:
            case "Initializing connection for node_id %s at %s:%s (rack=%s)", (node, host, port, _):
                self.addresses[node] = f"{host}:{port}"
            case "%s: Connected", (connection,):
                later = threading.Timer(STABLE_AFTER, self.stable, [connection])
                later.daemon = True
                later.start()
            case "%s: Connection lost: %s", (connection, error) if str(error):  # else we closed it
                self.failed(self.addresses[connection.node_id], error)
            case message, arguments:
                for logged in (UNNAMED.get(message), *arguments):
                    if error := broker_error(logged):
                        self.failed_request(describe(error())[0], time.monotonic())

    def failed_request(self, reason: str, now: float) -> None:
        """Take note of an error that a broker answered."""
        if reason != self.last_error or now > self.last_error_at + SAME_WITHIN:
            self.repeated_since = now
        self.last_error, self.last_error_at = reason, now

    def failed(self, server: str, error: Exception) -> None:
        """Say once why a server cannot be reached, or that its connection broke."""
        reason, final = describe(error)
        outcome = self.outcome  # connect() may forget it meanwhile
        if stop.is_set() or server in self.lost:
            return
        if server in self.connected or not outcome:
            self.connected.discard(server)
            self.lost.add(server)
            self.changed_at = time.monotonic()
            told = reason.partition(":")[0]  # without the hint: these settings worked
            notify(f"Connection to {server} lost: {told}. Trying until it is back.")
        elif final:
            outcome.put(SystemExit(f"Kafka at {server} cannot be used: {reason}."))
        elif self.unreachable.get(server) != reason:
            self.unreachable[server] = reason
            servers = ", ".join(f"{name} ({why})" for name, why in self.unreachable.items())
            notify(f"Waiting for Kafka at {servers}.")

    def stable(self, connection: object) -> None:
        """Say that a server is back if its connection still stands."""
        with self.lock:
            if not connection.connected:
                return
            server = self.addresses[connection.node_id]
            self.connected.add(server)
            self.unreachable.pop(server, None)
            if server in self.lost:
                self.lost.remove(server)
                self.changed_at = time.monotonic()
                notify(f"Connection to {server} is back.")


def broker_error(logged: object) -> type[errors.BrokerResponseError] | None:
    """The class of a broker's error that was logged as class, instance or name; else None.

    kafka-python raises RequestTimedOutError itself: then no broker has answered.
    """
    kind = getattr(errors, logged, None) if isinstance(logged, str) else logged
    kind = type(kind) if isinstance(kind, Exception) else kind
    is_error = isinstance(kind, type) and issubclass(kind, errors.BrokerResponseError)
    return kind if is_error and kind not in NO_ANSWER else None


report = ConnectionReport()
