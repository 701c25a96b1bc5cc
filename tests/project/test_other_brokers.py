"""Brokers of other kinds that speak the protocol: numbers flow, or a sentence says why not."""

from __future__ import annotations

import sys

import pytest

from tests.support.process import Running, script

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
