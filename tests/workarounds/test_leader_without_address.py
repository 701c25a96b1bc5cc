"""client/workarounds/leader_without_address.py"""

import pytest

from tests.workarounds.conftest import PRODUCE

pytestmark = pytest.mark.full


def test_a_producer_goes_on_once_the_leader_has_an_address_again(pair, proxy, busy):
    mended, faulty = pair(proxy.address, PRODUCE)
    for one in (mended, faulty):
        one.said("A: 20 ")
    proxy.turn("rename")
    assert busy(mended, faulty, seconds=5) == [False, True], (mended, faulty)
    printed = len(faulty.out)
    proxy.turn("pass")
    mended.said("is back", 10)
    assert len(faulty.out) == printed, faulty
