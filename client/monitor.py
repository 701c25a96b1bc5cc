"""What kafka-python's log tells: a connection lost, and why; back; an error that a broker answered.

The log is the only place where kafka-python says why it cannot connect and what it tries again.
Shown as it is, it would flood the terminal. Each connection has a monitor of its own, which takes
note of what is logged in the threads of its clients.
"""

import logging
import os
import queue
import selectors
import threading
import time
from collections.abc import Collection
from contextlib import suppress
from typing import Any
from uuid import UUID
from weakref import WeakSet

from kafka import errors

from client.messages import describe
from client.output import notify
from client.settings import TOPIC
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
LOGGERS["kafka.consumer.fetcher"] = logging.ERROR
LOGGERS["kafka.coordinator.assignors"] = logging.CRITICAL  # not the DEBUG of its parent

# What is logged without the error that the broker answered.
UNNAMED = {
    "Topic %s not found in cluster metadata": errors.UnknownTopicOrPartitionError,
    "Topic %s is not available during auto-create initialization": errors.LeaderNotAvailableError,
    "No broker metadata found in MetadataResponse -- ignoring.": errors.BrokerNotAvailableError,
    "Group Coordinator Not Available; retry": errors.CoordinatorNotAvailableError,
}

# ZooKeeper, which closes the connection without a word, can be told only by its port.
ZOOKEEPER = ":" + (os.environ.get("ZOOKEEPER_PORT") or "2181")

# Where there is a proxy, it may be what cannot be reached, and is what says so of a broker.
PROXIES = ("KAFKA_PROXY_URL", "KAFKA_SOCKS5_PROXY")
THROUGH = "".join(f" through {name}" for name in PROXIES if os.environ.get(name))

NAMED_IT = (
    "answered with that address: set advertised.listeners on the broker to one that this machine"
    " can reach"
)

NO_ANSWER = (errors.NoError, errors.RequestTimedOutError)


class ConnectionMonitor:
    """Says when a connection is lost and when it is back; knows the last error of a broker."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.threads: WeakSet[threading.Thread] = WeakSet()  # which run the clients' network code
        self.takes_all = False  # where kafka-python does not tell which threads these are
        self.client: Any = None  # kafka-python's network client that was made last
        self.addresses: dict[object, str] = {}  # by kafka-python's name for the broker
        self.connected: set[str] = set()
        self.lost: set[str] = set()
        self.unreachable: dict[str, str] = {}  # since the start, and why
        self.said: set[tuple[str, str]] = set()  # these servers and reasons
        self.asked = ""  # the bootstrap server that was tried last,
        self.answered = ""  # and the one that named the brokers
        self.changed_at = 0.0  # when a connection was lost or came back
        self.last_error = ""  # what a broker answered last
        self.repeated: dict[str, tuple[float, float]] = {}  # each error: since when, and when last
        self.throttled_until = 0.0  # by a quota, as a broker said
        self.final: errors.KafkaError | None = None  # with which kafka-python goes on for ever
        self.outcome: queue.SimpleQueue | None = None  # while connecting

    def options_for(self, client: Any) -> dict[str, Any]:
        """Options of a kafka-python class by which its clients are monitored."""
        defaults, monitor = client.DEFAULT_CONFIG, self

        def new_client(**configs: object) -> object:
            made = defaults["kafka_client"](**configs)
            monitor.client = made
            return made

        def new_selector() -> selectors.BaseSelector:
            selector = defaults["selector"]()
            select = selector.select

            def select_in_known_thread(timeout: float | None = None) -> list:
                monitor.threads.add(threading.current_thread())
                return select(timeout)

            selector.select = select_in_known_thread
            return selector

        self.takes_all = "selector" not in defaults
        own = {"kafka_client": new_client, "selector": new_selector}
        return {name: own[name] for name in own.keys() & defaults}

    def topic_id(self) -> UUID | None:
        """The id of the topic as the client knows it now; None if it does not know any."""
        return self.client.cluster.topic_id(TOPIC) if self.client else None

    def leaderless(self, among: Collection[int] | None = None) -> str:
        """Which partitions of the topic, or of some of them, have no leader; empty if all have."""
        cluster = self.client.cluster
        led = cluster.available_partitions_for_topic(TOPIC) or set()
        numbers = sorted((cluster.partitions_for_topic(TOPIC) or set()) - led)
        names = ", ".join(str(one) for one in numbers if among is None or one in among)
        return f"no leader of partition {names}: its brokers are missing" if names else ""

    def throttled(self) -> str:
        """Why a broker has told us to send nothing for some time; empty if it has not."""
        over = time.monotonic() < self.throttled_until
        return describe(errors.ThrottlingQuotaExceededError())[0] if over else ""

    def read(self, record: logging.LogRecord) -> None:
        """Take note of a line of kafka-python's log if it is of this connection."""
        if self.takes_all or threading.current_thread() in self.threads:
            with self.lock:
                self.note(record)

    def note(self, record: logging.LogRecord) -> None:
        """Take note of a connection that is begun, made, slowed or lost, or of a broker's error."""
        match record.msg, record.args:
            case "Attempting bootstrap to %s at %s:%s (rack %s)", (_, host, port, _):
                self.asked = host_port(host, port)
            case "Bootstrap complete: %s", _:
                self.answered = self.asked
                self.unreachable.pop(self.answered, None)
            case "Metadata refresh: failed %s", (errors.IncompatibleBrokerVersion() as error,):
                if self.outcome:  # later there is a broker that we can use
                    self.failed(self.asked, error)
            case "Heartbeat thread caught fenced group_instance_id %s error", _:
                self.final = errors.FencedInstanceIdError()
            case "Fetch to node %s failed: %s", (_, errors.IncompatibleBrokerVersion() as error):
                self.final = error
            case "Initializing connection for node_id %s at %s:%s (rack=%s)", (node, host, port, _):
                self.addresses[node] = host_port(host, port)
            case "%s: Connected", (connection,):
                later = threading.Timer(STABLE_AFTER, self.stable, [connection])
                later.daemon = True
                later.start()
            case "%s: Connection lost: %s", (connection, error) if str(error):  # else we closed it
                self.failed(self.address(connection), error)
            case "%s: %s throttled by broker (%d ms)", (_, _, int(milliseconds)):
                until = time.monotonic() + milliseconds / 1000
                self.throttled_until = max(until, self.throttled_until)
            case message, (*_, "RequestTimedOutError", _) if "produce response" in message:
                self.failed_request(errors.ReplicaNotAvailableError)
            case message, tuple(arguments):
                for logged in (UNNAMED.get(message), *arguments):
                    self.failed_request(logged)

    def address(self, connection: Any) -> str:
        """Host and port of a connection's broker."""
        node = connection.node_id
        if node in self.addresses:
            return self.addresses[node]
        known = self.client.cluster.broker_metadata(node)
        return host_port(known.host, known.port) if known else f"broker {node}"

    def failed_request(self, error: object) -> None:
        """Take note of an error if a broker has answered it."""
        if answered := broker_error(error):
            reason, now = describe(answered())[0], time.monotonic()
            begun, last = self.repeated.get(reason, (now, now))  # several may take turns
            self.repeated[reason] = begun if now < last + SAME_WITHIN else now, now
            self.last_error = reason

    def failed(self, server: str, error: Any) -> None:
        """Say each reason once why a server cannot be reached, or that its connection broke."""
        reason, final = describe(error)
        outcome = self.outcome  # connect() may forget it meanwhile
        if stop.is_set() or server in self.lost:
            return
        if server in self.connected or not outcome:
            self.connected.discard(server)
            self.lost.add(server)
            self.changed_at = time.monotonic()
            cause = reason.partition(":")[0]  # without the hint: these settings worked
            notify(f"Connection to {server} lost: {cause}. Reconnecting.")
        elif final:
            outcome.put(SystemExit(f"Kafka at {server} cannot be used: {reason}."))
        elif (said := (server, likely(server, reason))) not in self.said:
            self.said.add(said)
            self.unreachable.pop(server, None)
            self.unreachable[server] = said[1]  # as the last
            servers = ", ".join(f"{name} ({why})" for name, why in self.unreachable.items())
            notify(f"Waiting for Kafka{THROUGH} at {servers}.{self.origin_of(server)}")

    def origin_of(self, server: str) -> str:
        """A sentence on who gave an address that no setting names; else nothing."""
        bootstrap = self.client.cluster.bootstrap_brokers()
        if not self.answered or server in {host_port(one.host, one.port) for one in bootstrap}:
            return ""
        return f" {self.answered} {NAMED_IT}."

    def stable(self, connection: Any) -> None:
        """Say that a server is back if its connection still stands."""
        with self.lock:
            if not connection.connected:
                return
            server = self.address(connection)
            self.connected.add(server)
            self.unreachable.pop(server, None)
            if server in self.lost:
                self.lost.remove(server)
                self.changed_at = time.monotonic()
                notify(f"Connection to {server} is back.")


def host_port(host: Any, port: Any) -> str:
    """An address as settings write it: IPv6 in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def likely(server: str, reason: str) -> str:
    """The reason why a server cannot be reached; at ZooKeeper's port it is not its security."""
    if server.endswith(ZOOKEEPER) and "KAFKA_SECURITY_PROTOCOL" in reason:
        return "this is ZooKeeper's port: name a broker's, usually 9092"
    return reason


def broker_error(logged: object) -> type[errors.BrokerResponseError] | None:
    """The class of a broker's error that was logged as class, instance or name; else None.

    kafka-python raises RequestTimedOutError itself: then no broker has answered.
    """
    kind: Any = getattr(errors, logged, None) if isinstance(logged, str) else logged
    kind = type(kind) if isinstance(kind, Exception) else kind
    is_error = isinstance(kind, type) and issubclass(kind, errors.BrokerResponseError)
    return kind if is_error and kind not in NO_ANSWER else None


class LogReader(logging.Filter):
    """Shows kafka-python's log to the monitors; lets pass what the level in force asked for."""

    def __init__(self, logger: logging.Logger) -> None:
        super().__init__()
        self.logger, self.own_level, self.disabled = logger, logger.level, logger.disabled
        self.level = logger.getEffectiveLevel()

    def start(self, level: int) -> None:
        """Have the logger show what is of this level, even to a program that has disabled it."""
        self.logger.addFilter(self)
        self.logger.setLevel(min(level, self.level))
        self.logger.disabled = False

    def stop(self) -> None:
        """Leave the logger as it was."""
        self.logger.removeFilter(self)
        self.logger.setLevel(self.own_level)
        self.logger.disabled = self.disabled

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a line is of the level that somebody else has asked for."""
        for monitor in list(monitors):
            with suppress(Exception):  # which would be raised inside kafka-python
                monitor.read(record)
        return record.levelno >= self.level and not self.disabled


monitors: list[ConnectionMonitor] = []
readers: dict[str, LogReader] = {}
lock = threading.Lock()


def start_monitoring() -> ConnectionMonitor:
    """A monitor that reads kafka-python's log from now on."""
    monitor = ConnectionMonitor()
    with lock:
        if not monitors:
            # All of them first: a logger without a level of its own has that of its parent.
            readers.update({name: LogReader(logging.getLogger(name)) for name in LOGGERS})
            for name, reader in readers.items():
                reader.start(LOGGERS[name])
        monitors.append(monitor)
    return monitor


def stop_monitoring(monitor: ConnectionMonitor) -> None:
    """Read the log for this monitor no longer; the last one leaves the log as it was."""
    with lock:
        if monitor in monitors:
            monitors.remove(monitor)
            if not monitors:
                for reader in readers.values():
                    reader.stop()
