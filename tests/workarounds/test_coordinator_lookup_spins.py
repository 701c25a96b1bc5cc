"""client/workarounds/coordinator_lookup_spins.py"""

import pytest

from tests.support.cluster import Cluster
from tests.workarounds.conftest import CONSUME, busy

pytestmark = pytest.mark.full


def test_a_consumer_stays_calm_while_a_dead_coordinator_is_named(pair, tmp_path, topic):
    with Cluster(tmp_path) as cluster:
        cluster.start().create(topic)
        patched, faulty = pair(cluster.servers, CONSUME)
        for one in (patched, faulty):
            one.said("Reading partition")
        cluster.node(cluster.coordinator(f"{topic}-without")).kill()
        # Another broker names it until its session is over.
        assert busy(patched, faulty, seconds=4) == [False, True], (patched, faulty)
