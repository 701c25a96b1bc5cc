"""client/workarounds/sender_spins_while_connecting.py"""

import pytest

from tests.workarounds.conftest import PRODUCE

pytestmark = pytest.mark.full


def test_a_producer_stays_calm_while_it_cannot_connect(pair, proxy, busy):
    mended, faulty = pair(proxy.address, PRODUCE)
    for one in (mended, faulty):
        one.said("A: 20 ")
    proxy.turn("close")
    assert busy(mended, faulty, seconds=5) == [False, True], (mended, faulty)
