"""Brokers of other kinds that speak the protocol: numbers flow, or a sentence says why not."""

import sys

import pytest

from tests.support.process import Running, hold, script

# The broker for tests that librdkafka brings, with a topic; it prints its addresses.
LIBRDKAFKA = """
from confluent_kafka import Producer
producer = Producer({"test.mock.num.brokers": 3, "bootstrap.servers": "none", "log_level": 0})
producer.produce("numbers", "100", "A")
producer.flush()
brokers = producer.list_topics(timeout=20).brokers.values()
print(",".join(f"{one.host}:{one.port}" for one in brokers), flush=True)
while True:
    producer.poll(1)
"""


@pytest.mark.parametrize(("name", "key"), [("producer_a.py", "A: 2"), ("producer_b.py", "B: 3")])
def test_a_producer_writes_to_librdkafka_s_mock_of_a_cluster(name, key, add):
    mock = add(Running(sys.executable, "-c", LIBRDKAFKA))
    servers = mock.said("127.0.0.1:.*")[0]
    one = add(script(name, servers, "numbers"))
    one.said(f"{key} ")
    assert one.stop() == 0
    assert len(one.err) == 2, one


@pytest.mark.parametrize(
    ("name", "lacking", "said"),
    [
        ("producer_a.py", 0, "lacks .*Produce"),
        ("producer_a.py", 22, "lacks .*InitProducerId"),
        ("consumer_c.py", 1, "lacks .*Fetch"),
        ("consumer_c.py", 2, "lacks .*ListOffsets"),
        ("consumer_c.py", 9, "lacks .*OffsetFetch"),
        ("consumer_c.py", 11, "lacks .*JoinGroup"),
    ],
)
def test_what_a_broker_lacks_is_named_and_the_script_ends(run, proxy, name, lacking, said):
    proxy.lacking = lacking
    proxy.turn("lack")
    one = run(name, servers=proxy.address)
    assert one.ended() == 1, one
    assert one.find(said), one


@pytest.mark.parametrize("name", ["producer_a.py", "consumer_c.py"])
def test_a_broker_that_creates_no_topics_is_named_where_there_is_none(run, proxy, name, topic):
    proxy.lacking = 19
    proxy.turn("lack")
    said = run(name, servers=proxy.address, topic=f"{topic}-missing").refused()
    assert "and this broker lacks CreateTopics: create it first" in said


def test_a_connection_that_is_closed_at_each_attempt_is_reported_once(run, proxy, topic):
    proxy.turn("create")
    one = run("producer_a.py", servers=proxy.address, topic=f"{topic}-missing")
    one.said("closed the connection")
    hold(3)
    assert len(one.err) == 1, one
    proxy.turn("pass")
    one.said("A: 2 ")
