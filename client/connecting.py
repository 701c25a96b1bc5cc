"""Waiting for a broker and for the topic: a connected client, or the reason why there is none."""

import queue
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

import kafka
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, errors

from client import workarounds
from client.messages import NAME, describe, is_transient, notify
from client.outages import report
from client.settings import TOPIC, read_settings
from client.stopping import stop

# Seconds after which whoever waits looks at `stop` again.
POLL_INTERVAL = 0.2

# What a cluster answers that cannot create a topic yet: it has too few brokers for the replicas,
# or no connection to ZooKeeper, or no controller (RuntimeError: admin/client.py:368 of 3.0.12).
NOT_CREATABLE_YET = (errors.InvalidReplicationFactorError, errors.UnknownError, RuntimeError)

Client = TypeVar("Client", KafkaProducer, KafkaConsumer)


def connect(
    client: type[Client], partitions: Callable[[Client, str], set], *topics: str, **options: object
) -> Client:
    """A connected client of a kafka-python class that knows the partitions of the topic.

    `partitions` is the method of the class that asks for them. Waits for a broker and the topic.
    Raises KeyboardInterrupt if `stop` is set meanwhile, and SystemExit where retrying cannot help.
    """
    # Connect again every 250 ms, so that a broker that is back is noticed at once; give up a
    # request after six seconds; notice new partitions within five.
    options |= {"reconnect_backoff_max_ms": 250, "request_timeout_ms": 6_000}
    options |= {"metadata_max_age_ms": 5_000}
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
                made = client(*topics, **known_to(client, options))
                # Without them the first number would be late, and the group might assign none.
                while not stop.is_set():
                    with suppress(errors.RetriableError):
                        if partitions(made, TOPIC):
                            return outcome.put(made)
                    stop.wait(POLL_INTERVAL)
            except Exception as error:
                if not is_transient(error):
                    return outcome.put(SystemExit(f"Cannot start: {describe(error)[0]}."))
                stop.wait(POLL_INTERVAL)  # the broker went away in the middle of it

    # In a thread of its own: the constructors look up names and wait where no signal interrupts.
    threading.Thread(target=attempt, daemon=True).start()
    while not stop.is_set():
        with suppress(queue.Empty):
            result = outcome.get(timeout=POLL_INTERVAL)
            report.outcome = None
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
        stop.wait(pause)
        pause = min(2 * pause, POLL_INTERVAL)  # as a rule the topic has its leaders at once
