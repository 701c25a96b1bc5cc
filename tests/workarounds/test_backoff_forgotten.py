"""client/workarounds/backoff_forgotten.py"""

import pytest

from tests.workarounds.conftest import PRODUCE

pytestmark = pytest.mark.full


def test_a_producer_stays_calm_at_a_port_that_accepts_and_closes(pair, proxy, busy):
    mended, faulty = pair(proxy.address, PRODUCE)
    for one in (mended, faulty):
        one.said("A: 20 ")
    proxy.turn("close")
    assert busy(mended, faulty, seconds=5) == [False, True], (mended, faulty)
