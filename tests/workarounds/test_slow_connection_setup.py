"""client/workarounds/slow_connection_setup.py"""

import time

import pytest

from tests.workarounds.conftest import PRODUCE

pytestmark = pytest.mark.full


def test_a_port_that_never_answers_is_named_some_seconds_earlier(pair, proxy):
    proxy.turn("mute")
    patched, faulty = pair(proxy.address, PRODUCE)
    patched.said("no answer", 10)
    named = time.monotonic()
    faulty.said("no answer", 30)
    assert time.monotonic() - named > 3, (patched, faulty)  # 3 instead of 10 to 30
