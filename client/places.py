"""Places: where to read on in a partition, what tells whether that is still there, how to keep it.

Kafka keeps a committed place with the id of the topic and the time of the last record, so that a
restarted consumer does not take it for one in another topic or in a log that was cut.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple
from uuid import UUID

from kafka import OffsetAndMetadata

ConsumerRecord = Any  # kafka-python has no public name for the class of its records

METADATA = re.compile(r"topic id (\S+), last record of (-?\d+) ms")


class Place(NamedTuple):
    """The offset to read on at; leader epoch and time of the last record before it, if known."""

    offset: int
    epoch: int = -1
    time: int = -1  # milliseconds

    def is_after(self, other: Place) -> bool:
        """Whether it is in a later leader epoch, or else at a later offset."""
        if -1 in (self.epoch, other.epoch):
            return self.offset > other.offset
        return (self.epoch, self.offset) > (other.epoch, other.offset)

    def with_epoch(self) -> OffsetAndMetadata:
        """What seek() takes."""
        return OffsetAndMetadata(self.offset, "", self.epoch)

    def to_commit(self, topic_id: UUID | None) -> OffsetAndMetadata:
        """What commit() takes."""
        metadata = f"topic id {topic_id}, last record of {self.time} ms" if topic_id else ""
        return OffsetAndMetadata(self.offset, metadata, self.epoch)


def place_after(record: ConsumerRecord) -> Place:
    """Where to read on after a record."""
    return Place(record.offset + 1, record.leader_epoch, record.timestamp)


def committed_place(found: OffsetAndMetadata, topic_id: UUID | None) -> Place | None:
    """The place that was committed; None if that was in another topic.

    What another program has committed counts as it is.
    """
    known = METADATA.fullmatch(found.metadata or "")
    if known and topic_id and known[1] != str(topic_id):
        return None
    return Place(found.offset, found.leader_epoch, int(known[2]) if known else -1)
