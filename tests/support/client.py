"""The independent client (confluent-kafka): it writes what our consumer reads, and vice versa."""

from collections.abc import Mapping
from operator import itemgetter

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition
from confluent_kafka.admin import (
    AdminClient,
    NewTopic,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialAlteration,
    UserScramCredentialUpsertion,
)

from tests.support.process import eventually


def administrator(servers: str, seconds: float = 20) -> AdminClient:
    """A client for the cluster's administration, once the cluster has a controller."""
    client = AdminClient({"bootstrap.servers": servers, "log_level": 0})
    eventually(lambda: has_controller(client), seconds, "a controller at", servers)
    return client


def has_controller(client: AdminClient) -> bool:
    """Whether the cluster can be reached and has a controller."""
    try:
        return client.list_topics(timeout=5).controller_id >= 0
    except KafkaException:
        return False


def try_create(client: AdminClient, topic: NewTopic) -> bool:
    """Whether a topic could be created; it cannot while its namesake is still being deleted."""
    try:
        client.create_topics([topic])[topic.topic].result(20)
    except KafkaException as error:
        assert error.args[0].code() == KafkaError.TOPIC_ALREADY_EXISTS, error
        return False
    return True


def create_logins(client: AdminClient, passwords: Mapping[str, str]) -> None:
    """Let users log in by SCRAM-SHA-512."""
    mechanism = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096)
    new: list[UserScramCredentialAlteration] = [
        UserScramCredentialUpsertion(name, mechanism, password.encode())
        for name, password in passwords.items()
    ]
    for done in client.alter_user_scram_credentials(new).values():
        done.result(20)


def write(
    servers: str, topic: str, *values: object, key: str | None = "A", **settings: object
) -> None:
    """Write values, each in a batch of its own; `settings` are further settings of librdkafka."""
    producer = Producer({"bootstrap.servers": servers} | settings)
    for value in values:
        producer.produce(topic, str(value), key)
        assert producer.flush(20) == 0


def records(servers: str, topic: str, at_least: int = 0) -> list[Message]:
    """All records of a topic, partition by partition in order, once there are at least so many."""
    settings = {"bootstrap.servers": servers, "group.id": "tests", "enable.auto.commit": False}
    settings |= {"log_level": 0, "allow.auto.create.topics": False}
    consumer = Consumer(settings | {"auto.offset.reset": "earliest"})
    ends: dict[int, int] = {}
    found: list[Message] = []

    def enough() -> bool:
        ranges = {}
        for number in consumer.list_topics(topic, timeout=20).topics[topic].partitions:
            partition = TopicPartition(topic, number)
            ranges[number] = consumer.get_watermark_offsets(partition, timeout=20)
        ends.update({number: high for number, (low, high) in ranges.items() if high > low})
        return sum(high - low for low, high in ranges.values()) >= at_least

    def complete() -> bool:
        found.extend(m for m in consumer.consume(10_000, 0.1) if not m.error())
        positions = consumer.position([TopicPartition(topic, number) for number in ends])
        return all(partition.offset >= ends[partition.partition] for partition in positions)

    try:
        eventually(enough, 30, at_least, "records in", topic)
        consumer.assign([TopicPartition(topic, number, 0) for number in ends])
        eventually(complete, 30, "all records of", topic)
    finally:
        consumer.close()
    places = [(place_of(one), one) for one in found]
    before_ends = [(at, one) for at, one in places if at[1] < ends[at[0]]]
    return [one for _, one in sorted(before_ends, key=itemgetter(0))]


def place_of(record: Message) -> tuple[int, int]:
    """Partition and offset of a record."""
    partition, offset = record.partition(), record.offset()
    assert partition is not None and offset is not None, "not a record of a topic"
    return partition, offset


def number_of(record: Message) -> int:
    """The number that a record holds."""
    value = record.value()
    assert value is not None, f"no value at {place_of(record)}"
    return int(value)
