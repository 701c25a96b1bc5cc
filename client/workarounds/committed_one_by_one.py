"""A consumer of many partitions far from Kafka never begins: finding its offsets takes too long.

3.0.12: consumer/group.py:728 takes one partition, so that each costs a round trip, though the
request takes many, and Java's committed() a set. After max_poll_interval_ms the group removes the
consumer, which begins again. The development branch does the same.
To reproduce: read a topic of 400 partitions through a network with a delay of 100 ms.
"""

from kafka import KafkaConsumer, TopicPartition

original = KafkaConsumer.committed


def committed(self, partition, metadata=False, timeout_ms=None):
    """As before, but for a list of partitions a dictionary of those with a committed offset."""
    if isinstance(partition, TopicPartition):
        return original(self, partition, metadata, timeout_ms)
    found = self._coordinator.fetch_committed_offsets(partition, timeout_ms=timeout_ms)
    return found if metadata else {one: at.offset for one, at in found.items()}


KafkaConsumer.committed = committed
