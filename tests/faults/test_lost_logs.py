"""What Kafka has stored is deleted or cut under the scripts: what is still there is read once."""

import shutil
import signal

import pytest

from tests.support.account import printed
from tests.support.client import records, write
from tests.support.process import eventually, hold, producer, script
from tests.support.servers import Broker
from tests.support.session import goes_on


@pytest.fixture
def broker(own_broker) -> Broker:
    """A broker of the test's own, whose log may be cut, and which creates no topic by itself."""
    own_broker.settings["auto.create.topics.enable"] = "false"
    return own_broker.start()


@pytest.mark.parametrize("end", ["paused", "running", "stopped", "killed"])
def test_a_topic_created_again_and_longer_than_before_is_read_whole(broker, topic, session, end):
    session.servers = broker.servers
    short = {"KAFKA_SESSION_TIMEOUT_MS": "6000"}
    broker.create(topic)
    write(broker.servers, topic, *range(100, 105))
    one = session.run("consumer_c.py", **short)
    one.said("A: 104")
    eventually(lambda: session.committed() == 5, 10, "a commit of", one)
    if end == "paused":
        one.send(signal.SIGSTOP)
    elif end == "stopped":
        assert one.stop() == 0
    elif end == "killed":
        one.kill()
    broker.delete(topic)
    broker.create(topic)
    write(broker.servers, topic, *range(20))
    if end == "paused":
        hold(7)  # longer than its session
        one.send(signal.SIGCONT)
    elif end != "running":
        one = session.run("consumer_c.py", **short)
    eventually(lambda: session.committed() == 20, 20, "a commit of", one)
    one.said("^A: 19$")  # its output is read by a thread of its own
    shown = [number for _, number in printed(one) if number < 100]
    assert sorted(set(shown)) == list(range(20)), one
    # Some may be fetched before the new topic is noticed, and be printed twice.
    assert shown == list(range(20)) or end in ("running", "paused"), one
    assert one.stop() == 0
    again = session.run("consumer_c.py")
    write(broker.servers, topic, 20)
    again.said("^A: 20$", 20)
    assert again.out == ["A: 20"]


@pytest.mark.parametrize("noticed", ["at once", "once more is written", "after a restart"])
def test_a_log_that_lost_its_end_is_read_on_where_it_ends_and_nothing_twice(
    broker, topic, add, noticed
):
    broker.create(topic)
    write(broker.servers, topic, *range(2000))
    consumer = add(script("consumer_c.py", broker.servers, topic))
    consumer.said("A: 1999")
    before: list[str] = []
    if noticed == "once more is written":
        consumer.send(signal.SIGSTOP)
    elif noticed == "after a restart":
        assert consumer.stop() == 0
        before = consumer.out
    broker.cut(topic, 0.1)
    left = len(records(broker.servers, topic, at_least=1000))
    assert left < 2000
    # A leader that was back so quickly has kept its epoch: by that alone nobody can tell these.
    write(broker.servers, topic, *range(5000, 5100))
    consumer.send(signal.SIGCONT)
    if noticed == "after a restart":
        consumer = add(script("consumer_c.py", broker.servers, topic))
    consumer.said(f"Partition 0: Kafka has lost the end of its log, resuming at offset {left}.", 20)
    consumer.said("A: 5099", 20)
    shown = before + consumer.out
    assert shown == [f"A: {n}" for n in (*range(2000), *range(5000, 5100))], consumer
    assert consumer.stop() == 0
    again = add(script("consumer_c.py", broker.servers, topic))
    write(broker.servers, topic, 6000)
    again.said("A: 6000", 20)
    assert again.out == ["A: 6000"], again


def test_a_producer_ends_where_kafka_has_lost_numbers_that_it_acknowledged(broker, topic, add):
    broker.create(topic)
    one = add(producer(broker.servers, topic, sleep_time=0.05))
    one.said("A: 200 ")
    broker.cut(topic, 0.3)
    assert one.ended(30) == 1, one
    refused = 2 * len(one.out)
    lost = "Kafka has lost numbers that it had acknowledged"
    assert one.err[-1] == f"The broker rejected number {refused}: {lost}.", one


def test_all_go_on_with_an_empty_topic_where_all_data_were_deleted(own_broker, topic, add):
    broker = own_broker.start()
    a = add(producer(broker.servers, topic, sleep_time=0.2))
    b = add(producer(broker.servers, topic, sleep_time=0.2, even=False))
    c = add(script("consumer_c.py", broker.servers, topic))
    for one, shown in ((a, "A: 4 "), (b, "B: 5 "), (c, "B: 5")):
        one.said(shown)
    broker.kafka.kill()
    broker.zookeeper.kill()
    shutil.rmtree(broker.data)
    broker.start()
    for one in (a, b, c):
        goes_on(one, 20)
    assert b.stop() == 0, b
    # The broker counts its producers from 0 again, which is what A's id is, too.
    again = add(producer(broker.servers, topic, sleep_time=0.2, even=False))
    again.said("B: 9 ")
    assert [one.stop() for one in (a, again)] == [0, 0], (a, again)
    numbers = [line.split("  ")[0] for line in again.out]
    left = [f"{m.key().decode()}: {m.value().decode()}" for m in records(broker.servers, topic)]
    eventually(lambda: c.out[-len(left) :] == left, 10, "all of the new topic in", c)
    assert [line for line in left if line.startswith("B")][-len(numbers) :] == numbers
    assert c.stop() == 0


def test_a_consumer_ends_at_a_damaged_record_and_names_its_place(broker, topic, add):
    broker.create(topic)
    write(broker.servers, topic, 10, 11, 12)
    log = broker.data / "kafka" / f"{topic}-0" / "00000000000000000000.log"
    stored = log.read_bytes()
    with open(log, "r+b") as file:
        file.seek(stored.index(b"\x0411"))
        file.write(b"\x0477")
    one = add(script("consumer_c.py", broker.servers, topic))
    assert one.ended(20) == 1, one
    assert one.out == ["A: 10"]
    assert one.err[-1] == (
        "Reading stopped: a record is damaged, on the broker's disk or on the way: partition 0,"
        " offset 1. Kafka's kafka-consumer-groups --reset-offsets can skip it."
    )
    skip = ("--reset-offsets", "--group", topic, "--topic", f"{topic}:0", "--to-offset", "2")
    assert broker.command("kafka-consumer-groups", *skip, "--execute").ended(30) == 0
    add(script("consumer_c.py", broker.servers, topic)).said("^A: 12$")
