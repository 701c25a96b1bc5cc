"""What Kafka has stored is deleted or cut under the scripts: what is still there is read once."""

from __future__ import annotations

import os
import signal

import pytest

from tests.support.account import printed
from tests.support.client import records, try_create, write
from tests.support.process import Running, eventually, hold, script
from tests.support.servers import Broker

pytestmark = pytest.mark.timeout(180)


@pytest.fixture
def broker(own_broker) -> Broker:
    """A broker of the test's own, whose log may be cut, and which creates no topic by itself."""
    own_broker.settings["auto.create.topics.enable"] = "false"
    return own_broker.start()


def recreate(broker: Broker, topic: str, numbers: range) -> None:
    """Delete a topic, create it again, and write these numbers."""
    broker.admin.delete_topics([topic])[topic].result(20)
    eventually(lambda: topic not in broker.admin.list_topics(timeout=10).topics, 10, "no topic")
    eventually(lambda: try_create(broker.admin, topic, 1), 10, "the topic again")
    write(broker.servers, topic, *numbers)


@pytest.mark.parametrize("end", ["paused", "running", "stopped", "killed"])
def test_a_topic_created_again_and_longer_than_before_is_read_whole(broker, topic, add, end):
    def consumer() -> Running:
        return add(script("consumer_c.py", broker.servers, topic, KAFKA_SESSION_TIMEOUT_MS="6000"))

    broker.create(topic)
    write(broker.servers, topic, *range(100, 105))
    one = consumer()
    one.said("A: 104")
    if end == "paused":
        one.send(signal.SIGSTOP)
    elif end == "stopped":
        assert one.stop() == 0
    elif end == "killed":
        hold(1)  # committed
        one.kill()
    recreate(broker, topic, range(20))
    if end == "paused":
        hold(7)  # longer than its session
        one.send(signal.SIGCONT)
    elif end != "running":
        one = consumer()
    one.said("^A: 19$", 20)
    shown = [number for _, number in printed(one) if number < 100]
    assert sorted(set(shown)) == list(range(20)), one
    if end != "running":  # there some may be fetched before the new topic is noticed
        assert shown == list(range(20)), one
    assert one.stop() == 0
    again = consumer()
    write(broker.servers, topic, 20)
    again.said("^A: 20$", 20)
    assert again.out == ["A: 20"]


def cut(broker: Broker, topic: str, share: float) -> None:
    """Kill Kafka, cut a share off the end of a partition's log, and start Kafka again."""
    broker.kafka.kill()
    directory = broker.data / "kafka" / f"{topic}-0"
    log = directory / "00000000000000000000.log"
    os.truncate(log, int(log.stat().st_size * (1 - share)))
    for snapshot in directory.glob("*.snapshot"):
        snapshot.unlink()
    broker.start()


def test_a_log_that_lost_its_end_is_read_on_where_it_ends_and_nothing_twice(broker, topic, add):
    broker.create(topic)
    write(broker.servers, topic, *range(2000))
    consumer = add(script("consumer_c.py", broker.servers, topic))
    consumer.said("A: 1999")
    cut(broker, topic, 0.1)
    left = len(records(broker.servers, topic, at_least=1000))
    assert left < 2000
    write(broker.servers, topic, *range(5000, 5100))
    consumer.said(f"Partition 0: Kafka has lost the end of its log, resuming at offset {left}.", 20)
    consumer.said("A: 5099", 20)
    assert consumer.out == [f"A: {n}" for n in (*range(2000), *range(5000, 5100))], consumer
    assert consumer.stop() == 0
    again = add(script("consumer_c.py", broker.servers, topic))
    write(broker.servers, topic, 6000)
    again.said("A: 6000", 20)
    assert again.out == ["A: 6000"], again
