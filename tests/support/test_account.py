"""The account itself: what is right passes, and each way in which a history is wrong is found."""

import re
import subprocess
from collections.abc import Callable
from copy import deepcopy

import pytest

from tests.support.account import Account, cpu, not_spinning
from tests.support.process import Running, eventually

History = dict[str, list[str]]

# What the topic holds at the offsets 0 to 7, what both producers printed and said in the end, and
# what two consumers printed, one after the other.
RIGHT: History = {
    "topic": ["A: 0", "B: 1", "A: 2", "B: 3", "A: 4", "B: 5", "A: 6", "B: 7"],
    "A": [f"A: {number}  (partition 0, offset {number})" for number in (0, 2, 4, 6)],
    "B": [f"B: {number}  (partition 0, offset {number})" for number in (1, 3, 5, 7)],
    "A said": ["A: 4 sent, 4 acknowledged."],
    "B said": ["B: 4 sent, 4 acknowledged."],
    "C": ["A: 0", "B: 1", "A: 2", "B: 3", "A: 4"],
    "D": ["B: 5", "A: 6", "B: 7"],
}


def account_of(history: History, twice_allowed: int = 0) -> Account:
    """The account of a history, settled; real processes have printed its lines."""
    numbers = [(line[0], int(line[3:])) for line in history["topic"]]
    stored = [((0, offset), number) for offset, number in enumerate(numbers)]
    producers = [printing(history[key], history[f"{key} said"]) for key in "AB"]
    consumers = [printing(history[key], []) for key in "CD"]
    found = Account(producers, consumers, stored)
    found.settle(twice_allowed, seconds=0)
    return found


def printing(lines: list[str], said: list[str]) -> Running:
    """A process that has printed lines, and has said others on standard error."""
    out, err = ("".join(f"{line}\n" for line in some) for some in (lines, said))
    one = Running("sh", "-c", 'printf %s "$1"; printf %s "$2" >&2', "sh", out, err)
    assert one.ended() == 0, one
    return one


def test_a_history_without_a_fault_passes():
    account_of(RIGHT)


def clear(*lists: list[str]) -> None:
    """Remove all lines."""
    for lines in lists:
        lines.clear()


def swap(lines: list[str], one: int, other: int) -> None:
    """Exchange two lines."""
    lines[one], lines[other] = lines[other], lines[one]


# The sentence that must be among those found, the corruption, and what it changes.
NOTHING, SILENT = "nothing is stored", "not as many printed as acknowledged"
LOST, TWICE = "acknowledged, but not stored there", "acknowledged twice"
GAP = "a hole, a step back or doubled in the topic"
UNPRINTED, UNEXPECTED = "stored, but not printed", "printed, but not stored"
REPEATED, DISORDER = "printed twice", "printed out of order"
CORRUPTED: dict[tuple[str, str], Callable[[History], object]] = {
    (NOTHING, "nothing happened"): lambda h: clear(*h.values()),
    (NOTHING, "the topic is empty"): lambda h: h["topic"].clear(),
    (SILENT, "a producer printed nothing"): lambda h: clear(h["A"], h["A said"]),
    (SILENT, "a line is missing"): lambda h: h["B"].pop(),
    (SILENT, "a line cannot be read"): lambda h: h["A"].append("A: 8"),
    (SILENT, "no totals"): lambda h: h["A said"].clear(),
    (SILENT, "more sent"): lambda h: h.update({"A said": ["A: 5 sent, 4 acknowledged."]}),
    (SILENT, "more acknowledged"): lambda h: h.update({"A said": ["A: 5 sent, 5 acknowledged."]}),
    (LOST, "the last number"): lambda h: h["topic"].pop(),
    (LOST, "two numbers change places"): lambda h: swap(h["topic"], 0, 1),
    (LOST, "another number there"): lambda h: h["topic"].__setitem__(4, "A: 8"),
    (LOST, "another key there"): lambda h: h["topic"].__setitem__(4, "B: 4"),
    (TWICE, "the last number"): lambda h: h["A"].append(h["A"][-1]),
    (GAP, "a number left out"): lambda h: h["topic"].remove("A: 4"),
    (GAP, "the first number left out"): lambda h: h["topic"].remove("A: 0"),
    (GAP, "a step back"): lambda h: swap(h["topic"], 4, 6),
    (GAP, "the last number again"): lambda h: h["topic"].append("A: 6"),
    (GAP, "another start"): lambda h: h["topic"].extend(["B: 1", "B: 3"]),
    (GAP, "a key that nobody sends"): lambda h: h["topic"].append("?: 8"),
    (UNPRINTED, "the last number"): lambda h: h["D"].pop(),
    (UNPRINTED, "all that one printed"): lambda h: h["C"].clear(),
    (UNPRINTED, "with another key"): lambda h: h["C"].__setitem__(0, "B: 0"),
    (UNPRINTED, "a number stored twice"): lambda h: h["topic"].append("A: 6"),
    (UNEXPECTED, "one more"): lambda h: h["D"].append("A: 8"),
    (UNEXPECTED, "with another key"): lambda h: h["C"].__setitem__(0, "B: 0"),
    (REPEATED, "by the same"): lambda h: h["C"].append("A: 4"),
    (REPEATED, "by the next"): lambda h: h["D"].insert(0, "A: 4"),
    (DISORDER, "two change places"): lambda h: swap(h["C"], 0, 2),
    (DISORDER, "the last comes first"): lambda h: swap(h["D"], 0, 2),
}


@pytest.mark.parametrize(("sentence", "what"), CORRUPTED, ids=": ".join)
def test_it_finds_each_fault(sentence, what):
    history = deepcopy(RIGHT)
    CORRUPTED[sentence, what](history)
    with pytest.raises(AssertionError) as found:
        account_of(history)
    assert re.search(f"^{sentence}: ", str(found.value), re.M), found.value


def test_as_many_numbers_as_are_allowed_may_be_printed_twice():
    history = deepcopy(RIGHT)
    history["D"][:0] = ["B: 3", "A: 4"]
    assert account_of(history, twice_allowed=2).repeated() == [1, 1]
    with pytest.raises(AssertionError, match=r"^printed twice: "):
        account_of(history, twice_allowed=1)


# A shell's command, and when it has done what must not be taken for quiet.
UNQUIET: dict[str, tuple[str, Callable[[Running], object]]] = {
    "spins": ("while :; do :; done", lambda one: cpu(one) > 0.3),
    "talks": ("printf '%50s' | tr ' ' '\\n' >&2; read more", lambda one: len(one.err) == 50),
    "ends": ("exit", lambda one: not one.alive),
}


@pytest.mark.parametrize("what", UNQUIET)
def test_it_is_noticed_that_a_process(add, what):
    command, done = UNQUIET[what]
    one = add(Running("sh", "-c", f"read go; {command}", stdin=subprocess.PIPE))
    with pytest.raises(AssertionError), not_spinning(one):
        one.write(b"go\n")
        eventually(lambda: done(one), 10, one)
        happened = True
    assert happened
