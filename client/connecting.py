"""Waiting for a broker and for the topic: a connected client, or the reason why there is none."""

import queue
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from types import MappingProxyType
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import kafka
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, errors

from client import workarounds
from client.messages import NAME, describe, is_transient
from client.monitor import ConnectionMonitor, start_monitoring, stop_monitoring
from client.output import notify
from client.settings import TOPIC, read_settings
from client.stalls import StallNotice
from client.stopping import stop
from client.values import check_together

# Seconds after which whoever waits looks at `stop` again.
POLL_INTERVAL = 0.2

# What a cluster answers that cannot create a topic yet: it has too few brokers for the replicas,
# or no connection to ZooKeeper, or no controller (RuntimeError: admin/client.py:368 of 3.0.12).
NOT_CREATABLE_YET = (errors.InvalidReplicationFactorError, errors.UnknownError, RuntimeError)

# Options of every client. Connect again every 250 ms, so that a broker that is back is noticed at
# once; give up a request after six seconds; notice new partitions within five.
COMMON = {"reconnect_backoff_max_ms": 250, "request_timeout_ms": 6_000}
COMMON |= {"metadata_max_age_ms": 5_000}

Client = TypeVar("Client", KafkaProducer, KafkaConsumer)

monitors: WeakKeyDictionary[KafkaProducer | KafkaConsumer, ConnectionMonitor] = WeakKeyDictionary()


def connect(
    client: type[Client],
    new: Callable[..., Client],
    partitions: Callable[[Client, str], set],
    defaults: Mapping[str, object] = MappingProxyType({}),
) -> Client:
    """A connected client of a kafka-python class that knows the partitions of the topic.

    `new` makes one with the options that it is given, `partitions` is the method of the class that
    asks for them; `defaults` are options of the class that settings may change. Waits for a broker
    and the topic. Raises KeyboardInterrupt if `stop` is set meanwhile, and SystemExit where
    retrying cannot help.
    """
    options = COMMON | dict(defaults) | read_settings() | {"bootstrap_timeout_ms": None}
    check_together(client.DEFAULT_CONFIG | options)
    if not workarounds.apply():
        notify(f"kafka-python is {kafka.__version__}: {workarounds.ONLY_FOR}.")
    monitor, given_up = start_monitoring(), threading.Event()

    def attempt() -> Client | None:
        with KafkaAdminClient(**supported_options(KafkaAdminClient, options, monitor)) as admin:
            ensure_topic(admin, monitor)
        made = new(**supported_options(client, options, monitor))
        return knowing_partitions(made, partitions, given_up)

    # In a thread of its own: the constructors look up names and wait where no signal interrupts.
    outcome = monitor.outcome = queue.SimpleQueue()
    try:
        in_thread(attempts, attempt, monitor, outcome, given_up)
        made = result_of(outcome, monitor)
    except BaseException:
        given_up.set()
        stop_monitoring(monitor)
        in_thread(abandon, monitor)
        raise
    monitor.outcome = None
    monitors[made] = monitor
    return made


def in_thread(function: Callable[..., None], *arguments: object) -> None:
    """Run a function in a thread of its own; SystemExit where there may be no more threads."""
    try:
        threading.Thread(target=function, args=arguments, daemon=True).start()
    except RuntimeError as error:
        sys.exit(f"Cannot start ({error}): this machine or container allows no more threads.")


def knowing_partitions(
    made: Client, partitions: Callable[[Client, str], set], given_up: threading.Event
) -> Client | None:
    """A client once it knows the partitions of the topic; None, and closed, if it was given up."""
    try:
        # Without them the first number would be late, and the group might assign none.
        while not given_up.is_set():
            with suppress(errors.RetriableError):
                if partitions(made, TOPIC):
                    return made
            stop.wait(POLL_INTERVAL)
    except BaseException:
        close(made)
        raise
    close(made)
    return None


def result_of(outcome: queue.SimpleQueue, monitor: ConnectionMonitor) -> Any:
    """The client that the queue gets; until then, say what is awaited if that lasts."""
    stall = StallNotice(monitor)
    while not stop.is_set():
        stall.update("for Kafka")
        with suppress(queue.Empty):
            result = outcome.get(timeout=POLL_INTERVAL)
            if isinstance(result, SystemExit):
                raise result
            stall.update()
            return result
    raise KeyboardInterrupt


def abandon(monitor: ConnectionMonitor) -> None:
    """End a constructor that would try to connect for ever, in a program that goes on."""
    with suppress(Exception):
        monitor.client.close()


def attempts(
    attempt: Callable[[], Client | None],
    monitor: ConnectionMonitor,
    outcome: queue.SimpleQueue,
    given_up: threading.Event,
) -> None:
    """Try until there is a client, which the queue gets, or the reason why there cannot be one."""
    while not given_up.is_set():
        try:
            if made := attempt():
                outcome.put(made)
                return
        except SystemExit as error:
            outcome.put(error)
            return
        except Exception as error:
            if not is_transient(error):
                outcome.put(SystemExit(f"Cannot start: {describe(error)[0]}."))
                return
            monitor.failed_request(error)
            stop.wait(POLL_INTERVAL)  # the broker went away in the middle of it


def close(client: KafkaProducer | KafkaConsumer) -> None:
    """Close a client within a second, giving up what is not acknowledged or committed."""
    with suppress(errors.KafkaError):
        if isinstance(client, KafkaProducer):
            client.close(timeout=0.5)
        else:
            client.close(autocommit=False, timeout_ms=300)
    if client in monitors:
        stop_monitoring(monitors.pop(client))


def monitor_of(client: KafkaProducer | KafkaConsumer) -> ConnectionMonitor:
    """The monitor of the connection that a client was made for."""
    return monitors[client]


def supported_options(
    client: Any, options: dict[str, object], monitor: ConnectionMonitor
) -> dict[str, Any]:
    """Those of the options that a class of kafka-python has, and by which it is monitored."""
    supported = {name: options[name] for name in options.keys() & client.DEFAULT_CONFIG}
    return supported | monitor.options_for(client)


def ensure_topic(admin: KafkaAdminClient, monitor: ConnectionMonitor) -> None:
    """Return when Kafka has the topic; create it with the cluster's defaults where it has not.

    Not left to auto.create.topics.enable, which is off on many a cluster. Raises KafkaError.
    """
    notified, pause = False, 0.02
    while not stop.is_set():
        (topic,) = admin.describe_topics([TOPIC])
        error = errors.for_code(topic["error_code"])
        if error is errors.NoError:
            return
        if error is errors.UnknownTopicOrPartitionError:
            try:
                # A broker that has just started has not heard of its topics yet.
                with suppress(errors.TopicAlreadyExistsError):
                    admin.create_topics([TOPIC])
            except NOT_CREATABLE_YET:
                if not notified:
                    notify(f"Waiting to create topic {NAME}: brokers are missing or not ready.")
                notified = True
        elif not error.retriable:
            raise error(TOPIC)
        monitor.failed_request(error)
        stop.wait(pause)
        pause = min(2 * pause, POLL_INTERVAL)  # as a rule the topic has its leaders at once
