"""client/workarounds/overdue_heartbeat_spins.py"""

import pytest

from tests.workarounds.conftest import CONSUME, PRODUCE, busy

pytestmark = pytest.mark.full


def test_a_member_of_a_group_stays_calm_in_a_silent_network(pair, proxy, topic):
    pair(proxy.address, PRODUCE)
    # Whether a heartbeat is under way when the network falls silent is a matter of luck.
    pairs = [pair(proxy.address, CONSUME) for _ in range(3)]
    for one in (one for both in pairs for one in both):
        one.said("Standing by|A: 20")
    proxy.turn("cut")
    patched, faulty = zip(*pairs, strict=True)
    outcome = busy(*patched, *faulty, seconds=6)
    assert not any(outcome[:3]), patched
    assert any(outcome[3:]), faulty
