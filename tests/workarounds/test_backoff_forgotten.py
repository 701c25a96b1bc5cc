"""client/workarounds/backoff_forgotten.py"""

import pytest

pytestmark = pytest.mark.full


def test_a_producer_stays_calm_at_a_port_that_accepts_and_closes(only_one_spins):
    only_one_spins("close")
