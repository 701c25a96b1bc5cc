"""What the benchmark measures with: outputs that count lines, servers, medians, tables."""

from __future__ import annotations

import os
import platform
import pty
import statistics
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import psutil

from broker import jars, java
from broker.__main__ import properties
from tests.support.process import PROJECT, Running
from tests.support.servers import Broker

QUICK = "--quick" in sys.argv

ROUNDS = (3, 1)[QUICK]

at_end = ExitStack()


class Mark(NamedTuple):
    """A target, the figure measured, and whether it is met; None if the runs do not tell."""

    what: str
    figure: str
    met: bool | None


class Result(NamedTuple):
    """The outcome of a row: a table, its first line the heads, and the marks."""

    title: str
    table: list[tuple]
    marks: list[Mark]
    remark: str = ""
    picture: dict | None = None


class Read(NamedTuple):
    """How a program printed its lines: whole time in s, lines a second, the most memory in MB."""

    seconds: float
    rate: float
    memory: float


def at_least(mark: float, figure: float, what: str) -> Mark:
    return Mark(f"≥ {mark:g} {what}", f"{figure:.2f}", figure >= mark)


def at_most(mark: float, figure: float, what: str) -> Mark:
    return Mark(f"≤ {mark:g} {what}", f"{figure:.2f}", figure <= mark)


def at_most_of_pairs(mark: float, ratios: list[float], what: str) -> Mark:
    """The median of ratios that were measured in pairs, and the interval that holds the true one.

    The second smallest and the second largest of nine bound the true median with a probability of
    96 % (binomial distribution). Where they lie on both sides of the mark, the runs decide nothing.
    """
    ranked = sorted(ratios)
    low, high = ranked[len(ranked) // 8], ranked[-1 - len(ranked) // 8]
    met = True if high <= mark else False if low > mark else None
    return Mark(
        f"≤ {mark:g} {what}", f"{statistics.median(ranked):.2f} ({low:.2f}–{high:.2f})", met
    )


def in_turn(contenders: dict[object, Callable], rounds: int = ROUNDS) -> dict[object, list]:
    """The figures of each contender in each round."""
    figures = defaultdict(list)
    for _ in range(rounds):
        for name, run in contenders.items():
            figures[name].append(run())
    return figures


def medians(figures: dict[object, list]) -> dict:
    """The median of each contender's rounds, figure by figure where there are several."""
    return {
        name: Read(*map(statistics.median, zip(*runs, strict=True)))
        if isinstance(runs[0], Read)
        else statistics.median(runs)
        for name, runs in figures.items()
    }


def percentile(sample: list[float], share: float) -> float:
    return sorted(sample)[min(int(share * len(sample)), len(sample) - 1)]


@contextmanager
def ending(one: Running) -> Iterator[Running]:
    """A process that is gone afterwards."""
    try:
        yield one
    finally:
        one.kill()


def directory() -> Path:
    """An empty directory that is gone afterwards."""
    return Path(at_end.enter_context(tempfile.TemporaryDirectory(prefix="numbers-")))


@contextmanager
def output(kind: str = "file") -> Iterator[tuple[int, Callable[[], int]]]:
    """A file, pipe or terminal to write to, and how many lines have come there."""
    lines = position = 0
    source, sink = {"pipe": os.pipe, "terminal": pty.openpty, "file": a_file}[kind]()

    def drain() -> None:
        nonlocal lines
        with suppress(OSError):  # a terminal ends with an error
            while data := os.read(source, 65536):
                lines += data.count(b"\n")

    def seen_in_file() -> int:
        nonlocal lines, position
        while data := os.pread(source, 1 << 20, position):
            lines, position = lines + data.count(b"\n"), position + len(data)
        return lines

    reader = threading.Thread(target=drain, daemon=True)
    if kind != "file":
        reader.start()
    try:
        yield sink, seen_in_file if kind == "file" else lambda: lines
    finally:
        os.close(sink)
        if kind != "file":
            reader.join()
        os.close(source)


def a_file() -> tuple[int, int]:
    """Two descriptors of a file without a name, to read and to write."""
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno()), os.dup(file.fileno())


def watch(one: Running, lines: Callable[[], int], count: int) -> Read:
    """How a program printed so many lines; the rate is taken from its first line on."""
    memory, first = 0.0, None
    while (seen := lines()) < count:
        assert one.process.poll() is None or lines() >= count, one
        first = first or (seen and (seen, time.monotonic()))
        with suppress(psutil.Error):
            memory = max(memory, psutil.Process(one.process.pid).memory_info().rss / 1e6)
        time.sleep(0.02)
    end = time.monotonic()
    before, begin = first or (0, one.started)
    return Read(end - one.started, (seen - before) / (end - begin), memory)


def busy(family: list[psutil.Process]) -> float:
    """Seconds of processor time that processes have taken."""
    return sum(sum(one.cpu_times()[:2]) for one in family)


class Bare(Broker):
    """The same jars and properties as the project's, with Java's options as given and no more."""

    def __init__(self, data: Path, options: list[str], archive: bool = False) -> None:
        super().__init__(data)
        self.options, self.archive = options, archive

    def server(self, name: str, *arguments: str, number: int = 0) -> Running:
        server = name.removesuffix("-server-start")
        zookeeper = {"clientPort": self.zookeeper_port}
        kafka = {"listeners": f"PLAINTEXT://127.0.0.1:{self.port}"}
        kafka |= {"zookeeper.connect": f"127.0.0.1:{self.zookeeper_port}"}
        file, own, main_class = {
            "zookeeper": (
                "zookeeper.properties",
                zookeeper,
                "org.apache.zookeeper.server.quorum.QuorumPeerMain",
            ),
            "kafka": ("server.properties", kafka, "kafka.Kafka"),
        }[server]
        self.data.mkdir(exist_ok=True)
        (self.data / file).write_text(properties(file, own))
        options = list(self.options)
        if self.archive:
            options += ["-XX:+AutoCreateSharedArchive"]
            options += [f"-XX:SharedArchiveFile={self.data / server}.jsa"]
        program = java.command(jars.PINS, options, main_class, file, *arguments)
        return self.launch(*program, cwd=self.data)

    def memory(self) -> float:
        """What both servers hold, in MB."""
        both = (self.zookeeper, self.kafka)
        return sum(psutil.Process(one.process.pid).memory_info().rss for one in both) / 1e6


def report(results: dict[str, Result | None], minutes: float) -> str:
    """All outcomes as Markdown: first the targets, then the tables."""
    parts = [
        "# Measured beside the others",
        f"By `tests/benchmark` in {minutes:.0f} minutes, {ROUNDS} rounds, on"
        f" {os.cpu_count()} cores with {psutil.virtual_memory().total / 2**30:.0f} GB,"
        f" {platform.system()} {platform.machine()}, Python {platform.python_version()},"
        f" kafka-python {version('kafka-python')}, confluent-kafka {version('confluent-kafka')}."
        + " Small figures, made to try the benchmark: they mean nothing."
        * QUICK,
    ]
    marks = [("row", "target", "measured", "met")]
    for name, result in results.items():
        if result:
            marks += [
                (name, what, figure, {True: "yes", False: "**no**", None: "undecided"}[met])
                for what, figure, met in result.marks
            ]
        else:
            marks.append((name, "", "failed", "**no**"))
    parts.append(markdown(marks))
    for result in filter(None, results.values()):
        parts += [f"## {result.title}", markdown(result.table), result.remark]
    return "\n\n".join(filter(None, parts)) + "\n"


def markdown(table: list[tuple]) -> str:
    """A table in Markdown that can be read as it stands."""
    rows = [[str(cell) for cell in row] for row in table]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    rows.insert(1, ["-" * width for width in widths])
    lines = (" | ".join(map(str.ljust, row, widths)) for row in rows)
    return "\n".join(f"| {line} |" for line in lines)


def draw(growth: dict[tuple, Read], scale: dict[int, tuple[float, float]]) -> None:
    """docs/benchmark.svg: time and memory against numbers and against consumers."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    pyplot.rcParams |= {"font.size": 9, "svg.hashsalt": "numbers", "svg.fonttype": "none"}
    figure, (times, memory, throughput) = pyplot.subplots(1, 3, figsize=(10, 3.2))
    names = dict.fromkeys(name for name, _ in growth)
    for name, mark in zip(names, ("o-", "s--"), strict=True):
        counts = [count for who, count in growth if who == name]
        times.plot(counts, [growth[name, count].seconds for count in counts], mark, label=name)
        memory.plot(counts, [growth[name, count].memory for count in counts], mark, label=name)
    times.set(xscale="log", yscale="log", xlabel="numbers", title="backlog printed to a file, s")
    memory.set(xscale="log", xlabel="numbers", title="memory at most, MB", ylim=(0, 60))
    rates, sizes = zip(*scale.values(), strict=True)
    bars = throughput.bar([str(count) for count in scale], rates)
    told = [f"{rate:,.0f}\n{size:.0f} MB" for rate, size in zip(rates, sizes, strict=True)]
    throughput.bar_label(bars, told)
    throughput.set(xlabel="consumers, 8 partitions", title="numbers a second, memory", yticks=[])
    throughput.margins(y=0.25)
    times.legend(frameon=False)
    figure.tight_layout()
    figure.savefig(PROJECT / "docs" / "benchmark.svg", metadata={"Date": None})
