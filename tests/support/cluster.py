"""Three Kafkas on one ZooKeeper, each of which may come and go."""

from __future__ import annotations

import signal
import sys
from functools import cached_property
from pathlib import Path

from confluent_kafka import ElectionType
from confluent_kafka.admin import AdminClient, NewTopic

from tests.support.process import Running, eventually, free_ports
from tests.support.proxy import Proxy

# What one broker of three needs besides its own id, to lose nothing when one of them dies.
OVERRIDES = {
    "default.replication.factor": 3,
    "min.insync.replicas": 2,
    "num.partitions": 1,
    "offsets.topic.replication.factor": 3,
    "transaction.state.log.replication.factor": 3,
    "transaction.state.log.min.isr": 2,
    "unclean.leader.election.enable": "false",
    "controlled.shutdown.enable": "true",
    # A dead broker is known as one after this; ZooKeeper allows no less than two of its ticks.
    "zookeeper.session.timeout.ms": 6000,
    "replica.lag.time.max.ms": 6000,
    # A broker that is back leads again what it led, when asked to and not by itself.
    "auto.leader.rebalance.enable": "false",
    "num.network.threads": 2,
    "num.io.threads": 4,
    "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,PROXIED:PLAINTEXT",
}


class Cluster:
    """A ZooKeeper and three Kafkas with their data below one directory.

    `servers` reach them as they are, `proxied` the same ones through a network that may fail.
    """

    def __init__(self, data: Path, size: int = 3) -> None:
        self.data = data
        self.zookeeper_port, *self.ports = free_ports(size + 1)
        self.servers = ",".join(f"localhost:{port}" for port in self.ports)
        self.proxies = [Proxy(port) for port in free_ports(size)]
        self.proxied = ",".join(proxy.address for proxy in self.proxies)
        self.zookeeper: Running | None = None
        self.kafkas: list[Running | None] = [None] * size
        self.started: list[Running] = []

    def start(self) -> Cluster:
        """Start what does not run, all at once, and wait until each Kafka answers."""
        self.start_zookeeper()
        for number in range(len(self.kafkas)):
            self.start_kafka(number)
        for number in range(len(self.kafkas)):
            self.wait(number)
        eventually(lambda: len(self.metadata().brokers) == len(self.kafkas), 20, "all in metadata")
        return self

    def start_zookeeper(self) -> None:
        """Start ZooKeeper unless it runs."""
        if not runs(self.zookeeper):
            self.zookeeper = self.command("zookeeper-server-start")

    def start_kafka(self, number: int) -> None:
        """Start one Kafka unless it runs; does not wait for it."""
        if not runs(self.kafkas[number]):
            port, proxy = self.ports[number], self.proxies[number]
            inside = f"PLAINTEXT://localhost:{port},PROXIED://"
            options = [f"broker.id={number}", *(f"{k}={v}" for k, v in OVERRIDES.items())]
            options.append(f"listeners={inside}127.0.0.1:{proxy.target}")
            options.append(f"advertised.listeners={inside}{proxy.address}")
            words = [word for option in options for word in ("--override", option)]
            self.kafkas[number] = self.command("kafka-server-start", *words, number=number)

    def wait(self, number: int, seconds: float = 60) -> None:
        """Return when one Kafka answers; fail with the tail of its log if it ends instead."""

        def ready() -> bool:
            kafka = self.kafkas[number]
            assert runs(kafka), f"Kafka ended: {kafka}"
            return bool(kafka.find(r"KafkaServer id=\d+\] started"))

        eventually(ready, seconds, f"Kafka {number} ready")

    def command(self, name: str, *arguments: str, number: int = 0) -> Running:
        """One of the broker's own commands as one of the three sees it."""
        env = {"ZOOKEEPER_PORT": str(self.zookeeper_port), "BROKER_PORT": str(self.ports[number])}
        env["BROKER_DATA"] = str(self.data / f"broker{number}")
        self.started.append(Running(sys.executable, "-m", "broker", name, *arguments, env=env))
        return self.started[-1]

    @cached_property
    def admin(self) -> AdminClient:
        """An independent client that asks and changes the cluster."""
        return AdminClient({"bootstrap.servers": self.servers, "log_level": 0})

    def metadata(self):
        """What the cluster says of its brokers and topics."""
        return self.admin.list_topics(timeout=20)

    def create(self, topic: str, partitions: int = 1) -> None:
        """Make a topic with a replica on each broker."""
        new = NewTopic(topic, partitions, len(self.kafkas))
        self.admin.create_topics([new])[topic].result(20)
        eventually(lambda: self.in_sync(topic), 20, f"{topic} in sync")

    def leader(self, topic: str, partition: int = 0) -> int:
        """Number of the Kafka that leads a partition, -1 where none does."""
        return self.metadata().topics[topic].partitions[partition].leader

    def coordinator(self, group: str) -> int:
        """Number of the Kafka that coordinates a group of consumers."""
        return self.admin.describe_consumer_groups([group])[group].result(20).coordinator.id

    def in_sync(self, *topics: str) -> bool:
        """Whether each replica of the topics, of the offsets too, is in sync with its leader."""
        known = self.metadata().topics
        wanted = [known[topic] for topic in {*topics, "__consumer_offsets"} if topic in known]
        partitions = [one for topic in wanted for one in topic.partitions.values()]
        return all(one.leader >= 0 and len(one.isrs) == len(self.kafkas) for one in partitions)

    def settled(self, *topics: str, seconds: float = 60) -> None:
        """Return when all of the topics is in sync."""
        eventually(lambda: self.in_sync(*topics), seconds, f"{topics} in sync")

    def move_leader(self, topic: str, partition: int, number: int) -> None:
        """Let another Kafka lead a partition: name it first among the replicas, then elect it."""
        from kafka import KafkaAdminClient, TopicPartition  # confluent-kafka cannot name replicas

        others = [n for n in range(len(self.kafkas)) if n != number]
        with KafkaAdminClient(bootstrap_servers=self.servers.split(",")) as admin:
            admin.alter_partition_reassignments(
                {TopicPartition(topic, partition): [number, *others]}
            )

            def leads() -> bool:
                # An election before the new order is known changes nothing, without a word.
                admin.elect_leaders(ElectionType.PREFERRED.value, {topic: [partition]})
                return self.leader(topic, partition) == number

            eventually(leads, 20, f"Kafka {number} leads {topic}-{partition}")

    def stop(self, number: int) -> None:
        """End one Kafka as a rolling restart does: it hands its partitions over first."""
        self.kafkas[number].stop(signal.SIGTERM, 30)

    def kill(self) -> None:
        """Leave nothing running."""
        for one in self.started:
            one.kill()
        for proxy in self.proxies:
            proxy.close()


def runs(server: Running | None) -> bool:
    """Whether a server was started and has not ended."""
    return server is not None and server.process.poll() is None
