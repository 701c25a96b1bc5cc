"""client/workarounds/truncation_unnoticed.py"""

import pytest

from tests.support.client import write
from tests.workarounds.conftest import CONSUME

pytestmark = pytest.mark.full


def test_a_restarted_consumer_reads_on_where_kafka_has_lost_the_end_of_a_log(
    pair, own_broker, topic
):
    broker = own_broker.start()
    broker.create(topic)
    write(broker.servers, topic, *range(100))
    for one in pair(broker.servers, CONSUME):
        one.said("A: 99")
        assert one.stop() == 0
    broker.cut(topic, 0.5)
    patient, forgetful = pair(broker.servers, CONSUME)
    patient.said("Kafka has lost the end of its log, resuming at offset [1-9]", 30)
    forgetful.said("offset out of range, resuming at offset 0", 30)
