"""Three Kafkas of release 4, which need no ZooKeeper, with logins, TLS and ACLs."""

from __future__ import annotations

import signal
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
from tests.support.process import PROJECT, free_ports
from tests.support.secured import SECRETS
from tests.support.servers import Servers, logins, tls

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

SETTINGS: dict[str, object] = {
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

    needs_zookeeper = False

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
        """Start all three, wait until each accepts clients, and let the users log in."""
        super().start()
        create_logins(self.admin, PASSWORDS)
        return self

    def env_of(self, number: int) -> dict[str, str]:
        """The settings with which one of the three is started."""
        ports = self.ports[number]
        env = {"BROKER_PORT": str(ports["INSIDE"]), "CONTROLLER_PORT": str(ports["CONTROLLER"])}
        return env | {"BROKER_DATA": str(self.directory / f"data{number}")}

    def settings_of(self, number: int) -> dict[str, object]:
        """Kafka's own settings for one of the three."""
        listeners = [f"{name}://localhost:{port}" for name, port in self.ports[number].items()]
        voters = [f"{n}@localhost:{ports['CONTROLLER']}" for n, ports in enumerate(self.ports)]
        settings = SETTINGS | {"node.id": number, "listeners": ",".join(listeners)}
        settings |= {"controller.quorum.voters": ",".join(voters)} | logins("login", PASSWORDS)
        for listener in ("login", "mutual"):
            settings |= tls(listener, self.presented, self.authority.file)
        return settings

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
        if not any((PROJECT / ".kafka").glob("kraft-*.jsa")):
            self.node(0).stop(signal.SIGTERM, 60)


def shows_secret(text: str) -> bool:
    """Whether a text has a secret in it that nothing may ever show."""
    return any(word in text for word in (*SECRETS.values(), *PASSWORDS.values(), KEY_PASSWORD))
