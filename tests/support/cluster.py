"""Three Kafkas on one ZooKeeper, each of which may come and go."""

from pathlib import Path

from confluent_kafka import ElectionType

from tests.support.process import eventually, free_ports
from tests.support.proxy import Proxy
from tests.support.servers import Servers, Settings

# What the brokers need to lose nothing when one of them dies, besides a number each.
SETTINGS: dict[str, object] = {
    "default.replication.factor": 3,
    "min.insync.replicas": 2,
    "num.partitions": 1,
    "offsets.topic.replication.factor": 3,
    "transaction.state.log.replication.factor": 3,
    "transaction.state.log.min.isr": 2,
    "unclean.leader.election.enable": "false",
    "controlled.shutdown.enable": "true",
    # A dead broker counts as dead after this; ZooKeeper allows no less than two of its ticks.
    "zookeeper.session.timeout.ms": 6000,
    "replica.lag.time.max.ms": 6000,
    # A broker that is back leads its partitions again when asked to, not by itself.
    "auto.leader.rebalance.enable": "false",
    "num.network.threads": 2,
    "num.io.threads": 4,
    "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,PROXIED:PLAINTEXT",
}


class Cluster(Servers):
    """ZooKeeper and three Kafkas with their data below one directory.

    `servers` are their own addresses, `proxied` those of a proxy before each of them.
    """

    def __init__(self, data: Path, size: int = 3) -> None:
        super().__init__(size)
        self.data = data
        self.zookeeper_port, *self.ports = free_ports(size + 1)
        self.servers = ",".join(f"localhost:{port}" for port in self.ports)
        self.proxies = [Proxy(port) for port in free_ports(size)]
        self.proxied = ",".join(proxy.address for proxy in self.proxies)

    def settings_of(self, number: int) -> dict[str, object]:
        """Kafka's own settings for one of the three."""
        proxy, own = self.proxies[number], f"PLAINTEXT://localhost:{self.ports[number]},PROXIED://"
        listeners = {"listeners": f"{own}127.0.0.1:{proxy.target}"}
        listeners["advertised.listeners"] = f"{own}{proxy.address}"
        return SETTINGS | {"broker.id": number} | listeners

    def env_of(self, number: int) -> dict[str, str]:
        """The settings with which one of the three is started."""
        env = {"ZOOKEEPER_PORT": str(self.zookeeper_port), "BROKER_PORT": str(self.ports[number])}
        return env | {"BROKER_DATA": str(self.data / f"broker{number}")}

    def create(
        self, topic: str, partitions: int = 1, replicas: int = 0, config: Settings = None
    ) -> None:
        """Create a topic, with a replica in sync on each broker unless told otherwise."""
        super().create(topic, partitions, replicas, config)
        if not replicas:
            self.settled(topic, seconds=20)

    def coordinator(self, group: str) -> int:
        """Number of the Kafka that coordinates a group of consumers."""
        return self.admin.describe_consumer_groups([group])[group].result(20).coordinator.id

    def in_sync(self, *topics: str) -> bool:
        """Whether each replica of the topics and of the offsets is in sync with its leader."""
        known = self.metadata().topics
        wanted = [known[topic] for topic in {*topics, "__consumer_offsets"} if topic in known]
        partitions = [one for topic in wanted for one in topic.partitions.values()]
        return all(one.leader >= 0 and len(one.isrs) == len(self.kafkas) for one in partitions)

    def settled(self, *topics: str, seconds: float = 60) -> None:
        """Return when all replicas of the topics are in sync."""
        eventually(lambda: self.in_sync(*topics), seconds, f"{topics} in sync")

    def move_leader(self, topic: str, partition: int, number: int) -> None:
        """Make another Kafka lead a partition: name it first among the replicas, then elect it."""
        from kafka import KafkaAdminClient, TopicPartition  # confluent-kafka cannot name replicas

        others = [n for n in range(len(self.kafkas)) if n != number]
        with KafkaAdminClient(bootstrap_servers=self.servers.split(",")) as admin:
            admin.alter_partition_reassignments(
                {TopicPartition(topic, partition): [number, *others]}
            )

            def leads() -> bool:
                # An election before the new order is known silently changes nothing.
                admin.elect_leaders(ElectionType.PREFERRED.value, {topic: [partition]})
                return self.leader(topic, partition) == number

            eventually(leads, 20, f"Kafka {number} leads {topic}-{partition}")

    def kill(self) -> None:
        """Leave nothing running."""
        super().kill()
        for proxy in self.proxies:
            proxy.close()
