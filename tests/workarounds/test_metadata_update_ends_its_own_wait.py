"""client/workarounds/metadata_update_ends_its_own_wait.py"""

import pytest

from tests.workarounds.conftest import PRODUCE

pytestmark = pytest.mark.full


def test_a_producer_stays_calm_while_its_partition_has_no_leader(pair, proxy, busy):
    mended, faulty = pair(proxy.address, PRODUCE)
    for one in (mended, faulty):
        one.said("A: 20 ")
    proxy.turn("rename")
    assert busy(mended, faulty, seconds=5) == [False, True], (mended, faulty)
