"""client/workarounds/slow_connection_setup.py"""

import pytest

from tests.workarounds.conftest import PRODUCE

pytestmark = pytest.mark.full


def test_a_port_that_never_answers_is_named_within_some_seconds(pair, proxy):
    proxy.turn("mute")
    mended, faulty = pair(proxy.address, PRODUCE)
    mended.said("no answer", 4)
    assert not faulty.err, faulty
