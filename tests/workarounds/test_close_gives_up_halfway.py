"""client/workarounds/close_gives_up_halfway.py"""

import pytest

from tests.support.process import hold
from tests.workarounds.conftest import PRODUCE

pytestmark = pytest.mark.full


def test_a_producer_that_gives_up_numbers_ends_without_a_traceback(pair, proxy):
    patched, faulty = pair(proxy.address, PRODUCE)
    for one in (patched, faulty):
        one.said("A: 20 ")
    proxy.turn("cut")
    hold(1)  # some numbers are sent
    assert [one.stop() for one in (patched, faulty)] == [1, 1], (patched, faulty)
    assert not patched.find("Traceback"), patched
    assert faulty.find("Traceback"), faulty
