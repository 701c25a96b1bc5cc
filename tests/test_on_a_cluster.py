"""The three scripts on a Kafka 4 as people rent it: three brokers, logins, TLS, access rights."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest
from account import account, printed
from confluent_kafka.admin import AclOperation, ResourceType
from kraft import KEY_PASSWORD, PASSWORDS, SIZE, Kraft
from running import Running, eventually, script
from trio import producer

pytestmark = pytest.mark.timeout(180)

SCRIPTS = ("producer_a.py", "producer_b.py", "consumer_c.py")

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
def runs() -> Iterator[Callable[[Running], Running]]:
    """Ends with the test what it is given; in the end none of that has shown a secret."""
    started: list[Running] = []

    def runs(one: Running) -> Running:
        started.append(one)
        return one

    yield runs
    for one in started:
        one.kill()
        for reader in one.readers:
            reader.join(5)
        assert not [line for line in one.out + one.err if shows_secret(line)]


@pytest.fixture
def start(topic, runs) -> Callable[..., Running]:
    """Starts scripts on the test's topic."""

    def start(name: str, env: dict[str, str]) -> Running:
        settings = {"servers": env["KAFKA_BOOTSTRAP_SERVERS"], "topic": topic} | env
        return runs(script(name, **settings))

    return start


def shows_secret(text: str) -> bool:
    """Whether any password is in a text."""
    return any(secret in text for secret in (*PASSWORDS.values(), KEY_PASSWORD))


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


# Rights as Kafka names them: on what, to do what, and where that is not the test's topic, on which.
WRITE = (ResourceType.TOPIC, AclOperation.WRITE)
READ = (ResourceType.TOPIC, AclOperation.READ)
ELSEWHERE = (ResourceType.TOPIC, AclOperation.WRITE, "another")
JOIN = (ResourceType.GROUP, AclOperation.READ, "consumer_c")
CREATE = (ResourceType.TOPIC, AclOperation.CREATE)


def allow(kraft: Kraft, user: str, topic: str, *rights: tuple) -> None:
    """Give rights to a user."""
    for kind, operation, *names in rights:
        (name,) = names or [topic]
        kraft.allow(user, kind, name, operation)


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


# What a user lacks: the script, its rights, whether there is a topic, and what is said.
DENIED = {
    "any right": ("producer_a.py", [], True, r'Write .* on "{topic}"'),
    "writing": ("producer_b.py", [READ], True, r'Number 1 .* Write on "{topic}"'),
    "writing here": ("producer_b.py", [READ, ELSEWHERE], True, r'Write .* on "{topic}"'),
    "reading": ("consumer_c.py", [WRITE, JOIN], True, r'Read .* on "{topic}"'),
    "the group": ("consumer_c.py", [READ], True, "Read on the group .* KAFKA_GROUP_ID"),
    "topic and any right": ("consumer_c.py", [JOIN], False, r'Read .* on "{topic}"'),
    "topic and creating": ("producer_a.py", [WRITE], False, 'no topic "{topic}".* Create on it'),
}


@pytest.mark.parametrize("lacking", DENIED)
def test_a_missing_right_is_named_and_ends_the_script(lacking, kraft, start, topic):
    name, rights, exists, sentence = DENIED[lacking]
    if exists:
        kraft.create(topic)
    user = "bob" if JOIN in rights else "carol" if ELSEWHERE in rights else "nobody"
    allow(kraft, user, topic, *rights)
    one = start(name, as_user(kraft, user))
    assert one.ended(BACK) == 1
    assert one.out == [] and not one.find("Traceback"), one
    said = [line for line in one.err if re.search("denied|does not let us", line)]
    assert len(said) == 1 and re.search(sentence.format(topic=re.escape(topic)), said[0]), one
    assert said[0].endswith("."), one


def test_with_the_right_to_create_it_a_missing_topic_is_made(kraft, start, topic):
    allow(kraft, "alice", topic, WRITE, CREATE)
    a = start("producer_a.py", as_user(kraft, "alice"))
    a.said("A: 0 ", BACK)
    assert a.stop() == 0
    partition = kraft.admin.list_topics(topic, timeout=20).topics[topic].partitions[0]
    assert len(partition.replicas) == SIZE  # by the cluster's own default


def test_two_consumers_share_four_partitions_and_each_key_keeps_its_order(kraft, topic, runs):
    kraft.create(topic, partitions=4)
    consumers = []
    for share in (4, 2):
        one = script("consumer_c.py", kraft.servers, topic, KAFKA_GROUP_ID=topic)
        consumers.append(runs(one))
        eventually(lambda n=share, c=one: reads(c) == n, BACK, share, "partitions for", one)
    producers = [runs(producer(kraft.servers, topic, 0.02, even)) for even in (True, False)]
    for one in producers:
        one.said(r"[AB]: 10[01] ", BACK)
    account_for(kraft, [*producers, *consumers], topic)
    shown = [{key for key, _ in printed(one)} for one in consumers]
    assert sorted(shown, key=sorted) == [{"A"}, {"B"}], consumers


def reads(consumer: Running) -> int:
    """How many partitions a consumer has said that it reads."""
    return len(set(re.findall(r"Reading partition (\d)", "\n".join(consumer.err))))
