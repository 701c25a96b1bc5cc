"""Topics as clusters have them: with more partitions, with limits, for users with quotas."""

from collections.abc import Callable

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import NewPartitions

from tests.support.account import not_spinning, totals
from tests.support.client import write
from tests.support.process import eventually, hold, producer


@pytest.fixture
def quota(broker, topic, add, ours_to_stop) -> Callable[..., None]:
    """Changes the quota of a client by Kafka's own tool: no client library can."""

    def change(client: str, *change: str) -> None:
        words = ("--bootstrap-server", broker.servers, "--alter", "--entity-type", "clients")
        tool = broker.java("kafka.admin.ConfigCommand", *words, "--entity-name", client, *change)
        assert add(tool).ended(30) == 0, tool

    return change


def test_partitions_that_are_added_are_read_within_seconds(run, broker, topic):
    write(broker.servers, topic, 0)
    consumer = run("consumer_c.py")
    consumer.said("A: 0")
    broker.admin.create_partitions([NewPartitions(topic, 4)])[topic].result(20)
    client = Producer(
        {"bootstrap.servers": broker.servers, "topic.metadata.refresh.interval.ms": 500}
    )
    eventually(lambda: len(client.list_topics(topic, 20).topics[topic].partitions) == 4, 20)
    for number in range(1, 4):
        client.produce(topic, str(number), "B", partition=number)
    assert client.flush(20) == 0
    for number in range(1, 4):
        consumer.said(f"B: {number}", 8)
    assert consumer.stop() == 0
    assert sorted(consumer.out) == ["A: 0", "B: 1", "B: 2", "B: 3"]


def test_a_consumer_at_the_end_of_150_transactions_stays_calm(run, broker, topic):
    broker.create(topic, partitions=150)
    client = Producer({"bootstrap.servers": broker.servers, "transactional.id": topic})
    client.init_transactions(20)
    client.begin_transaction()
    for number in range(150):
        client.produce(topic, str(number), "A", partition=number)
    client.commit_transaction(20)  # which leaves a mark in each partition, behind the number
    consumer = run("consumer_c.py")
    eventually(lambda: len(consumer.out) == 150, 10, consumer)
    with not_spinning(consumer):
        hold(4)


def test_a_producer_whose_partition_is_gone_says_so(run, broker, topic):
    broker.create(topic, partitions=4)
    one = run("producer_a.py")
    one.said(r"^A: 2  \(partition [1-3],")
    broker.delete(topic)  # one of the clients has it created again, with one partition
    one.said("topic .* was created again, with fewer partitions: start this script again")
    assert one.stop() == 1, one
    again = run("producer_a.py")
    again.said(r"^A: 2  \(partition 0,")
    assert not again.find("Waiting for the ack"), again


def test_a_number_with_a_time_that_kafka_refuses_names_the_clock(run, broker, topic):
    # As if the clock were off: a record may be no older than nothing.
    limit = {"message.timestamp.before.max.ms": "0", "message.timestamp.after.max.ms": "0"}
    broker.create(topic, config=limit)
    one = run("producer_a.py")
    assert one.ended(20) == 1
    assert one.find("rejected number .*: it rejects the timestamp"), one
    sent, acknowledged = totals(one)
    assert len(one.out) == acknowledged < sent


@pytest.mark.full
def test_a_quota_makes_a_producer_slower_and_costs_nothing(run, broker, topic, add, quota):
    client = f"slow-{topic}"
    quota(client, "--add-config", "producer_byte_rate=100")
    one = add(producer(broker.servers, topic, 0.05, KAFKA_CLIENT_ID=client))
    two = run("consumer_c.py")
    two.said("A: 4", 30)

    def held_back() -> bool:
        """Whether nothing comes for three seconds, in which sixty numbers are sent."""
        seen = len(two.out)
        hold(3)
        return len(two.out) == seen

    eventually(held_back, 10, "numbers held back by the quota")
    slow = len(two.out)
    quota(client, "--delete-config", "producer_byte_rate")
    eventually(lambda: len(two.out) > slow + 50, 60, "more numbers of", two, one)
    assert one.stop(seconds=15) == 0
    assert not one.find("lost") and not two.find("lost")
    numbers = [int(line.split()[1]) for line in one.out]
    assert numbers == list(range(0, 2 * len(numbers), 2))


def test_who_is_over_the_quota_says_so(run, broker, topic, quota):
    client = f"slow-{topic}"
    quota(client, "--add-config", "producer_byte_rate=5,consumer_byte_rate=5")
    scripts = [run(name, KAFKA_CLIENT_ID=client) for name in ("producer_a.py", "consumer_c.py")]
    for one in scripts:
        one.said("^Waiting for .*: over the quota that Kafka gives this user.", 30)
        assert not one.find("Waiting for .*: no answer|perhaps"), one
