"""client/workarounds/api_versions_in_one_version.py"""

from tests.workarounds.conftest import CONSUME, PRODUCE


def test_a_proxy_that_closes_at_a_newer_request_for_the_versions_is_no_obstacle(pair, proxy):
    proxy.turn("old")
    for code, shown in ((PRODUCE, "A: 0 "), (CONSUME, "A: 0")):
        patched, faulty = pair(proxy.address, code)
        patched.said(shown)
        assert faulty.said("it closed the connection") and not faulty.out, faulty
