"""client/workarounds/metadata_update_ends_its_own_wait.py"""

import pytest

pytestmark = pytest.mark.full


def test_a_producer_stays_calm_while_its_partition_has_no_leader(only_one_spins):
    only_one_spins("rename")
