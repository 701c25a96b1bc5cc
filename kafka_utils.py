"""What the scripts call: connect, close, poll, commit; and what they need of client/."""

import os
import sys
from contextlib import suppress
from typing import Any

try:
    from kafka import KafkaConsumer, KafkaProducer, OffsetAndMetadata, TopicPartition, errors
    from kafka.errors import KafkaError, KafkaTimeoutError

    from client.connecting import POLL_INTERVAL, connect
    from client.messages import (
        TRANSIENT,
        describe,
        end_without_output,
        is_transient,
        notify,
        print_lines,
        printable,
    )
    from client.progress import NO_USABLE_OFFSET, Progress
    from client.settings import TOPIC
    from client.stopping import stop, stop_on_signals
    from client.unacknowledged import Unacknowledged
except ImportError as error:
    sys.exit(
        f"kafka-python is missing, too old or hidden by another module ({error}):"
        f" {sys.executable} -m pip install -r requirements.txt"
    )

ConsumerRecord = Any  # kafka-python has no public name for the class of its records

# What a commit meets where the group has rebalanced meanwhile: poll() joins it again.
REBALANCED = (errors.CommitFailedError, errors.RebalanceInProgressError)


def connect_kafka_producer() -> KafkaProducer:
    """A producer that is connected to a Kafka that has the topic; waits as long as that takes.

    Raises KeyboardInterrupt if `stop` is set meanwhile, and SystemExit where retrying cannot help.
    """
    # An outage must not cost a number, however long it lasts: no time limit on delivery.
    options = {"acks": "all", "enable_idempotence": True, "delivery_timeout_ms": float("inf")}
    # send() blocks where the topic was deleted; no longer than this, so that it can be stopped.
    return connect(KafkaProducer, KafkaProducer.partitions_for, **options, max_block_ms=500)


def close_kafka_producer(producer: KafkaProducer) -> None:
    """Close a producer within a second, giving up what is not acknowledged."""
    with suppress(KafkaTimeoutError):
        producer.close(timeout=0.5)


def connect_kafka_consumer() -> KafkaConsumer:
    """A consumer of the topic that is connected; waits as long as that takes.

    Its group is KAFKA_GROUP_ID, or `consumer_c`; empty stands for no group. It commits nothing
    by itself. Raises KeyboardInterrupt if `stop` is set meanwhile, and SystemExit where retrying
    cannot help.
    """
    group = os.environ.get("KAFKA_GROUP_ID", "consumer_c") or None
    # A missing offset raises an error, and Progress decides where to resume.
    options = {"group_id": group, "auto_offset_reset": "none", "enable_auto_commit": False}
    # After this time the partitions of a dead consumer are reassigned.
    options |= {"session_timeout_ms": 10_000, "heartbeat_interval_ms": 1_000}
    # A consumer that cannot print for so long leaves its group. A request to join that was lost in
    # the network is sent again five seconds after this time.
    options |= {"max_poll_interval_ms": 30_000}
    # Each batch waits for its commit: with the default of 500 a backlog would wait too often.
    # A fetch that waits for new records in one partition delays the others of that broker.
    options |= {"max_poll_records": 5_000, "fetch_max_wait_ms": 250}
    options |= {"isolation_level": "read_committed"}  # no numbers of aborted transactions
    consumer = connect(KafkaConsumer, KafkaConsumer.partitions_for_topic, TOPIC, **options)
    name = f'as group "{group}"' if group else "without a group: everything, every time"
    notify(f'Reading topic "{TOPIC}" {name}.')
    return consumer


def close_kafka_consumer(consumer: KafkaConsumer) -> None:
    """Close a consumer and leave its group, if that can be done within a third of a second."""
    with suppress(KafkaError):
        consumer.close(autocommit=False, timeout_ms=300)


def poll(consumer: KafkaConsumer, progress: Progress) -> dict[TopicPartition, list[ConsumerRecord]]:
    """The next records of each partition; often there are none.

    Waits for them at most POLL_INTERVAL seconds. Raises KafkaError that retrying cannot fix.
    """
    batches = {}
    try:
        if progress.rebalanced:
            progress.restore_positions()
        commit(consumer, progress)
        if progress.uncommitted:  # only what one poll() returned may be delivered a second time
            consumer.pause(*consumer.assignment())
        else:
            consumer.resume(*consumer.paused())
        batches = consumer.poll(timeout_ms=int(POLL_INTERVAL * 1000))
        progress.announce(batches)
        progress.report_wait(batches)
    except NO_USABLE_OFFSET as error:
        progress.recover_offset(error)
    except KafkaError as error:
        if not is_transient(error):
            raise
        progress.report_wait(batches)
        stop.wait(POLL_INTERVAL)
    if progress.rebalanced:  # put them back: restore_positions() comes first
        for partition, records in batches.items():
            consumer.seek(partition, records[0].offset)
        return {}
    return batches


def commit(consumer: KafkaConsumer, progress: Progress) -> None:
    """Commit what was delivered; what cannot be committed now stays in `progress.uncommitted`.

    Takes at most 2 seconds, or 0.5 once `stop` is set. Raises KafkaError that retrying cannot fix.
    """
    if progress.rebalanced:  # another member may have committed more meanwhile
        return
    if not consumer.config["group_id"]:
        progress.uncommitted.clear()
    if not progress.uncommitted:
        return
    offsets = {
        partition: OffsetAndMetadata(progress.next_offset[partition], "", -1)
        for partition in progress.uncommitted
    }
    try:
        consumer.commit(offsets, timeout_ms=500 if stop.is_set() else 2_000)
    except KafkaError as error:
        if is_transient(error) or isinstance(error, REBALANCED):
            return
        raise
    progress.uncommitted.clear()
