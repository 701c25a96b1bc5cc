"""The three scripts on a Kafka 4 as people rent it: three brokers, logins, TLS, access rights."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from account import account
from confluent_kafka.admin import AclOperation, ResourceType
from kraft import KEY_PASSWORD, PASSWORDS, SIZE, Kraft
from running import Running, eventually, script

pytestmark = pytest.mark.timeout(180)

SCRIPTS = ("producer_a.py", "producer_b.py", "consumer_c.py")
GROUP = "consumer_c"

# Seconds until numbers flow again: six until the dead broker counts as dead, and a busy machine.
BACK = 30


@pytest.fixture(scope="module")
def kraft(tmp_path_factory, ours_to_stop) -> Iterator[Kraft]:
    """One cluster for all tests here."""
    kraft = Kraft(tmp_path_factory.mktemp("kraft"))
    try:
        yield kraft.start()
        kraft.stop()
    finally:
        kraft.kill()


@pytest.fixture
def start(kraft, topic) -> Iterator[Callable[..., Running]]:
    """Starts scripts on the test's topic; in the end none of them has shown a secret."""
    started: list[Running] = []

    def start(name: str, env: dict[str, str], **settings: str) -> Running:
        settings = {"servers": env["KAFKA_BOOTSTRAP_SERVERS"], "topic": topic} | env | settings
        started.append(script(name, **settings))
        return started[-1]

    yield start
    for one in started:
        one.kill()
        for reader in one.readers:
            reader.join(5)
        secrets = [*PASSWORDS.values(), KEY_PASSWORD]
        assert not [s for s in secrets if any(s in line for line in one.out + one.err)]


def as_user(kraft: Kraft, name: str) -> dict[str, str]:
    """The settings of a user who logs in by SCRAM over TLS."""
    return {
        "KAFKA_BOOTSTRAP_SERVERS": kraft.at("LOGIN"),
        "KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
        "KAFKA_SSL_CAFILE": str(kraft.authority.file),
        "KAFKA_SASL_MECHANISM": "SCRAM-SHA-512",
        "KAFKA_SASL_PLAIN_USERNAME": name,
        "KAFKA_SASL_PLAIN_PASSWORD": PASSWORDS[name],
    }


# Rights as Kafka names them: on what, and to do what.
WRITE = (ResourceType.TOPIC, AclOperation.WRITE)
READ = (ResourceType.TOPIC, AclOperation.READ)
JOIN = (ResourceType.GROUP, AclOperation.READ)


def allow(kraft: Kraft, user: str, topic: str, *rights: tuple) -> None:
    """Give a user rights to a topic, or to the group."""
    names = {ResourceType.TOPIC: topic, ResourceType.GROUP: GROUP}
    kraft.allow(user, *((kind, names[kind], operation) for kind, operation in rights))


def flowing(*scripts: Running) -> None:
    """Return when each has printed something new."""
    before = [len(one.out) for one in scripts]

    def all_moved() -> bool:
        return all(len(one.out) > then for one, then in zip(scripts, before, strict=True))

    eventually(all_moved, BACK, "something new from each of", scripts)


def three(kraft: Kraft, start, topic: str) -> list[Running]:
    """A, B and C at work with no right but to the topic and the group."""
    allow(kraft, "alice", topic, WRITE)
    allow(kraft, "bob", topic, READ, JOIN)
    users = ("alice", "alice", "bob")
    scripts = [start(name, as_user(kraft, user)) for name, user in zip(SCRIPTS, users, strict=True)]
    scripts[2].said("A: 2", BACK)
    scripts[2].said("B: 1", BACK)
    return scripts


def account_for(kraft: Kraft, scripts: list[Running], topic: str, twice_allowed: int = 0) -> None:
    """Stop the producers, account for every number, stop the consumers."""
    producers, consumers = scripts[:2], scripts[2:]
    assert [one.stop() for one in producers] == [0, 0], producers
    account(producers, consumers, kraft.servers, topic, twice_allowed)
    assert [one.stop() for one in consumers] == [0] * len(consumers), consumers


def test_with_the_least_rights_no_number_is_lost_while_a_broker_is_killed(kraft, start, topic):
    kraft.create(topic)
    a, b, c = three(kraft, start, topic)
    leader = kraft.leader(topic)
    kraft.kafkas[leader].kill()
    eventually(lambda: kraft.leader(topic) not in (leader, -1), BACK, "another leader")
    flowing(a, b, c)
    kraft.start_kafka(leader)
    kraft.wait(leader)
    flowing(a, b, c)
    account_for(kraft, [a, b, c], topic)


def test_all_brokers_killed_at_once_and_back_cost_nothing(only_full, kraft, start, topic):
    kraft.create(topic)
    a, b, c = three(kraft, start, topic)
    for kafka in kraft.kafkas:
        kafka.kill()
    for number in range(SIZE):
        kraft.start_kafka(number)
    for number in range(SIZE):
        kraft.wait(number)
    flowing(a, b, c)
    account_for(kraft, [a, b, c], topic, twice_allowed=1)
