"""What a consumer knows of a partition that it reads: the place where it resumes, and why."""

from dataclasses import dataclass

from client.places import Place


@dataclass
class Partition:
    """A place: after the last record that was processed, or where reading was begun."""

    place: Place | None = None
    uncommitted: bool = False
    announced: bool = False
    position: int = 0  # of kafka-python, beyond the place, when it was asked for
    # After a truncation: where reading was. What was committed up to there does not count.
    lost: Place | None = None
    rewound: str = ""  # why another place has to be found
    # After seek(): what poll() returns or raises next may be of a request that was sent before.
    sought: bool = False

    def process(self, place: Place) -> None:
        """Count what is before a place as processed."""
        self.place, self.uncommitted = place, True

    def is_valid(self, committed: Place) -> bool:
        """Whether Kafka still has the place that the group has committed."""
        return self.lost is None or committed.is_after(self.lost)

    def may_resume_after(self) -> int:
        """The time of the last record that was read before the leader cut its log; else -1."""
        own, lost = self.place, self.lost
        return lost.time if own and lost and self.rewound and own.epoch == lost.epoch else -1

    def resume(self, place: Place, own: Place | None, committed: Place | None) -> None:
        """Read on at a place, which is our own, the committed one, or the earliest.

        It has to be committed unless it is, or nothing was processed since reading was begun.
        """
        processed = place == own and (place.time >= 0 or self.uncommitted)
        self.uncommitted = place != committed and (processed or self.lost is not None)
        self.place, self.position = place, 0

    def may_diverge(self, divergent: Place | None) -> bool:
        """Whether a log may diverge before our place; if not, another position was meant."""
        own = self.place
        if own is None or divergent is None:
            return own is not None
        return divergent.offset < own.offset and (own.epoch < 0 or divergent.epoch <= own.epoch)

    def rewind(self, divergent: Place | None, why: str) -> None:
        """Resume where Kafka's log diverges from what was read; None for the earliest offset."""
        self.lost, self.place, self.rewound = self.place, divergent, why
