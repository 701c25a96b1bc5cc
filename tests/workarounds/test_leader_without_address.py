"""client/workarounds/leader_without_address.py"""

import pytest

from tests.support.process import hold

pytestmark = pytest.mark.full


def test_a_producer_goes_on_once_the_leader_has_an_address_again(only_one_spins, proxy):
    patched, faulty = only_one_spins("rename")
    printed = len(faulty.out)
    proxy.turn("pass")
    patched.said("is back", 10)
    hold(3)
    assert len(faulty.out) == printed, faulty
