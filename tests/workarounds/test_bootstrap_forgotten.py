"""client/workarounds/bootstrap_forgotten.py"""

from contextlib import closing

import pytest

from tests.support.account import last_acknowledged
from tests.support.process import eventually, free_ports
from tests.support.proxy import Proxy
from tests.support.servers import Broker, KraftBroker
from tests.support.trio import Trio
from tests.workarounds.conftest import PRODUCE

pytestmark = pytest.mark.full


def test_a_producer_finds_brokers_that_come_back_at_another_address(own_broker, topic, pair):
    own_broker.start().create(topic)
    (port,) = free_ports(1)
    moved = Broker(own_broker.data, ports=[port, own_broker.zookeeper_port])
    with moved, closing(Proxy(own_broker.port)) as proxy:
        patched, faulty = pair(proxy.address, PRODUCE)
        for one in (patched, faulty):
            one.said("A: 2")
        own_broker.stop()
        moved.start()
        proxy.target = port
        before, after = last_acknowledged(faulty), last_acknowledged(patched)
        eventually(lambda: last_acknowledged(patched) > after + 10, 20, patched)
        assert last_acknowledged(faulty) == before, faulty


def test_all_go_on_where_a_broker_at_another_address_names_none_at_first(own_kraft, topic):
    own_kraft.start().create(topic)
    (port,) = free_ports(1)
    # Five seconds after each heartbeat the broker is fenced: for seven it names none.
    fenced = {"broker.session.timeout.ms": 5_000, "broker.heartbeat.interval.ms": 12_000}
    moved = KraftBroker(own_kraft.data, fenced, ports=[port, own_kraft.zookeeper_port])
    with (
        moved,
        closing(Proxy(own_kraft.port)) as proxy,
        Trio(proxy.address, topic) as trio,
    ):
        trio.flowing(20)
        own_kraft.stop()
        moved.start()
        output = moved.kafka.err
        started = len(output)
        eventually(lambda: any("Fencing broker 0" in line for line in output[started:]), 10, moved)
        proxy.target = port
        trio.flowing(20)
