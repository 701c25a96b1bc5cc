"""client/workarounds/endless_tls_handshake.py"""

import pytest

from tests.support.process import hold
from tests.workarounds.conftest import PRODUCE

pytestmark = pytest.mark.full


def test_a_handshake_without_an_answer_is_given_up(pair, proxy):
    proxy.turn("mute")
    patched, faulty = pair(proxy.address, PRODUCE, KAFKA_SECURITY_PROTOCOL="SSL")
    patched.said("Waiting for Kafka", 10)
    hold(4)
    assert not faulty.err, faulty
