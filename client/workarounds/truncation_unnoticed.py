"""A restarted consumer does not notice that Kafka has lost the end of the log that it had read.

3.0.12: consumer/group.py:1017 takes no leader epoch with an offset, though the position that it
sets has one, and Java's seek() takes it. Only by the epoch of the last record can Kafka tell that
its log diverges before that offset.
To reproduce: read a topic and stop; kill Kafka, cut the end off the log, start Kafka; read on.
"""

from kafka import KafkaConsumer, OffsetAndMetadata

original = KafkaConsumer.seek


def seek(self, partition, offset):
    """As before, but with a leader epoch if the offset is an OffsetAndMetadata."""
    with_epoch = isinstance(offset, OffsetAndMetadata)
    original(self, partition, offset.offset if with_epoch else offset)
    if with_epoch:
        self._subscription.seek(partition, offset)


KafkaConsumer.seek = seek
