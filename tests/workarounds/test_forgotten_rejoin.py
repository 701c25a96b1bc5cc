"""client/workarounds/forgotten_rejoin.py"""

import signal

import pytest

from tests.support.process import eventually
from tests.workarounds.conftest import CONSUME

pytestmark = pytest.mark.full


def test_a_consumer_joins_again_though_its_reason_has_gone(pair, own_broker, topic):
    own_broker.settings["auto.create.topics.enable"] = "false"  # what is deleted is to stay so
    servers, admin = own_broker.start().servers, own_broker.admin

    def state(way: str) -> str:
        group = f"{topic}-{way}"
        return admin.describe_consumer_groups([group])[group].result(10).state.name

    own_broker.create(topic)
    often = {"KAFKA_METADATA_MAX_AGE_MS": "300"}
    for one in pair(servers, CONSUME, **often):
        one.said("Reading partition|Standing by")
    # Another member of each group is paused, so that the first has to wait when it joins again.
    for one in pair(servers, CONSUME, **often):
        one.said("Reading partition|Standing by")
        one.send(signal.SIGSTOP)
    # The topic goes, so that there is a reason to join again, and is back before that is done.
    admin.delete_topics([topic])[topic].result(10)
    for way in ("with", "without"):
        eventually(lambda way=way: state(way).startswith("PREPARING"), 10, way)
    eventually(lambda: topic not in admin.list_topics(timeout=5).topics, 10, topic)
    own_broker.create(topic)
    # The paused ones are given up after a session, those that do not join after two.
    eventually(lambda: state("without") == "EMPTY", 30)
    assert state("with") == "STABLE"
