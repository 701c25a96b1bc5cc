"""The broker goes away in every way a broker can, and no number is lost, doubled or displaced."""

import os
import re
import signal
import subprocess
from collections.abc import Iterator

import psutil
import pytest
from account import account, calm, printed
from confluent_kafka import OFFSET_END, TopicPartition
from confluent_kafka.admin import AdminClient
from running import Broker, eventually, hold, made
from trio import BACK, Trio, contents, producer

pytestmark = pytest.mark.timeout(150)

# As on many a cluster: the topic has to be asked for, and is not of one partition.
OVERRIDES = ["--override", "auto.create.topics.enable=false", "--override", "num.partitions=2"]


@pytest.fixture(scope="module")
def shared(tmp_path_factory, ours_to_stop) -> Iterator[Broker]:
    """A broker for this file, which each test leaves running."""
    broker = Broker(tmp_path_factory.mktemp("outages"))
    try:
        yield broker
    finally:
        broker.kill()


@pytest.fixture
def broker(shared) -> Broker:
    """The file's broker, up and running."""
    return shared.start(*OVERRIDES)


@pytest.fixture
def trio(broker, topic) -> Iterator[Trio]:
    """Two producers and a consumer through which numbers flow."""
    trio = Trio(broker.servers, topic)
    try:
        trio.flowing(20)
        yield trio
    finally:
        trio.kill()


@pytest.mark.full
def test_a_broker_that_is_stopped_and_started_again_costs_nothing(broker, trio):
    broker.kafka.stop(signal.SIGTERM, 20)
    broker.start(*OVERRIDES)
    trio.flowing()
    trio.end()


def test_a_broker_killed_for_half_a_minute_costs_nothing_and_nobody_spins(broker, trio, full):
    with calm(*trio.all):
        broker.kafka.kill()
        hold(30 if full else 4)
    broker.start(*OVERRIDES)
    trio.flowing()
    trio.end()


@pytest.mark.full
def test_ten_kills_in_a_row_cost_nothing(broker, trio):
    for _ in range(10):
        broker.kafka.kill()
        broker.kafka = broker.command("kafka-server-start", *OVERRIDES)
        hold(3)
    broker.wait()
    trio.flowing()
    trio.end()


def test_a_paused_broker_costs_nothing_and_nobody_spins(broker, trio, full):
    broker.kafka.send(signal.SIGSTOP)
    with calm(*trio.all):
        hold(40 if full else 8)
    broker.kafka.send(signal.SIGCONT)
    trio.flowing()
    trio.end()


def test_ten_thousand_numbers_wait_for_a_broker_that_is_away_and_no_more(broker, topic, full):
    one = producer(broker.servers, topic, sleep_time=0.0002, even=True)
    try:
        one.said("A: 1000 ")
        broker.kafka.send(signal.SIGSTOP)
        one.said("10000 numbers wait for their acknowledgement: no more until some have it")
        memory = psutil.Process(one.process.pid).memory_info
        before, reported = memory().rss, len(one.out)
        with calm(one):
            hold(20 if full else 3)
        assert memory().rss - before < 2_000_000  # without the limit: 2.6 MB a second
        broker.kafka.send(signal.SIGCONT)
        eventually(lambda: len(one.out) > reported + 10_000, BACK, "new numbers of", one)
        assert one.stop() == 0, one
        account([one], [], broker.servers, topic)
    finally:
        broker.kafka.send(signal.SIGCONT)
        one.kill()


@pytest.mark.full
def test_numbers_flow_on_without_zookeeper_and_after_it_is_back(broker, trio):
    broker.zookeeper.kill()
    hold(30)  # longer than its sessions
    trio.flowing()
    broker.zookeeper = broker.command("zookeeper-server-start")
    broker.zookeeper.said("binding to port", 20)
    hold(10)
    trio.flowing()
    trio.end()


@pytest.mark.full
def test_both_servers_killed_cost_nothing(broker, trio):
    with calm(*trio.all):
        broker.kafka.kill()
        broker.zookeeper.kill()
        hold(10)
    broker.start(*OVERRIDES)
    trio.flowing()
    trio.end()


@pytest.fixture
def small_disk(own_broker) -> Iterator[Broker]:
    """A broker, not started yet, whose log directory has room for eight megabytes."""
    if os.geteuid() != 0:
        pytest.skip("a small file system can only be mounted as root")
    disk = own_broker.data / "kafka"
    disk.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(disk)]
    done = subprocess.run(mount, capture_output=True, text=True, timeout=20)
    if done.returncode:
        pytest.skip(f"a small file system cannot be mounted here: {done.stderr.strip()}")
    try:
        yield own_broker
    finally:
        own_broker.kill()
        subprocess.run(["umount", str(disk)], check=True, timeout=20)


@pytest.mark.full
def test_a_full_log_directory_costs_nothing_once_there_is_room(small_disk, topic):
    broker = small_disk.start()
    trio = Trio(broker.servers, topic)
    try:
        trio.flowing(20)
        ballast = broker.data / "kafka" / "ballast"
        with open(ballast, "wb", buffering=0) as file, pytest.raises(OSError, match="space"):
            while True:
                file.write(bytes(4096))
        assert broker.kafka.ended(30) != 0  # Kafka stops when it has no directory to write to
        with calm(*trio.all):
            hold(10)
        ballast.unlink()
        broker.start()
        trio.flowing()
        trio.end()
    finally:
        trio.kill()


def test_a_missing_topic_is_made_with_the_defaults_of_the_cluster(broker, trio, topic):
    described = AdminClient({"bootstrap.servers": broker.servers}).list_topics(topic, timeout=10)
    assert len(described.topics[topic].partitions) == 2
    trio.end()


@pytest.mark.full
def test_a_topic_that_cannot_be_made_just_now_is_made_as_soon_as_it_can(own_broker, topic):
    own_broker.start(*OVERRIDES, "--override", "zookeeper.session.timeout.ms=4000")
    own_broker.kafka.send(signal.SIGSTOP)
    names = [f"{topic}-{number}" for number in range(3)]
    started = [producer(own_broker.servers, name, 0.1, even=True) for name in names]
    try:
        hold(8)  # ZooKeeper gives up its session: for a moment it will have no controller
        own_broker.kafka.send(signal.SIGCONT)
        for one in started:
            one.said("A: 0 ")
    finally:
        for one in started:
            one.kill()


def test_records_deleted_from_under_the_consumer_it_says_so_and_goes_on(broker, trio, topic):
    (consumer,) = trio.consumers
    consumer.send(signal.SIGSTOP)
    produced = trio.progress()[0]
    eventually(lambda: trio.progress()[0] > produced + 10, 10, "five numbers more")
    everything = [TopicPartition(topic, number, OFFSET_END) for number in (0, 1)]
    admin = AdminClient({"bootstrap.servers": broker.servers})
    for deleted in admin.delete_records(everything).values():
        deleted.result(20)
    consumer.send(signal.SIGCONT)
    consumer.said(r"going on from the earliest", 5)
    trio.flowing()
    assert_goes_on(trio)


@pytest.mark.parametrize("paused", [True, False], ids=["while paused", "before its eyes"])
def test_a_topic_deleted_and_made_again_is_read_from_its_beginning(broker, trio, topic, paused):
    (consumer,) = trio.consumers
    eventually(lambda: trio.progress()[2] > 60, 20, "some numbers")
    if paused:
        consumer.send(signal.SIGSTOP)
    admin = AdminClient({"bootstrap.servers": broker.servers})
    admin.delete_topics([topic])[topic].result(20)
    eventually(lambda: topic not in admin.list_topics(timeout=10).topics, 10, "no topic")
    hold(0 if paused else 1)
    eventually(lambda: made(admin, topic, 2), 10, "the topic again")
    told = len(consumer.err)
    consumer.send(signal.SIGCONT)
    trio.flowing(2 * BACK)
    here = r"Partition \d no longer has|Reading partition \d from offset 0\."
    assert any(re.match(here, line) for line in consumer.err[told:]), consumer
    assert_goes_on(trio)


def assert_goes_on(trio: Trio) -> None:
    """Account for the numbers of a topic that was emptied: from the first that is left on."""
    for one in trio.producers:
        assert one.stop() == 0, one
    (consumer,) = trio.consumers
    _, written = contents(trio.servers, trio.topic)
    for key, numbers in written.items():
        assert numbers == list(range(numbers[0], numbers[-1] + 2, 2))
        shown = eventually(
            lambda key=key, last=numbers[-1]: last_shown(consumer, key, last), 10, f"{key} printed"
        )
        assert shown == sorted(set(shown))
        assert shown[-len(numbers) :] == numbers
    assert consumer.stop() == 0


def last_shown(consumer, key: str, last: int) -> list[int]:
    """The numbers of a key that were printed, once the last one is among them."""
    shown = [number for k, number in printed(consumer) if k == key]
    return shown if last in shown else []
