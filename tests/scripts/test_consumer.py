"""Consumer C: what it prints, what it commits, what it says."""

import signal
import sys

import pytest

from tests.support.client import write
from tests.support.process import Running, settings_for


def test_it_prints_exactly_key_and_value_and_nothing_else(run, broker, topic):
    write(broker.servers, topic, 0, 2)
    write(broker.servers, topic, 1, key="B")
    consumer = run("consumer_c.py")
    consumer.said("B: 1")
    assert consumer.stop() == 0
    assert consumer.out == ["A: 0", "A: 2", "B: 1"]


def test_it_resumes_where_it_stopped(run, broker, topic):
    write(broker.servers, topic, 0, 2)
    first = run("consumer_c.py")
    first.said("A: 2")
    assert first.stop() == 0
    assert first.find(f'as group "{topic}"') and first.find("partition 0 from offset 0")
    write(broker.servers, topic, 4)
    second = run("consumer_c.py")
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


def test_it_reads_as_group_consumer_c_unless_told_otherwise(broker, topic, add):
    env = settings_for(broker.servers, topic)
    del env["KAFKA_GROUP_ID"]
    add(Running(sys.executable, "consumer_c.py", env=env)).said('as group "consumer_c"')


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_each_signal_ends_it_within_two_seconds(run, broker, topic, name):
    write(broker.servers, topic, 0)
    consumer = run("consumer_c.py")
    consumer.said("A: 0")
    consumer.send(getattr(signal, name))
    assert consumer.ends_within(2) == 0
    assert consumer.err[-1] == "Interrupted!"
