"""client/workarounds/sender_spins_while_connecting.py"""

import pytest

pytestmark = pytest.mark.full


def test_a_producer_stays_calm_while_it_cannot_connect(only_one_spins):
    only_one_spins("mute")
