"""Consumer C: what it prints, what it counts as read, what it says."""

import os
import signal

import pytest
from confluent_kafka import Producer

from tests.support.process import eventually


def write(servers: str, topic: str, *numbers: int, key: str = "A") -> None:
    """Write numbers with an independent client."""
    producer = Producer({"bootstrap.servers": servers})
    for number in numbers:
        producer.produce(topic, str(number), key)
    assert producer.flush(20) == 0


def test_it_prints_exactly_key_and_value_and_nothing_else(run, broker, topic):
    write(broker.servers, topic, 0, 2)
    write(broker.servers, topic, 1, key="B")
    consumer = run("consumer_c.py")
    consumer.said("B: 1")
    assert consumer.stop() == 0
    assert consumer.out == ["A: 0", "A: 2", "B: 1"]


def test_it_goes_on_where_it_stopped(run, broker, topic):
    group = {"KAFKA_GROUP_ID": topic}
    write(broker.servers, topic, 0, 2)
    first = run("consumer_c.py", **group)
    first.said("A: 2")
    assert first.stop() == 0
    assert first.find(f'as group "{topic}"') and first.find("partition 0 from offset 0")
    write(broker.servers, topic, 4)
    second = run("consumer_c.py", **group)
    second.said("A: 4")
    second.stop()
    assert second.out == ["A: 4"]
    assert second.find("partition 0 from offset 2")


def test_without_a_group_it_prints_everything_every_time(run, broker, topic):
    write(broker.servers, topic, 0, 2)
    for _ in range(2):
        consumer = run("consumer_c.py", KAFKA_GROUP_ID="")
        consumer.said("A: 2")
        consumer.stop()
        assert consumer.out == ["A: 0", "A: 2"]


def test_it_reads_as_group_consumer_c_unless_told_otherwise(run):
    run("consumer_c.py").said('as group "consumer_c"')


def test_a_second_member_says_that_it_stands_by_and_takes_over(run, broker, topic):
    group = {"KAFKA_GROUP_ID": topic}
    write(broker.servers, topic, 0)
    first = run("consumer_c.py", **group)
    first.said("A: 0")
    second = run("consumer_c.py", **group)
    eventually(lambda: first.find("standing by") or second.find("standing by"), 20)
    active, passive = (second, first) if first.find("standing by") else (first, second)
    active.stop()
    write(broker.servers, topic, 2)
    passive.said("A: 2", 12)
    assert first.out.count("A: 0") + second.out.count("A: 0") == 1


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_each_signal_ends_it_within_a_second(run, broker, topic, name):
    write(broker.servers, topic, 0)
    consumer = run("consumer_c.py")
    consumer.said("A: 0")
    assert consumer.stop(getattr(signal, name), seconds=1) == 0
    assert consumer.err[-1] == "Interrupted!"


def test_what_was_not_printed_is_not_counted_as_read(run, broker, topic):
    write(broker.servers, topic, 0)
    with open("/dev/full", "wb") as full:
        consumer = run("consumer_c.py", KAFKA_GROUP_ID=topic, stdout=full)
        assert consumer.ended() == 1
    assert consumer.err[-1] == "Cannot write to standard output: No space left on device."
    consumer = run("consumer_c.py", KAFKA_GROUP_ID=topic)
    consumer.said("A: 0")


def test_a_reader_that_leaves_ends_it_quietly(run, broker, topic):
    write(broker.servers, topic, *range(0, 20, 2))
    reading, writing = os.pipe()
    consumer = run("consumer_c.py", stdout=writing)
    os.close(writing)
    assert os.read(reading, 5) == b"A: 0\n"
    os.close(reading)
    write(broker.servers, topic, 20)
    assert consumer.ended() == 0
    assert not consumer.find("Traceback|Cannot|Broken")
