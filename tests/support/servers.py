"""Servers that the tests start for themselves, and the local broker among them."""

import os
import signal
import sys
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path

from confluent_kafka.admin import AdminClient, ClusterMetadata, NewTopic

from broker import jars, java
from broker.__main__ import TOOL_OPTIONS
from tests.support.client import administrator, try_create
from tests.support.process import PROJECT, Running, eventually, free_ports

Settings = dict[str, str] | None  # of a topic

# What Kafka's log says once it accepts clients: with ZooKeeper, without.
READY = r"KafkaServer id=\d+\] started|Kafka Server started"


class Servers:
    """Server processes that belong together; leaving the `with` block kills them all.

    `servers` are the addresses for clients, `kafkas` the brokers in the order of their numbers.
    """

    servers: str
    needs_zookeeper = True

    def __init__(self, size: int = 1) -> None:
        self.kafkas: list[Running | None] = [None] * size
        self.zookeeper: Running | None = None
        self.started: list[Running] = []

    def launch(self, *command: object, **options) -> Running:
        """A process that is killed with these servers."""
        self.started.append(Running(*command, **options))
        return self.started[-1]

    def env_of(self, number: int) -> dict[str, str]:
        """The settings with which one Kafka, and ZooKeeper with the first one, are started."""
        raise NotImplementedError

    def settings_of(self, number: int) -> Mapping[str, object]:
        """Kafka's own settings for one of them."""
        raise NotImplementedError

    def server(self, name: str, *arguments: str, number: int = 0) -> Running:
        """One of the servers, started as in its tile: without a look at the installation."""
        command = (sys.executable, "-m", "broker", name, *arguments)
        return self.launch(*command, env=self.env_of(number))

    def start_zookeeper(self) -> None:
        """Start ZooKeeper unless it runs, or this Kafka needs none."""
        if self.needs_zookeeper and not (self.zookeeper and self.zookeeper.alive):
            self.zookeeper = self.server("zookeeper-server-start")

    def start_kafka(self, number: int = 0) -> None:
        """Start one Kafka unless it runs; does not wait for it."""
        if not self.runs(number):
            name = "kafka-server-start" if self.needs_zookeeper else "kraft-server-start"
            settings = self.settings_of(number).items()
            words = [word for key, value in settings for word in ("--override", f"{key}={value}")]
            self.kafkas[number] = self.server(name, *words, number=number)

    def start(self):
        """Start what does not run, all at once, and wait until each Kafka accepts clients."""
        size = len(self.kafkas)
        self.start_zookeeper()
        for number in range(size):
            self.start_kafka(number)
        for number in range(size):
            self.wait(number)
        if size > 1:
            eventually(lambda: len(self.metadata().brokers) == size, 20, "all in the metadata")
        return self

    def java(self, main_class: str, *words: str, **options) -> Running:
        """A console command of the same release of Kafka."""
        pins = jars.PINS if self.needs_zookeeper else jars.KRAFT
        return self.launch(*java.command(pins, TOOL_OPTIONS, main_class, *words), **options)

    def runs(self, number: int) -> bool:
        """Whether one Kafka was started and has not ended."""
        kafka = self.kafkas[number]
        return kafka is not None and kafka.alive

    def node(self, number: int) -> Running:
        """One Kafka, which must have been started."""
        kafka = self.kafkas[number]
        assert kafka, f"Kafka {number} was not started"
        return kafka

    def wait(self, number: int = 0) -> None:
        """Return when one Kafka accepts clients; fail with its output if it ends instead."""

        def ready() -> bool:
            assert self.runs(number), f"Kafka ended: {self.kafkas[number]}"
            assert not self.zookeeper or self.zookeeper.alive, f"ended: {self.zookeeper}"
            return bool(self.node(number).find(READY))

        eventually(ready, 60, f"Kafka {number} ready:", self.kafkas[number])

    @cached_property
    def admin(self) -> AdminClient:
        """An independent client for the administration."""
        return administrator(self.servers)

    def metadata(self) -> ClusterMetadata:
        """The brokers and topics that the cluster knows."""
        return self.admin.list_topics(timeout=20)

    def create(
        self, topic: str, partitions: int = 1, replicas: int = 0, config: Settings = None
    ) -> None:
        """Create a topic with these settings, by default with a replica on each broker."""
        new = NewTopic(topic, partitions, replicas or len(self.kafkas), config=config or {})
        eventually(lambda: try_create(self.admin, new), 10, "a new topic", topic)

    def delete(self, topic: str) -> None:
        """Delete a topic, until the cluster does not know it any more."""
        self.admin.delete_topics([topic])[topic].result(20)
        eventually(lambda: topic not in self.metadata().topics, 10, "no topic", topic)

    def leader(self, topic: str, partition: int = 0) -> int:
        """Number of the Kafka that leads a partition, -1 where none does."""
        return self.metadata().topics[topic].partitions[partition].leader

    def kill(self) -> None:
        """Leave nothing running."""
        for one in self.started:
            one.kill()

    def __enter__(self):
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()


class Broker(Servers):
    """ZooKeeper and Kafka, started by the project's own commands.

    `settings` override Kafka's own. A proxy can be put before each of the `proxied` listeners:
    Kafka listens on the first of the two ports and advertises the second.
    """

    def __init__(
        self,
        data: Path,
        settings: Mapping[str, object] | None = None,
        proxies: int = 0,
        ports: Sequence[int] = (),
    ) -> None:
        super().__init__()
        self.data, self.settings = data, dict(settings or {})
        self.ports = list(ports) or free_ports(2 + 2 * proxies)
        self.port, self.zookeeper_port, *others = self.ports
        self.proxied = list(zip(others[::2], others[1::2], strict=True))
        self.servers = f"localhost:{self.port}"
        self.env = {"BROKER_PORT": str(self.port), "ZOOKEEPER_PORT": str(self.zookeeper_port)}
        self.env |= {"BROKER_DATA": str(data), "CONTROLLER_PORT": str(self.zookeeper_port)}

    @property
    def kafka(self) -> Running:
        """The one Kafka, which must have been started."""
        return self.node(0)

    def env_of(self, number: int) -> dict[str, str]:
        """The settings with which both are started."""
        return self.env

    def settings_of(self, number: int) -> Mapping[str, object]:
        """Kafka's own settings."""
        return self.listeners() | self.settings

    def listeners(self) -> dict[str, object]:
        """Kafka's settings for the proxied listeners."""
        if not self.proxied:
            return {}
        names = ["PLAINTEXT", *(f"PROXIED{number}" for number in range(len(self.proxied)))]
        ports = [(self.port, self.port), *self.proxied]
        listening, advertised = zip(*ports, strict=True)
        return {
            "listeners": addresses(names, listening),
            "advertised.listeners": addresses(names, advertised),
            "listener.security.protocol.map": ",".join(f"{name}:PLAINTEXT" for name in names),
        }

    def command(self, name: str, *arguments: str, **options) -> Running:
        """One of the broker's commands, run against this broker."""
        return self.launch(PROJECT / "broker" / name, *arguments, env=self.env, **options)

    def cut(self, topic: str, share: float) -> None:
        """Kill Kafka, cut a share off the end of a partition's log, and start Kafka again."""
        self.kafka.kill()
        directory = self.data / "kafka" / f"{topic}-0"
        log = directory / "00000000000000000000.log"
        os.truncate(log, int(log.stat().st_size * (1 - share)))
        for snapshot in directory.glob("*.snapshot"):
            snapshot.unlink()
        self.start()

    def stop(self) -> None:
        """Stop Kafka, then ZooKeeper, as `launch_tmux.sh stop` does."""
        for server in (*self.kafkas, self.zookeeper):
            if server and server.alive:
                server.stop(signal.SIGTERM, 20)


class KraftBroker(Broker):
    """Kafka 4, started by the project's own command; its controller has ZooKeeper's port."""

    needs_zookeeper = False


def addresses(names: Iterable[str], ports: Iterable[int]) -> str:
    """Listeners as Kafka's settings name them."""
    pairs = zip(names, ports, strict=True)
    return ",".join(f"{name}://127.0.0.1:{port}" for name, port in pairs)


def logins(listener: str, passwords: Mapping[str, str]) -> dict[str, object]:
    """Settings of a listener where these users log in by PLAIN, and those in Kafka by SCRAM."""
    users = "".join(f' user_{name}="{password}"' for name, password in passwords.items())
    module, start = "org.apache.kafka.common.security.{} required", f"listener.name.{listener}"
    return {
        f"{start}.plain.sasl.jaas.config": f"{module.format('plain.PlainLoginModule')}{users};",
        f"{start}.scram-sha-512.sasl.jaas.config": f"{module.format('scram.ScramLoginModule')};",
    }


def tls(listener: str, certificate: Path, authority: Path) -> dict[str, object]:
    """Settings of a listener that presents a certificate, and trusts what an authority signs."""
    files = {"keystore": certificate, "truststore": authority}
    start = f"listener.name.{listener}.ssl"
    types = {f"{start}.{store}.type": "PEM" for store in files}
    return types | {f"{start}.{store}.location": file for store, file in files.items()}
