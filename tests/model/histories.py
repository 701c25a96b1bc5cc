"""Histories drawn at random from a seed, and the shortest form of one that shows a fault."""

import random
from collections.abc import Callable, Sequence
from typing import NamedTuple

from tests.model.world import STEPS, Fault, Step, World

LENGTH = 60  # steps of a history


class Found(NamedTuple):
    """How many histories were played, and the shortest one with a fault, if any."""

    histories: int
    fault: str
    history: Sequence[Step]

    def __str__(self) -> str:
        return "\n".join([self.fault, *(f"  {name} {number}" for name, number in self.history)])


def search(make_reader: Callable, seed: int, steps: int) -> Found:
    """Play histories of so many steps together, or until one shows a fault."""
    rng = random.Random(seed)
    played = histories = 0
    while played < steps:
        history: Sequence[Step] = draw(rng)
        histories, played = histories + 1, played + len(history)
        if fault_of(make_reader, history):
            history = shortest(make_reader, history)
            return Found(histories, fault_of(make_reader, history), history)
    return Found(histories, "", ())


def draw(rng: random.Random) -> list[Step]:
    """A random history."""
    names = rng.choices(list(STEPS), list(STEPS.values()), k=LENGTH)
    start = [("without_group", 0)] if rng.random() < 0.05 else []
    return start + [(name, rng.getrandbits(16)) for name in names]


def fault_of(make_reader: Callable, history: Sequence[Step]) -> str:
    """What a history shows that must not be; empty for nothing."""
    try:
        World(make_reader, history).play()
    except Fault as fault:
        return str(fault)
    return ""


def shortest(make_reader: Callable, history: Sequence[Step]) -> Sequence[Step]:
    """The history without the steps, and with the least numbers, that a fault does not need."""
    size, before = len(history) // 2, len(history)
    while size:
        for start in range(len(history) - size, -1, -size):
            shorter = [*history[:start], *history[start + size :]]
            history = shorter if fault_of(make_reader, shorter) else history
        again = size == 1 and len(history) < before
        size, before = 1 if again else size // 2, len(history)
    for place, (name, number) in enumerate(history):
        for less in sorted({number % 4**digits for digits in range(8)} - {number}):
            simpler = [*history[:place], (name, less), *history[place + 1 :]]
            if fault_of(make_reader, simpler):
                history = simpler
                break
    return history
