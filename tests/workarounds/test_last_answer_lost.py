"""client/workarounds/last_answer_lost.py"""

import pytest

from tests.workarounds.conftest import PRODUCE

pytestmark = pytest.mark.full


def test_what_came_before_the_end_of_a_connection_is_heard(pair, proxy):
    proxy.turn("http")
    patched, faulty = pair(proxy.address, PRODUCE)
    patched.said("not a Kafka broker", 10)
    faulty.said("it closed the connection", 10)
    assert not patched.find("it closed the connection"), patched
