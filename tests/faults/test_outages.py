"""The broker fails in every way a broker can: no number is lost, doubled or out of order."""

import re
import signal
from collections.abc import Iterator
from functools import partial

import psutil
import pytest
from confluent_kafka import OFFSET_END, TopicPartition

from tests.support.account import Account, account, not_spinning, printed, stored
from tests.support.process import Running, eventually, hold, producer, small_disk
from tests.support.servers import Broker
from tests.support.trio import BACK, Trio

# As on many clusters: a topic does not appear by itself, and has more than one partition.
SETTINGS = {"auto.create.topics.enable": "false", "num.partitions": 2}


@pytest.fixture(scope="module")
def outages_broker(tmp_path_factory, ours_to_stop) -> Iterator[Broker]:
    """A broker for this file, which each test leaves running."""
    with Broker(tmp_path_factory.mktemp("outages"), SETTINGS) as broker:
        yield broker


@pytest.fixture
def broker(outages_broker) -> Broker:
    """The file's broker, up and running."""
    return outages_broker.start()


@pytest.fixture
def trio(broker, topic) -> Iterator[Trio]:
    """The three scripts, with numbers flowing."""
    with Trio(broker.servers, topic) as trio:
        trio.flowing(20)
        yield trio


@pytest.mark.full
def test_a_broker_that_is_stopped_and_started_again_costs_nothing(broker, trio):
    broker.kafka.stop(signal.SIGTERM, 20)
    broker.start()
    trio.end()


def test_a_broker_killed_for_a_while_costs_nothing_and_nobody_spins(broker, trio, full):
    with not_spinning(*trio.all):
        broker.kafka.kill()
        hold(30 if full else 4)
    broker.start()
    trio.end()


@pytest.mark.full
def test_ten_kills_in_a_row_cost_nothing(broker, trio):
    for _ in range(10):
        broker.kafka.kill()
        broker.start_kafka()
        hold(3)
    broker.wait()
    trio.end()


def test_a_paused_broker_costs_nothing_and_nobody_spins(broker, trio, full):
    broker.kafka.send(signal.SIGSTOP)
    with not_spinning(*trio.all):
        hold(40 if full else 8)
    broker.kafka.send(signal.SIGCONT)
    trio.end()


def test_no_more_than_ten_thousand_numbers_wait_for_a_broker_that_is_away(broker, topic, add, full):
    one = add(producer(broker.servers, topic, sleep_time=0.0002))
    try:
        one.said("A: 1000 ")
        broker.kafka.send(signal.SIGSTOP)
        one.said("10000 numbers are unacknowledged: sending pauses")
        memory = psutil.Process(one.process.pid).memory_info
        before, reported = memory().rss, len(one.out)
        with not_spinning(one):
            hold(20 if full else 3)
        assert memory().rss - before < 2_000_000  # without the limit: 2.6 MB a second
        broker.kafka.send(signal.SIGCONT)
        eventually(lambda: len(one.out) > reported + 10_000, BACK, "new numbers of", one)
        account([one], [], broker.servers, topic)
    finally:
        broker.kafka.send(signal.SIGCONT)


@pytest.mark.full
def test_numbers_flow_on_without_zookeeper_and_after_it_is_back(broker, trio):
    broker.zookeeper.kill()
    hold(30)  # longer than its sessions
    trio.flowing()
    broker.start_zookeeper()
    broker.zookeeper.said("binding to port", 20)
    hold(10)
    trio.end()


@pytest.mark.full
def test_both_servers_killed_cost_nothing(broker, trio):
    with not_spinning(*trio.all):
        broker.kafka.kill()
        broker.zookeeper.kill()
        hold(10)
    broker.start()
    trio.end()


@pytest.mark.full
def test_a_full_log_directory_costs_nothing_once_there_is_room(own_broker, topic):
    with (
        small_disk(own_broker.data / "kafka", "8m") as disk,
        own_broker as broker,
        Trio(broker.start().servers, topic) as trio,
    ):
        trio.flowing(20)
        ballast = disk / "ballast"
        with open(ballast, "wb", buffering=0) as file, pytest.raises(OSError, match="space"):
            while True:
                file.write(bytes(4096))
        assert broker.kafka.ended(30) != 0  # Kafka stops when it has no directory to write to
        with not_spinning(*trio.all):
            hold(10)
        ballast.unlink()
        broker.start()
        trio.end()


def test_a_missing_topic_is_created_with_the_defaults_of_the_cluster(broker, trio, topic):
    assert len(broker.metadata().topics[topic].partitions) == 2
    trio.end()


@pytest.mark.full
def test_a_topic_that_cannot_be_created_yet_is_created_as_soon_as_possible(own_broker, topic, add):
    own_broker.settings |= SETTINGS | {"zookeeper.session.timeout.ms": 4000}
    own_broker.start()
    own_broker.kafka.send(signal.SIGSTOP)
    names = [f"{topic}-{number}" for number in range(3)]
    started = [add(producer(own_broker.servers, name, 0.1)) for name in names]
    hold(8)  # the broker's session ends: for a moment there will be no controller
    own_broker.kafka.send(signal.SIGCONT)
    for one in started:
        one.said("A: 0 ")


def test_a_consumer_whose_next_records_were_deleted_says_so_and_goes_on(broker, trio, topic):
    consumer = trio.consumer
    consumer.send(signal.SIGSTOP)
    produced = trio.progress()[0]
    eventually(lambda: trio.progress()[0] > produced + 10, 10, "five numbers more")
    everything = [TopicPartition(topic, number, OFFSET_END) for number in (0, 1)]
    for deleted in broker.admin.delete_records(everything).values():
        deleted.result(20)
    consumer.send(signal.SIGCONT)
    consumer.said(r"offset out of range, resuming at offset \d", 5)
    trio.flowing()
    assert_goes_on(trio)


@pytest.mark.parametrize("paused", [True, False], ids=["while paused", "while running"])
def test_a_topic_deleted_and_created_again_is_read_from_its_beginning(broker, trio, topic, paused):
    consumer = trio.consumer
    eventually(lambda: trio.progress()[2] > 60, 20, "some numbers")
    if paused:
        consumer.send(signal.SIGSTOP)
    broker.delete(topic)
    hold(0 if paused else 1)
    broker.create(topic, 2)
    told = len(consumer.err)
    consumer.send(signal.SIGCONT)
    here = r"Partition \d: offset out of range|Reading partition \d from offset 0\."
    # Numbers alone may be some of the old topic, fetched before it was deleted.
    eventually(
        lambda: any(re.match(here, line) for line in consumer.err[told:]), 2 * BACK, consumer
    )
    trio.flowing(2 * BACK)
    assert_goes_on(trio)


def assert_goes_on(trio: Trio) -> None:
    """Account for the numbers of a topic that was emptied: from the first that remains."""
    for one in trio.producers:
        assert one.stop() == 0, one
    consumer = trio.consumer
    written = Account(trio.producers, [consumer], stored(trio.servers, trio.topic)).written
    assert sorted(written) == ["A", "B"]
    for key, numbers in written.items():
        assert numbers == list(range(numbers[0], numbers[-1] + 2, 2))
        until_last = partial(last_shown, consumer, key, numbers[-1])
        shown = eventually(until_last, 10, f"{key} printed")
        assert shown == sorted(set(shown))
        assert shown[-len(numbers) :] == numbers
    assert consumer.stop() == 0


def last_shown(consumer: Running, key: str, last: int) -> list[int]:
    """The numbers of a key that were printed, once the last one is among them."""
    shown = [number for k, number in printed(consumer) if k == key]
    return shown if last in shown else []
