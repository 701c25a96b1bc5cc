"""client/workarounds/bootstrap_forgotten.py"""

from contextlib import closing

import pytest

from tests.support.account import last_acknowledged
from tests.support.process import eventually, free_ports
from tests.support.proxy import Proxy
from tests.support.servers import Broker
from tests.workarounds.conftest import PRODUCE

pytestmark = [pytest.mark.full, pytest.mark.timeout(300)]


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
