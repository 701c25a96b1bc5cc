"""Three Kafkas of release 4, which need no ZooKeeper, with logins, TLS and ACLs."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    ResourcePatternType,
    ResourceType,
)

from tests.support.certificates import Authority
from tests.support.client import create_logins
from tests.support.process import PROJECT, Running, eventually, free_ports
from tests.support.servers import Servers, as_overrides

ARCHIVE = PROJECT / ".kafka" / "kraft.jsa"
SIZE = 3

# Seconds until a dead broker counts as dead and numbers flow again, on a busy machine.
BACK = 30

# Who may log in, and how. The user of the certificate is named after its subject.
PASSWORDS = {name: f"secret-of-{name}" for name in ("alice", "bob", "carol", "nobody")}
CERTIFIED = "CN=dora"
KEY_PASSWORD = "doras-secret"

# ACLs: on what, to do what, and on which one if it is not the test's topic.
WRITE = (ResourceType.TOPIC, AclOperation.WRITE)
READ = (ResourceType.TOPIC, AclOperation.READ)
ELSEWHERE = (ResourceType.TOPIC, AclOperation.WRITE, "another")
JOIN = (ResourceType.GROUP, AclOperation.READ, "consumer_c")
CREATE = (ResourceType.TOPIC, AclOperation.CREATE)

LISTENERS = {
    "INSIDE": "PLAINTEXT",  # for the brokers among themselves, and for the tests
    "CONTROLLER": "PLAINTEXT",
    "LOGIN": "SASL_SSL",
    "MUTUAL": "SSL",
}

SETTINGS = {
    "inter.broker.listener.name": "INSIDE",
    "listener.security.protocol.map": ",".join(map(":".join, LISTENERS.items())),
    "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-512",
    "listener.name.mutual.ssl.client.auth": "required",
    "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
    "super.users": "User:ANONYMOUS",
    "default.replication.factor": SIZE,
    "min.insync.replicas": 2,
    "offsets.topic.replication.factor": SIZE,
    "transaction.state.log.replication.factor": SIZE,
    "controlled.shutdown.enable": "true",
    # A dead broker counts as dead after this.
    "broker.session.timeout.ms": 6000,
    "num.network.threads": 1,
    "num.io.threads": 2,
}


class Kraft(Servers):
    """Three brokers, each a controller as well, with their data below one directory."""

    def __init__(self, directory: Path) -> None:
        super().__init__(SIZE)
        self.directory = directory
        self.authority = Authority(directory)
        self.presented = self.authority.issue("broker", "localhost")
        self.certificate = self.authority.issue(CERTIFIED[3:], password=KEY_PASSWORD)
        ports = iter(free_ports(SIZE * len(LISTENERS)))
        self.ports = [{name: next(ports) for name in LISTENERS} for _ in range(SIZE)]
        self.servers = self.at("INSIDE")  # where everybody may do everything

    def at(self, listener: str) -> str:
        """The addresses of a listener."""
        return ",".join(f"localhost:{ports[listener]}" for ports in self.ports)

    def start(self) -> Kraft:
        """Start all three, and wait until each accepts clients."""
        for number in range(SIZE):
            self.start_kafka(number)
        for number in range(SIZE):
            self.wait(number)
        eventually(lambda: len(self.admin.list_topics(timeout=20).brokers) == SIZE, 20, "brokers")
        create_logins(self.admin, PASSWORDS)
        return self

    def env_of(self, number: int) -> dict[str, str]:
        """The settings with which one of the three is started."""
        ports = self.ports[number]
        env = {"BROKER_PORT": str(ports["INSIDE"]), "CONTROLLER_PORT": str(ports["CONTROLLER"])}
        return env | {"BROKER_DATA": str(self.directory / f"data{number}")}

    def settings(self, number: int) -> Iterator[tuple[str, object]]:
        """Kafka's own settings for one of the three."""
        yield from SETTINGS.items()
        mine = self.ports[number]
        listeners = [f"{name}://localhost:{port}" for name, port in mine.items()]
        yield "node.id", number
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
        """A console command of this release of Kafka: main class, arguments."""
        # Where the tests were given a running broker, what this needs is not installed.
        from broker import jars, java
        from broker.__main__ import TOOL_OPTIONS

        return self.launch(*java.command(jars.KRAFT, TOOL_OPTIONS, *words), **options)

    def start_kafka(self, number: int = 0) -> None:
        """Start one Kafka unless it runs; does not wait for it."""
        if not self.runs(number):
            settings = as_overrides(dict(self.settings(number)))
            self.kafkas[number] = self.server("kraft-server-start", *settings, number=number)

    def as_user(self, name: str) -> dict[str, str]:
        """The settings of a user who logs in by SCRAM over TLS."""
        return {
            "KAFKA_BOOTSTRAP_SERVERS": self.at("LOGIN"),
            "KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
            "KAFKA_SSL_CAFILE": str(self.authority.file),
            "KAFKA_SASL_MECHANISM": "SCRAM-SHA-512",
            "KAFKA_SASL_PLAIN_USERNAME": name,
            "KAFKA_SASL_PLAIN_PASSWORD": PASSWORDS[name],
        }

    def allow(self, user: str, topic: str, *acls: tuple) -> None:
        """Give a user ACLs, on the topic where they name nothing else."""
        for kind, operation, *names in acls:
            (name,) = names or [topic]
            literal, allow = ResourcePatternType.LITERAL, AclPermissionType.ALLOW
            acl = AclBinding(kind, name, literal, f"User:{user}", "*", operation, allow)
            self.admin.create_acls([acl])[acl].result(20)

    def stop(self) -> None:
        """Stop one Kafka where its archive of classes is missing: the next ones start faster."""
        if not ARCHIVE.exists():
            self.node(0).stop(signal.SIGTERM, 60)


def shows_secret(text: str) -> bool:
    """Whether any password is in a text."""
    return any(secret in text for secret in (*PASSWORDS.values(), KEY_PASSWORD))
