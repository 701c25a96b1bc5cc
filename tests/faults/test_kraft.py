"""Kafka 4 as a managed service: three brokers with logins, TLS and ACLs, some of which die."""

import re
from collections.abc import Iterator

import pytest

from tests.support.account import account, printed
from tests.support.kraft import BACK, JOIN, READ, WRITE
from tests.support.process import Running, eventually, producer, script
from tests.support.trio import Trio


@pytest.fixture
def trio(kraft, topic, add) -> Iterator[Trio]:
    """The three scripts with no ACLs but for the topic and the group, and numbers flowing."""
    kraft.create(topic)
    kraft.allow("alice", topic, WRITE)
    kraft.allow("bob", topic, READ, JOIN)
    writer, reader = kraft.as_user("alice"), kraft.as_user("bob")
    reader["KAFKA_GROUP_ID"] = "consumer_c"
    with Trio(kraft.servers, topic, None, writer, reader) as trio:
        for one in trio.all:
            add(one)
        trio.flowing(BACK)
        yield trio


def test_with_the_fewest_acls_no_number_is_lost_while_a_broker_is_killed(kraft, trio, topic):
    leader = kraft.leader(topic)
    kraft.node(leader).kill()
    eventually(lambda: kraft.leader(topic) not in (leader, -1), BACK, "another leader")
    trio.flowing(BACK)
    kraft.start()
    trio.end(BACK)


@pytest.mark.full
def test_all_brokers_killed_at_once_and_back_cost_nothing(kraft, trio):
    for kafka in kraft.kafkas:
        kafka.kill()
    kraft.start()
    trio.end(BACK, twice_allowed=1)


def test_two_consumers_share_four_partitions_and_each_key_keeps_its_order(kraft, topic, add):
    kraft.create(topic, partitions=4)
    consumers = []
    for share in (4, 2):
        one = add(script("consumer_c.py", kraft.servers, topic))
        consumers.append(one)
        eventually(lambda n=share, c=one: assigned(c) == n, BACK, share, "partitions for", one)
    producers = [add(producer(kraft.servers, topic, 0.02, even)) for even in (True, False)]
    for one in producers:
        one.said(r"[AB]: 10[01] ", BACK)
    account(producers, consumers, kraft.servers, topic)
    assert [one.stop() for one in consumers] == [0, 0], consumers
    shown = [{key for key, _ in printed(one)} for one in consumers]
    assert sorted(shown, key=sorted) == [{"A"}, {"B"}], consumers


def assigned(consumer: Running) -> int:
    """How many partitions a consumer has said that it reads."""
    return len(set(re.findall(r"Reading partition (\d)", "\n".join(consumer.err))))
