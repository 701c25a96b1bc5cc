"""client/workarounds/answer_just_too_late.py"""

import signal

import pytest

from tests.support.cluster import SETTINGS, Cluster
from tests.workarounds.conftest import PRODUCE

pytestmark = pytest.mark.full


def test_a_broker_that_waits_for_its_replica_is_not_taken_for_a_silent_one(
    pair, tmp_path, topic, monkeypatch
):
    for name in ("zookeeper.session.timeout.ms", "replica.lag.time.max.ms"):
        monkeypatch.setitem(SETTINGS, name, 50_000)  # in sync so long: for several requests
    with Cluster(tmp_path, 2) as cluster:
        cluster.start().create(topic, replicas=2)
        patched, faulty = pair(cluster.servers, PRODUCE)
        for one in (patched, faulty):
            one.said("A: 20 ")
        leader = cluster.leader(topic)
        cluster.node(1 - leader).send(signal.SIGSTOP)
        lost = f"localhost:{cluster.ports[leader]} lost"
        faulty.said(lost, 20)
        assert not patched.find(lost), patched
