"""client/workarounds/close_gives_up_halfway.py"""

import signal

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
    faulty.send(signal.SIGINT)
    assert patched.stop() == 1
    assert not patched.find("Traceback"), patched
    faulty.said("unacknowledged", 20)
    hold(5)
    assert faulty.alive or faulty.find("Traceback"), faulty
