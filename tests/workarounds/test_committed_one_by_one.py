"""client/workarounds/committed_one_by_one.py"""

from confluent_kafka import Producer

from tests.support.process import eventually
from tests.workarounds.conftest import CONSUME


def test_a_consumer_far_away_reads_a_topic_of_150_partitions_within_seconds(
    pair, broker, proxy, topic
):
    broker.create(topic, partitions=150)
    client = Producer({"bootstrap.servers": broker.servers})
    for number in range(150):
        client.produce(topic, str(number), "A", partition=number)
    assert client.flush(20) == 0
    proxy.turn("late")
    patched, faulty = pair(proxy.address, CONSUME)
    eventually(lambda: len(patched.out) == 150, 6, patched)
    assert not faulty.out
    assert patched.stop() == 0, patched
    faulty.said("Reading 150 partitions", 30)
