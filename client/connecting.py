"""Waiting for a broker: why it cannot be reached, and when it is back; the topic."""

import logging
import queue
import threading
from contextlib import suppress
from typing import TypeVar

import kafka
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, errors

from client import workarounds
from client.messages import NAME, describe, is_transient, notify
from client.settings import TOPIC, read_settings
from client.stopping import stop

# Seconds between two looks at `stop` while waiting for something else.
POLL_INTERVAL = 0.2

# Seconds after which a connection counts as made: some are accepted and closed at once.
STABLE_AFTER = 1

# What a cluster answers that cannot create a topic yet: it has too few brokers for the replicas,
# or no connection to ZooKeeper, or no controller (RuntimeError: admin/client.py:368 of 3.0.12).
NOT_CREATABLE_YET = (errors.InvalidReplicationFactorError, errors.UnknownError, RuntimeError)

Client = TypeVar("Client", KafkaProducer, KafkaConsumer)


class ConnectionReport(logging.Handler):
    """Says when a connection is lost and when it is back, as kafka-python's log tells.

    The log is the only place where kafka-python says why it cannot connect; shown as it is, it
    would flood the terminal.
    """

    def __init__(self) -> None:
        super().__init__()
        self.addresses: dict[object, str] = {}  # by the number of the broker
        self.connected: set[str] = set()
        self.lost: set[str] = set()
        self.awaited: dict[str, str] = {}
        self.outcome: queue.SimpleQueue = queue.SimpleQueue()

    def listen(self) -> None:
        """Receive what kafka-python logs of its connections from now on."""
        for name in ("kafka.net.manager", "kafka.net.connection"):
            logging.getLogger(name).setLevel(logging.INFO)
            logging.getLogger(name).addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Take note of a connection that is begun, made or lost."""
        match record.msg, record.args:
            case "Initializing connection for node_id %s at %s:%s (rack=%s)", (node, host, port, _):
                self.addresses[node] = f"{host}:{port}"
            case "%s: Connected", (connection,):
                later = threading.Timer(STABLE_AFTER, self.made, [connection])
                later.daemon = True
                later.start()
            case "%s: Connection lost: %s", (connection, error) if str(error):  # else we closed it
                self.failed(self.addresses[connection.node_id], error)

    def failed(self, server: str, error: Exception) -> None:
        """Say once why a server cannot be reached, or that its connection broke."""
        reason, final = describe(error)
        if stop.is_set() or server in self.lost:
            return
        if server in self.connected:
            self.connected.remove(server)
            self.lost.add(server)
            told = reason.partition(":")[0]  # without the hint at a setting: these settings worked
            notify(f"Connection to {server} lost: {told}. Trying until it is back.")
        elif final:
            self.outcome.put(SystemExit(f"Kafka at {server} cannot be used: {reason}."))
        elif self.awaited.get(server) != reason:
            self.awaited[server] = reason
            servers = ", ".join(f"{name} ({why})" for name, why in self.awaited.items())
            notify(f"Waiting for Kafka at {servers}.")

    def made(self, connection: object) -> None:
        """Say that a server is back if its connection still stands."""
        if not connection.connected:
            return
        with self.lock:
            server = self.addresses[connection.node_id]
            self.connected.add(server)
            self.awaited.pop(server, None)
            if server in self.lost:
                self.lost.remove(server)
                notify(f"Connection to {server} is back.")


report = ConnectionReport()


def connect(client: type[Client], *topics: str, **options: object) -> Client:
    """A connected client of a kafka-python class, for a topic that exists; waits for both.

    Raises KeyboardInterrupt if `stop` is set meanwhile, and SystemExit where waiting cannot help.
    """
    # A quarter of a second between two attempts, so that a broker that is back is noticed at once,
    # and six until a request counts as lost in the network.
    options |= {"reconnect_backoff_max_ms": 250, "request_timeout_ms": 6_000}
    options |= read_settings() | {"bootstrap_timeout_ms": None}
    if not workarounds.apply():
        notify(f"kafka-python is {kafka.__version__}: {workarounds.ONLY_FOR}.")
    report.listen()
    outcome = report.outcome = queue.SimpleQueue()

    def attempt() -> None:
        while not stop.is_set():
            try:
                with KafkaAdminClient(**known_to(KafkaAdminClient, options)) as admin:
                    ensure_topic(admin)
                return outcome.put(client(*topics, **known_to(client, options)))
            except Exception as error:
                if not is_transient(error):
                    return outcome.put(SystemExit(f"Cannot start: {describe(error)[0]}."))
                stop.wait(POLL_INTERVAL)  # the broker went away in the middle of it

    # In a thread of its own: the constructors look up names and wait where no signal interrupts.
    threading.Thread(target=attempt, daemon=True).start()
    while not stop.is_set():
        with suppress(queue.Empty):
            result = outcome.get(timeout=POLL_INTERVAL)
            if isinstance(result, SystemExit):
                raise result
            return result
    raise KeyboardInterrupt


def known_to(client: type, options: dict[str, object]) -> dict[str, object]:
    """Those of the options that a class of kafka-python has."""
    return {name: options[name] for name in options.keys() & client.DEFAULT_CONFIG}


def ensure_topic(admin: KafkaAdminClient) -> None:
    """Return when Kafka has the topic; create it with the cluster's defaults where it has not.

    Not left to auto.create.topics.enable, which is off on many a cluster. Raises KafkaError.
    """
    notified = False
    while not stop.is_set():
        (topic,) = admin.describe_topics([TOPIC])
        error = errors.for_code(topic["error_code"])
        if error is errors.NoError:
            return
        if error is errors.UnknownTopicOrPartitionError:
            try:
                admin.create_topics([TOPIC])
            except errors.TopicAlreadyExistsError:
                pass
            except NOT_CREATABLE_YET:
                if not notified:
                    notify(f"Waiting to create topic {NAME}: brokers are missing or not ready.")
                notified = True
        elif not error.retriable:
            raise error(TOPIC)
        stop.wait(POLL_INTERVAL)
