"""A script that waits says for what, with the broker's reason, and when it is over."""

from collections.abc import Iterator

import pytest
from confluent_kafka import Consumer, Producer

from tests.support.client import write
from tests.support.process import eventually, script
from tests.support.servers import Broker
from tests.support.trio import SCRIPTS

# Nothing is created by itself, and no group can have a coordinator: one broker is one replica.
STRICT = {"auto.create.topics.enable": "false", "offsets.topic.replication.factor": 3}


@pytest.fixture(scope="module")
def strict(tmp_path_factory, ours_to_stop) -> Iterator[Broker]:
    """A broker for this file that refuses what others create."""
    with Broker(tmp_path_factory.mktemp("strict"), STRICT) as broker:
        broker.start()
        yield broker


def test_a_consumer_whose_group_has_no_coordinator_says_so_once(strict, topic, add):
    strict.create(topic)
    consumer = add(script("consumer_c.py", strict.servers, topic))
    consumer.said("Waiting to join the group: no coordinator: .*replication.factor", 12)
    assert consumer.stop() == 0
    assert len(consumer.err) == 3, consumer  # with what it reads, and that it was interrupted


def test_a_producer_whose_topic_was_deleted_says_so_and_goes_on_when_it_is_back(strict, topic, add):
    strict.create(topic)
    producer = add(script("producer_a.py", strict.servers, topic))
    producer.said("A: 2 ")
    strict.delete(topic)
    producer.said(f'Waiting for .*: there is no topic "{topic}"', 12)
    printed = len(producer.out)
    strict.create(topic)
    producer.said("No longer waiting for", 12)
    eventually(lambda: len(producer.out) > printed + 1, 10, "more numbers of", producer)
    assert producer.stop() == 0
    numbers = [int(line.split()[1]) for line in producer.out]
    assert numbers == list(range(0, 2 * len(numbers), 2))


def test_where_all_brokers_are_fenced_each_script_says_so(own_kraft, topic, add):
    # One heartbeat in 20 s: the controller takes the broker for dead after the first 0.3 s.
    own_kraft.settings |= {"broker.session.timeout.ms": 300, "broker.heartbeat.interval.ms": 20_000}
    own_kraft.start()
    scripts = [add(script(name, own_kraft.servers, topic)) for name in SCRIPTS]
    for one in scripts:
        one.said("^Waiting .*: all brokers are fenced, or not registered yet", 8)
        assert one.stop() in (0, 1), one  # 1: a number was sent before


def test_a_consumer_whose_place_was_taken_ends_at_once_also_on_an_idle_topic(run, broker, topic):
    settings = {"KAFKA_GROUP_INSTANCE_ID": "c"}
    broker.create(topic)
    first = run("consumer_c.py", **settings)
    first.said("Reading partition 0")
    second = run("consumer_c.py", **settings)
    assert first.ended(5) == 1
    assert first.err[-1] == "Reading stopped: another consumer has this KAFKA_GROUP_INSTANCE_ID."
    second.said("Reading partition 0")
    assert second.stop() == 0


def test_a_consumer_behind_an_open_transaction_says_that_something_holds_it_back(
    run, broker, topic
):
    write(broker.servers, topic, 0)
    consumer = run("consumer_c.py")
    consumer.said("A: 0")
    producer = Producer({"bootstrap.servers": broker.servers, "transactional.id": topic})
    producer.init_transactions(20)
    producer.begin_transaction()
    producer.produce(topic, "2", "A")
    producer.flush(20)
    consumer.said("Waiting for the next records of partition 0: perhaps an open transaction", 15)
    assert not consumer.find("A: 2")
    producer.commit_transaction(20)
    consumer.said("No longer waiting for the next records of partition 0")
    consumer.said("A: 2")
    assert consumer.stop() == 0


def test_a_consumer_whose_group_uses_another_protocol_ends_with_the_reason(run, broker, topic):
    write(broker.servers, topic, 0)
    settings = {"bootstrap.servers": broker.servers, "group.id": topic}
    settings |= {"partition.assignment.strategy": "cooperative-sticky"}
    other = Consumer(settings | {"auto.offset.reset": "earliest"})
    other.subscribe([topic])
    eventually(lambda: other.poll(0.1), 20, "the other member reads")
    consumer = run("consumer_c.py")

    def ended() -> bool:
        other.poll(0.1)
        return not consumer.alive

    eventually(ended, 10, "an end of", consumer)
    other.close()
    assert consumer.ended() == 1
    assert consumer.err[-1] == (
        "Reading stopped: the group uses another protocol: see KAFKA_GROUP_ID."
    )
