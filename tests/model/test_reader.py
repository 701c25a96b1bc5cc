"""The reader keeps its promise in random histories, and each fault that is planted is found."""

import pytest
from kafka.errors import KafkaTimeoutError

from client import reader
from client.places import Place
from client.reader import Reader
from client.stopping import StopFlag
from tests.model.histories import LENGTH, search

SEED = 1
STEPS = 100_000  # of the ordinary run
WITHIN = 6_000  # histories in which a planted fault must be found


@pytest.fixture(autouse=True)
def quiet(monkeypatch):
    """Let the reader neither wait nor talk, and take the model of a consumer for its monitor."""
    monkeypatch.setattr(reader, "monitor_of", lambda consumer: consumer)
    monkeypatch.setattr(reader.StallNotice, "update", lambda *_: None)
    monkeypatch.setattr(StopFlag, "wait", lambda *_: None)
    for name in ("announce", "notify", "notify_interrupted"):
        monkeypatch.setattr(reader, name, lambda *_: None)


# Faults that the reader has had, or might get.


class TakesNamesakeForOldTopic(Reader):
    """Reads on at its old offset after the topic was deleted and created again."""

    def notice_new_topic(self):
        self.topic_id = self.monitor.topic_id() or self.topic_id


class RereadsAfterTruncation(Reader):
    """Reads all again where Kafka has lost the end of a log."""

    def recover(self, error):
        for partition in getattr(error, "divergent_offsets", ()):
            error.divergent_offsets[partition] = None
        super().recover(error)


class AsksForPositionsInHandler(Reader):
    """Asks for positions while it handles that there are none."""

    def recover(self, error):
        super().recover(error)
        for partition in self.consumer.assignment():
            self.consumer.position(partition)


class CommitsBeforePrinting(Reader):
    """Commits what nobody has printed yet."""

    def poll(self):
        records = super().poll()
        self.commit()
        return records


class ForgetsOnePartition(Reader):
    """Does not commit the last partition of a batch."""

    def commit(self):
        if len(self.polled) > 1:
            self.polled.popitem()
        super().commit()


class SeeksAfterDelivery(Reader):
    """Skips one record after each batch of more than two."""

    def poll(self):
        records = super().poll()
        for partition, place in self.polled.items():
            if len(records) > 2:
                self.consumer.seek(partition, place.offset + 1)
        return records


class ReadsOnUncommitted(Reader):
    """Returns another batch although one is not committed."""

    def next_records(self):
        self.consumer.pause = lambda *_: None
        return super().next_records()


class TakesFailedCommitForDone(Reader):
    """Never commits again what could not be committed."""

    def commit(self):
        super().commit()
        for known in self.partitions.values():
            known.uncommitted = False


class MarksWithPresentTopic(Reader):
    """Commits what it has read of a deleted topic as if it were of the new one."""

    def commit(self):
        self.topic_id = self.monitor.topic_id() or self.topic_id
        super().commit()


class TrustsKeptPositions(Reader):
    """Reads on after a rebalance where kafka-python was before it."""

    def on_partitions_assigned(self, assigned):
        if not self.partitions.keys() >= assigned:
            super().on_partitions_assigned(assigned)
        self.joining = False


class PrefersOwnPlace(Reader):
    """Does not look what others have committed meanwhile."""

    def committed(self, assigned):
        new = [one for one in assigned if not self.partitions[one].place]
        return super().committed(new)


class ForgetsLeaderEpoch(Reader):
    """Restarts without the leader epoch that was committed."""

    def seek(self, partition, place):
        self.consumer.seek(partition, place.offset)


class ReturnsWhatWasFetchedBefore(Reader):
    """Returns what was fetched before seek(), even if it was of a deleted topic."""

    def resume(self, partition, *places):
        super().resume(partition, *places)
        self.partitions[partition].sought = False


class TrustsLateErrors(Reader):
    """Takes what kafka-python found out about an earlier position for one about the place."""

    def recover(self, error):
        for partition, divergent in getattr(error, "divergent_offsets", {}).items():
            if known := self.partitions.get(partition):
                known.rewind(divergent and Place(*divergent[::2]), "")
                self.places_known = False
                return
        super().recover(error)


class StopsPollingWithoutPlaces(Reader):
    """Does not poll, and so never joins again, while an offset cannot be found."""

    def find_places(self):
        super().find_places()
        if not self.places_known:
            raise KafkaTimeoutError


PLANTED = [kind for kind in Reader.__subclasses__() if kind.__module__ == __name__]


def test_nothing_is_lost_and_nothing_but_a_batch_is_printed_twice():
    found = search(Reader, SEED, STEPS)
    assert not found.fault, found


@pytest.mark.parametrize("kind", PLANTED, ids=lambda kind: kind.__name__)
def test_a_planted_fault_is_found(kind):
    found = search(kind, SEED, WITHIN * LENGTH)
    assert found.fault, f"not found in {found.histories} histories"
    print(f"after {found.histories} histories: {found}")
