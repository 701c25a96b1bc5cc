"""Three Kafkas of release 4, which need no ZooKeeper, behind logins, TLS and access rights."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

from certificates import Authority
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    NewTopic,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)
from running import PROJECT, Running, administrator, eventually, free_ports

PINS = PROJECT / "tests" / "kafka-4.3.1.pins"
ARCHIVE = PROJECT / ".kafka" / f"{PINS.stem}.jsa"
SIZE = 3

# Who may log in, and how. The certificate's user is known by its name.
PASSWORDS = {name: f"secret-of-{name}" for name in ("alice", "bob", "carol", "nobody")}
CERTIFIED = "CN=dora"
KEY_PASSWORD = "doras-secret"

LISTENERS = {
    "INSIDE": "PLAINTEXT",  # for the brokers among themselves, and for the tests
    "CONTROLLER": "PLAINTEXT",
    "LOGIN": "SASL_SSL",
    "MUTUAL": "SSL",
}

SETTINGS = {
    "process.roles": "broker,controller",
    "controller.listener.names": "CONTROLLER",
    "inter.broker.listener.name": "INSIDE",
    "listener.security.protocol.map": ",".join(map(":".join, LISTENERS.items())),
    "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-512",
    "listener.name.mutual.ssl.client.auth": "required",
    "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
    "super.users": "User:ANONYMOUS",
    "default.replication.factor": SIZE,
    "min.insync.replicas": 2,
    "offsets.topic.num.partitions": 1,
    "offsets.topic.replication.factor": SIZE,
    "transaction.state.log.num.partitions": 1,
    "transaction.state.log.replication.factor": SIZE,
    "group.initial.rebalance.delay.ms": 0,
    # A dead broker is known as one after this.
    "broker.session.timeout.ms": 6000,
    "num.network.threads": 1,
    "num.io.threads": 2,
}


class Kraft:
    """Three brokers, each a controller as well, with their data below one directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.authority = Authority(directory)
        self.presented = self.authority.issue("broker", "localhost")
        self.certificate = self.authority.issue(CERTIFIED[3:], password=KEY_PASSWORD)
        ports = iter(free_ports(SIZE * len(LISTENERS)))
        self.ports = [{name: next(ports) for name in LISTENERS} for _ in range(SIZE)]
        self.kafkas: list[Running | None] = [None] * SIZE
        self.started: list[Running] = []

    @property
    def servers(self) -> str:
        """The addresses where everybody may do everything, as an independent client needs them."""
        return self.at("INSIDE")

    def at(self, listener: str) -> str:
        """The addresses of a listener."""
        return ",".join(f"localhost:{ports[listener]}" for ports in self.ports)

    def start(self) -> Kraft:
        """Format the directories, start all three, and wait until each answers."""
        formatting = [self.format(number) for number in range(SIZE)]
        assert [one.ended(60) for one in formatting] == [0] * SIZE, formatting
        for number in range(SIZE):
            self.start_kafka(number)
        for number in range(SIZE):
            self.wait(number)
        eventually(lambda: len(self.admin.list_topics(timeout=20).brokers) == SIZE, 20, "brokers")
        self.let_in()
        return self

    def format(self, number: int) -> Running:
        """Kafka's own tool at work on the directory of one broker."""
        file = self.directory / f"{number}.properties"
        file.write_text("".join(f"{name}={value}\n" for name, value in self.settings(number)))
        cluster = "numbers-numbers-number"
        return self.java("kafka.tools.StorageTool", "format", "-t", cluster, "-c", str(file))

    def settings(self, number: int) -> Iterator[tuple[str, object]]:
        """Kafka's own settings for one of the three."""
        yield from SETTINGS.items()
        mine = self.ports[number]
        listeners = [f"{name}://localhost:{port}" for name, port in mine.items()]
        yield "node.id", number
        yield "log.dirs", self.directory / f"data{number}"
        yield "listeners", ",".join(listeners)
        voters = [f"{n}@localhost:{ports['CONTROLLER']}" for n, ports in enumerate(self.ports)]
        yield "controller.quorum.voters", ",".join(voters)
        module = "org.apache.kafka.common.security.{} required"
        scram = module.format("scram.ScramLoginModule")
        yield "listener.name.login.scram-sha-512.sasl.jaas.config", f"{scram};"
        plain = module.format("plain.PlainLoginModule")
        users = " ".join(f'user_{name}="{word}"' for name, word in PASSWORDS.items())
        yield "listener.name.login.plain.sasl.jaas.config", f"{plain} {users};"
        for listener in ("login", "mutual"):
            for store, file in (("keystore", self.presented), ("truststore", self.authority.file)):
                yield f"listener.name.{listener}.ssl.{store}.type", "PEM"
                yield f"listener.name.{listener}.ssl.{store}.location", file

    def java(self, *words: str, **options) -> Running:
        """A program of this release of Kafka: options of Java, main class, arguments."""
        # Where the tests were given a broker that runs, what this needs is not installed.
        from broker.__main__ import SERVER_OPTIONS, java_command

        java = [*SERVER_OPTIONS, f"-XX:SharedArchiveFile={ARCHIVE}"]
        self.started.append(Running(*java_command(PINS, java, *words), **options))
        return self.started[-1]

    def start_kafka(self, number: int) -> None:
        """Start one Kafka; does not wait for it."""
        file = str(self.directory / f"{number}.properties")
        self.kafkas[number] = self.java("-XX:+AutoCreateSharedArchive", "kafka.Kafka", file)

    def wait(self, number: int) -> None:
        """Return when one Kafka answers; fail with the tail of its log if it ends instead."""
        kafka = self.kafkas[number]

        def ready() -> bool:
            assert kafka.process.poll() is None, f"Kafka ended: {kafka}"
            return bool(kafka.find("Kafka Server started"))

        eventually(ready, 60, f"Kafka {number} ready")

    @cached_property
    def admin(self) -> AdminClient:
        """An independent client that may do everything."""
        return administrator(self.servers)

    def let_in(self) -> None:
        """Let those log in by SCRAM who have a password."""
        mechanism = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096)
        new = [
            UserScramCredentialUpsertion(name, mechanism, word.encode())
            for name, word in PASSWORDS.items()
        ]
        for done in self.admin.alter_user_scram_credentials(new).values():
            done.result(20)

    def create(self, topic: str, partitions: int = 1) -> None:
        """Make a topic with a replica on each broker."""
        self.admin.create_topics([NewTopic(topic, partitions, SIZE)])[topic].result(20)

    def leader(self, topic: str) -> int:
        """Number of the Kafka that leads the first partition of a topic, -1 where none does."""
        return self.admin.list_topics(timeout=20).topics[topic].partitions[0].leader

    def allow(self, user: str, kind: ResourceType, name: str, operation: AclOperation) -> None:
        """Give a right to a user: on what, called how, to do what."""
        literal, allow = ResourcePatternType.LITERAL, AclPermissionType.ALLOW
        right = AclBinding(kind, name, literal, f"User:{user}", "*", operation, allow)
        self.admin.create_acls([right])[right].result(20)

    def stop(self) -> None:
        """Leave the archive of classes, by which the next ones start faster, if there is none."""
        if not ARCHIVE.exists():
            self.kafkas[0].stop(signal.SIGTERM, 60)

    def kill(self) -> None:
        """Leave nothing running."""
        for one in self.started:
            one.kill()
