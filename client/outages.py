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

# From which level on its loggers tell: of connections, of errors that are tried again. That a group
# has no coordinator is told at no higher level.
LOGGERS = dict.fromkeys(("kafka.net.manager", "kafka.net.connection"), logging.INFO)
LOGGERS |= {"kafka.cluster": logging.WARNING, "kafka.producer.sender": logging.WARNING}
LOGGERS |= {"kafka.coordinator": logging.DEBUG, "kafka.coordinator.consumer": logging.INFO}

# What is logged without the error that the broker answered.
UNNAMED = {
    "Topic %s not found in cluster metadata": errors.UnknownTopicOrPartitionError,
    "Group Coordinator Not Available; retry": errors.CoordinatorNotAvailableError,
}


class ConnectionReport:
    """Says when a connection is lost and when it is back; knows the last error of a broker."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.addresses: dict[object, str] = {}  # by kafka-python's name for the broker
        self.connected: set[str] = set()
        self.lost: set[str] = set()
        self.awaited: dict[str, str] = {}
        self.changed = 0.0  # when a connection was lost or came back
        self.answer = ""  # the last error that a broker answered
        self.answered = 0.0  # when it did
        self.outcome: queue.SimpleQueue | None = None  # of whoever is connecting

    def listen(self) -> None:
        """Read kafka-python's log from now on; who logs it elsewhere gets what they asked for."""
        for name, level in LOGGERS.items():
            logger = logging.getLogger(name)
            if not logger.filters:
                logger.addFilter(partial(self.read, logger.getEffectiveLevel()))
                logger.setLevel(min(level, logger.getEffectiveLevel()))

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
                        self.answer, self.answered = describe(error())[0], time.monotonic()

    def failed(self, server: str, error: Exception) -> None:
        """Say once why a server cannot be reached, or that its connection broke."""
        reason, final = describe(error)
        if stop.is_set() or server in self.lost:
            return
        if server in self.connected or not self.outcome:
            self.connected.discard(server)
            self.lost.add(server)
            self.changed = time.monotonic()
            told = reason.partition(":")[0]  # without the hint: these settings worked
            notify(f"Connection to {server} lost: {told}. Trying until it is back.")
        elif final and self.outcome:
            self.outcome.put(SystemExit(f"Kafka at {server} cannot be used: {reason}."))
        elif self.awaited.get(server) != reason:
            self.awaited[server] = reason
            servers = ", ".join(f"{name} ({why})" for name, why in self.awaited.items())
            notify(f"Waiting for Kafka at {servers}.")

    def stable(self, connection: object) -> None:
        """Say that a server is back if its connection still stands."""
        if not connection.connected:
            return
        with self.lock:
            server = self.addresses[connection.node_id]
            self.connected.add(server)
            self.awaited.pop(server, None)
            if server in self.lost:
                self.lost.remove(server)
                self.changed = time.monotonic()
                notify(f"Connection to {server} is back.")


def broker_error(logged: object) -> type[errors.BrokerResponseError] | None:
    """The class of a broker's error that was logged as class, instance or name; else None."""
    kind = getattr(errors, logged, None) if isinstance(logged, str) else logged
    kind = type(kind) if isinstance(kind, Exception) else kind
    is_error = isinstance(kind, type) and issubclass(kind, errors.BrokerResponseError)
    return kind if is_error and kind.errno else None


report = ConnectionReport()
