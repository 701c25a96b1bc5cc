"""What a row of the benchmark is, and what becomes of its runs: medians, a table, the targets."""

import os
import platform
import statistics
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from typing import Any, NamedTuple

import psutil

from tests.benchmark.measuring import QUICK

ROUNDS = (3, 1)[QUICK]

# The figures of one run, by name: a number each, or a sample; and of each contender's rounds.
Run = Mapping[str, Any]
Runs = Mapping[str, Sequence[Run]]

# A figure of a contender's rounds; None where it has no such figure.
Figure = Callable[[Sequence[Run]], Any]


def median(name: str) -> Figure:
    """The median of a number over all rounds."""

    def figure(runs: Sequence[Run]) -> float | None:
        numbers = [run[name] for run in runs if name in run]
        return statistics.median(numbers) if numbers else None

    return figure


def percentile(name: str, share: float) -> Figure:
    """The number below which a share of the samples of all rounds lies."""

    def figure(runs: Sequence[Run]) -> float:
        sample = sorted(one for run in runs for one in run[name])
        return sample[min(int(share * len(sample)), len(sample) - 1)]

    return figure


def size(name: str) -> Figure:
    """How large the samples of all rounds are."""
    return lambda runs: sum(len(run[name]) for run in runs)


def each(name: str) -> Figure:
    """A number in each round."""
    return lambda runs: " ".join(f"{run[name]:.2f}" for run in runs)


class Column(NamedTuple):
    """A column of a row's table: a figure, or its ratio to that of the contender `over`."""

    head: str
    figure: Figure
    form: str = "{:.1f}"
    over: str = ""

    def cell(self, name: str, runs: Runs) -> str:
        """What stands there for a contender: nothing where it has no such figure."""
        figure = self.figure(runs[name])
        if figure is None:
            return ""
        return self.form.format(figure / self.figure(runs[self.over]) if self.over else figure)


class Target(NamedTuple):
    """What a figure of all runs is to be at least, or at most; perhaps ratios of pairs."""

    sign: str
    limit: float
    what: str
    value: Callable[[Runs], float | list[float]]

    def outcome(self, runs: Runs) -> tuple[str, str, str]:
        """The target, the figure measured, and whether it is met."""
        value = self.value(runs)
        ranked = sorted(value) if isinstance(value, list) else [value]
        # The second smallest and the second largest of nine ratios bound the true median with a
        # probability of 96 % (binomial distribution). On both sides of the limit, they decide
        # nothing.
        low, high = ranked[len(ranked) // 8], ranked[-1 - len(ranked) // 8]
        good, bad = (high, low) if self.sign == "≤" else (low, high)
        figure = f"{statistics.median(ranked):.2f}"
        if isinstance(value, list):
            figure += f" ({low:.2f}–{high:.2f})"
        met = "yes" if self.meets(good) else "undecided" if self.meets(bad) else "**no**"
        return f"{self.sign} {self.limit:g} {self.what}", figure, met

    def meets(self, figure: float) -> bool:
        """Whether a figure is on the right side of the limit."""
        return figure <= self.limit if self.sign == "≤" else figure >= self.limit


def at_least(limit: float, what: str, value: Callable) -> Target:
    """A target that is met from the limit on."""
    return Target("≥", limit, what, value)


def at_most(limit: float, what: str, value: Callable) -> Target:
    """A target that is met up to the limit."""
    return Target("≤", limit, what, value)


def total(figure: Figure, *names: str) -> Callable[[Runs], float]:
    """The sum of a figure over contenders."""
    return lambda runs: sum(figure(runs[name]) for name in names)


def ratio(figure: Figure, one: str, other: str) -> Callable[[Runs], float]:
    """How many times another contender's figure one has."""
    return lambda runs: figure(runs[one]) / figure(runs[other])


def more(figure: Figure, one: str, other: str) -> Callable[[Runs], float]:
    """By how much one contender's figure is larger than another's."""
    return lambda runs: figure(runs[one]) - figure(runs[other])


def pairs(figure: Figure, one: str, other: str) -> Callable[[Runs], list[float]]:
    """The ratio of a figure in each round."""
    return lambda runs: [
        figure([first]) / figure([second])
        for first, second in zip(runs[one], runs[other], strict=True)
    ]


Contenders = Mapping[str, Callable[[], Run]]


def in_turn(contenders: Contenders, rounds: int = ROUNDS, warm_up: bool = False) -> Callable:
    """Runs each contender once in each round, and before that once for nothing if wanted."""

    def measure() -> Runs:
        runs: dict[str, list[Run]] = defaultdict(list)
        for number in range(-warm_up, rounds):
            for name, run in contenders.items():
                figures = run()
                if number >= 0:
                    runs[name].append(figures)
        return runs

    return measure


def at_once(contenders: Contenders) -> Callable[[], Runs]:
    """Runs all contenders at the same time, once."""

    def measure() -> Runs:
        with ThreadPoolExecutor() as pool:
            started = {name: pool.submit(run) for name, run in contenders.items()}
            return {name: [run.result()] for name, run in started.items()}

    return measure


class Row(NamedTuple):
    """A title, what is measured in a sentence, how, and what is made of it."""

    title: str
    about: str
    measure: Callable[[], Runs]
    columns: Sequence[Column]
    targets: Sequence[Target] = ()

    def table(self, runs: Runs) -> str:
        """The figures of each contender."""
        lines = [("", *(column.head for column in self.columns))]
        lines += [(name, *(column.cell(name, runs) for column in self.columns)) for name in runs]
        return markdown(lines)


def report(rows: Mapping[str, Row], results: Mapping[str, Runs | None], minutes: float) -> str:
    """All outcomes as Markdown: first the targets, then the tables."""
    parts = [
        "# Benchmark",
        f"By `tests/benchmark` in {minutes:.0f} minutes, {ROUNDS} rounds, on"
        f" {os.cpu_count()} cores with {psutil.virtual_memory().total / 2**30:.0f} GB,"
        f" {platform.system()} {platform.machine()}, Python {platform.python_version()},"
        f" kafka-python {version('kafka-python')}, confluent-kafka {version('confluent-kafka')}."
        + " Small figures, made to try the benchmark: they mean nothing."
        * QUICK,
        "Contenders run one after the other on one broker, unless a row says otherwise, and"
        " figures are medians of the rounds. Below, a section for each row says what it measures.",
    ]
    marks: list[tuple[str, ...]] = [("row", "target", "measured", "met")]
    for name, runs in results.items():
        if runs:
            marks += [(name, *target.outcome(runs)) for target in rows[name].targets]
        else:
            marks.append((name, "", "failed", "**no**"))
    parts.append(markdown(marks))
    for name, runs in results.items():
        if runs:
            row = rows[name]
            parts += [f"## {row.title}", f"Row `{name}`: {row.about}", row.table(runs)]
    return "\n\n".join(parts) + "\n"


def markdown(table: Sequence[tuple[str, ...]]) -> str:
    """A table in Markdown that can be read as it stands."""
    rows = [list(row) for row in table]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    rows.insert(1, ["-" * width for width in widths])
    lines = (" | ".join(map(str.ljust, row, widths)) for row in rows)
    return "\n".join(f"| {line} |" for line in lines)
