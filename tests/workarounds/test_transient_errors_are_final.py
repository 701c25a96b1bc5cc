"""client/workarounds/transient_errors_are_final.py"""

import pytest

from tests.workarounds.conftest import PRODUCE

pytestmark = pytest.mark.full


def test_a_producer_sends_its_first_request_again_where_it_was_not_answered(pair, proxy):
    proxy.turn("first")
    patched, faulty = pair(proxy.address, PRODUCE)
    assert faulty.ended(20) == 1, faulty
    assert faulty.find("rejected number 0"), faulty
    proxy.turn("pass")
    patched.said("A: 0 ", 10)
