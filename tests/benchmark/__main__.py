"""This project measured beside others: `python -m tests.benchmark [--quick] [ROW]...`.

Contenders run in turn, several rounds, on one broker; figures are medians. Without arguments all
rows run, in less than 25 minutes, and docs/benchmark.md and docs/benchmark.svg are written anew.
`--quick` tries every row with few numbers: its figures mean nothing.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import cache
from itertools import chain
from pathlib import Path
from uuid import uuid4

import psutil
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import NewTopic

from broker.__main__ import SERVER_OPTIONS
from tests.benchmark.measuring import (
    QUICK,
    Bare,
    Mark,
    Read,
    Result,
    at_end,
    at_least,
    at_most,
    at_most_of_pairs,
    busy,
    directory,
    draw,
    ending,
    in_turn,
    medians,
    output,
    percentile,
    report,
    watch,
)
from tests.support.account import cpu
from tests.support.client import administrator, records
from tests.support.process import PROJECT, Running, eventually, script
from tests.support.proxy import Proxy
from tests.support.servers import Broker
from tests.support.tmux import Machine

# How much of everything: in full, and quickly.
BACKLOG = (500_000, 20_000)[QUICK]  # numbers that wait to be printed
SCALE = (1_000_000, 100_000)[QUICK]  # more of them, in eight partitions
GROWTH = ((10_000, 100_000, 1_000_000, 10_000_000), (2_000, 20_000))[QUICK]
SPEED = (200_000, 20_000)[QUICK]  # numbers that are sent as fast as it goes ...
FLUSHED = (5_000, 2_000)[QUICK]  # ... and by the loop that flushes after each
PACED = (600, 30)[QUICK]
CLOSE = (500, 50)[QUICK]  # numbers every 10 ms, ...
PAIRS = (9, 1)[QUICK]  # ... by this project and bare kafka-python, so many times in turn
STARTS = (5, 1)[QUICK]
REAL = (40, 3)[QUICK]  # numbers every second
REST = (200, 5)[QUICK]  # seconds
LOAD = (300_000, 20_000)[QUICK]  # numbers that a broker takes and gives

# Java's options in the scripts that come with Kafka 3.9.
STOCK = "-server -XX:+UseG1GC -XX:MaxGCPauseMillis=20 -XX:InitiatingHeapOccupancyPercent=35"
STOCK += " -XX:+ExplicitGCInvokesConcurrent -Xms1G -Xmx1G"

OURS, TUTORIAL, BARE = "this project", "the tutorials' loop", "kafka-python, bare"
CONFLUENT, KCAT, CONSOLE = "confluent-kafka", "kcat", "kafka-console-consumer"

# With Kafka's own partitioner each of these keys has one of eight partitions for itself.
KEYS = "ABCDEGHJ"

# What an installation says when it begins each of its steps.
FIRST_STEPS = {
    "create .venv": "^Creating",
    "fetch the Python packages and Java": "^Installing Python packages",
    "install them": "^Processing",
    "fetch Kafka's jars": "^Successfully installed",
    "prepare Java, open the tiles": r"^Kafka's jars: (\d+) of \1$",
}

# Lines that a program which does not flush may still hold back: 8 KB.
UNFLUSHED = 1_200


@cache
def broker() -> Broker:
    """The broker of all rows; what comes through the proxy `late` is answered 100 ms late."""
    own = Broker(directory(), proxies=1)
    at_end.callback(own.kill)
    ((target, port),) = own.proxied
    own.late = Proxy(target, port)
    own.late.mode = "late"
    at_end.callback(own.late.close)
    return own.start()


def new_topic(partitions: int = 1) -> str:
    """The name of a new topic."""
    topic = f"benchmark-{uuid4().hex[:8]}"
    client = administrator(broker().servers)
    client.create_topics([NewTopic(topic, partitions, 1)])[topic].result(20)
    return topic


@cache
def backlog_of(count: int) -> str:
    """A topic with so many numbers, those of A and B in turn."""
    topic = new_topic()
    fill(broker().servers, topic, count)
    return topic


def fill(servers: str, topic: str, count: int, keys: str = "AB") -> None:
    """Write numbers, for each key in turn, in batches as large as Java's producer makes them."""
    settings = {"bootstrap.servers": servers, "partitioner": "murmur2", "batch.size": 16384}
    producer = Producer(settings | {"queue.buffering.max.messages": 10_000_000})
    origins = [key.encode() for key in keys]
    for number in range(count):
        producer.produce(topic, b"%d" % number, origins[number % len(origins)])
        if number % 1000 == 0:
            producer.poll(0)
    assert producer.flush(120) == 0


def contender(name: str, *arguments: object, **options) -> Running:
    """A program of contenders.py."""
    return Running(sys.executable, "-m", "tests.benchmark.contenders", name, *arguments, **options)


def reader(name: str, topic: str, group: str, stdout: int = subprocess.PIPE) -> Running:
    """A contender that prints a topic from its beginning."""
    servers = broker().servers
    if name == OURS:
        return script("consumer_c.py", servers, topic, stdout=stdout, KAFKA_GROUP_ID=group)
    if name == KCAT:
        form = ("-f", "%k: %s\n", "-o", "beginning")
        return Running(KCAT, "-C", "-e", "-q", "-b", servers, "-t", topic, *form, stdout=stdout)
    if name == CONSOLE:
        form = ("--property", "print.key=true", "--property", "key.separator=: ")
        options = ("--topic", topic, "--from-beginning", *form)
        return broker().command(CONSOLE, *options, stdout=stdout)
    program = {TUTORIAL: "tutorial", BARE: "bare", CONFLUENT: "confluent"}[name]
    return contender(f"{program}_consumer", servers, topic, group, stdout=stdout)


def read_backlog(name: str, count: int, kind: str = "file") -> Read:
    """How a contender printed a backlog; this project has to commit all of it besides."""
    topic, group = backlog_of(count), uuid4().hex
    if name == BARE:
        with ending(contender("bare_poll", broker().servers, topic, count)) as one:
            assert one.ended(300) == 0, one
            return Read(0, float(one.out[-1]), 0)
    with output(kind) as (sink, lines), ending(reader(name, topic, group, sink)) as one:
        read = watch(one, lines, count if name == OURS else count - UNFLUSHED)
        if name == OURS:
            assert one.stop() == 0, one
            assert lines() == count == committed(group, topic), "not all was committed"
        return read


def committed(group: str, topic: str) -> int:
    """The offset that a group has committed in partition 0."""
    client = Consumer({"bootstrap.servers": broker().servers, "group.id": group})
    (partition,) = client.committed([TopicPartition(topic, 0)], timeout=20)
    client.close()
    return partition.offset


def backlog() -> Result:
    """Numbers that wait, printed to a file, a pipe and a terminal."""
    everybody = [OURS, TUTORIAL, CONFLUENT, CONSOLE, *([KCAT] if shutil.which(KCAT) else [])]
    some = [OURS, TUTORIAL]
    todo = {(BARE, "file"): lambda: read_backlog(BARE, BACKLOG)}
    for kind, names in (("file", everybody), ("pipe", some), ("terminal", some)):
        for name in names:
            todo[name, kind] = lambda name=name, kind=kind: read_backlog(name, BACKLOG, kind)
    measured = medians(in_turn(todo))
    rate = {which: read.rate for which, read in measured.items()}
    bare = rate[BARE, "file"]
    table = [("", "numbers/s", "× bare poll()", "whole time, s", "memory, MB")]
    for (name, kind), read in measured.items():
        what = "kafka-python, bare poll()" if name == BARE else f"{name}, to a {kind}"
        rest = ("", "") if name == BARE else (f"{read.seconds:.1f}", f"{read.memory:.0f}")
        table.append((what, f"{read.rate:,.0f}", f"{read.rate / bare:.2f}", *rest))
    marks = [
        at_least(0.85, rate[OURS, kind] / bare, f"× bare poll(), to a {kind}")
        for kind in ("file", "pipe", "terminal")
    ]
    for mark, kind in ((1.3, "file"), (2, "terminal")):
        ratio = rate[OURS, kind] / rate[TUTORIAL, kind]
        marks.append(at_least(mark, ratio, f"× the tutorials' loop, to a {kind}"))
    marks.append(Mark("all of it committed", "yes", True))  # or read_backlog() had raised
    return Result(f"Backlog of {BACKLOG:,} numbers", table, marks)


def growth() -> Result:
    """What a larger backlog takes in time and memory."""
    measured = {(OURS, count): read_backlog(OURS, count) for count in GROWTH}
    measured |= {(TUTORIAL, count): read_backlog(TUTORIAL, count) for count in GROWTH[:3]}
    table = [("", "numbers", "whole time, s", "memory, MB")]
    for (name, count), read in measured.items():
        table.append((name, f"{count:,}", f"{read.seconds:.1f}", f"{read.memory:.1f}"))
    grown = measured[OURS, GROWTH[-1]].memory - measured[OURS, GROWTH[0]].memory
    marks = [at_most(20, grown, f"MB more for {GROWTH[-1]:,} numbers than for {GROWTH[0]:,}")]
    return Result("Memory over the backlog", table, marks, picture=measured)


def speed() -> Result:
    """As many numbers as can be sent, each acknowledged and, by ours and the loop, printed."""
    servers = broker().servers

    def told(name: str) -> float:
        with ending(contender(name, servers, new_topic(), SPEED)) as one:
            assert one.ended(300) == 0, one
            return float(one.out[-1])

    def flushing() -> float:
        with (
            output() as (sink, lines),
            ending(contender("tutorial_producer", servers, new_topic(), 0, stdout=sink)) as one,
        ):
            return watch(one, lines, FLUSHED).rate

    todo = {OURS: ours_at_full_speed, BARE: lambda: told("bare_sender"), TUTORIAL: flushing}
    rate = medians(in_turn(todo | {CONFLUENT: lambda: told("confluent_sender")}))
    outstanding, memory = held_up()
    table = [("", "numbers/s", "× bare send()")]
    table += [(name, f"{r:,.0f}", f"{r / rate[BARE]:.2f}") for name, r in rate.items()]
    marks = [
        at_least(0.7, rate[OURS] / rate[BARE], "× bare send()"),
        at_least(20, rate[OURS] / rate[TUTORIAL], "× the tutorials' loop"),
        at_most(10_000, outstanding, "outstanding numbers while Kafka is held up for 3 s"),
        Mark("every line printed", "yes", True),  # or ours_at_full_speed() had raised
    ]
    return Result("Full speed", table, marks, f"Memory of the producer held up: {memory:.0f} MB.")


@contextmanager
def full_speed() -> Iterator[tuple[Running, Callable[[], int]]]:
    """This project's produce(sleep_time=0) on a topic of its own, and how many lines it printed."""
    code = "from producer_utils import produce; produce(sleep_time=0)"
    with output() as (sink, lines):
        one = script("-c", broker().servers, new_topic(), arguments=(code,), stdout=sink)
        with ending(one):
            yield one, lines


def totals(one: Running) -> list[int]:
    """How many numbers a producer sent, and how many were acknowledged, as it says at its end."""
    return [int(number) for number in one.said(r"(\d+) sent, (\d+) acknowledged").groups()]


def ours_at_full_speed() -> float:
    """Numbers a second by produce(sleep_time=0), each of them printed."""
    with full_speed() as (one, lines):
        rate = watch(one, lines, SPEED).rate
        assert one.stop() == 0, one
        assert totals(one) == [lines(), lines()], one
        return rate


def held_up() -> tuple[int, float]:
    """How many numbers are outstanding after Kafka was paused for 3 s, and the memory in MB."""
    with full_speed() as (one, lines), ExitStack() as stack:
        watch(one, lines, 1_000)
        broker().kafka.send(signal.SIGSTOP)
        stack.callback(broker().kafka.send, signal.SIGCONT)
        time.sleep(3)
        memory = psutil.Process(one.process.pid).memory_info().rss / 1e6
        one.stop()
        sent, acknowledged = totals(one)
        return sent - acknowledged, memory


def latency(name: str, step: float, count: int) -> list[float]:
    """Milliseconds from send() to the line readable on the consumer's pipe, for each number."""
    servers, topic, group = broker().servers, new_topic(), uuid4().hex
    came: list[float] = []
    with ExitStack() as stack:
        moments = stack.enter_context(tempfile.NamedTemporaryFile()).name
        source, sink = os.pipe()
        stack.callback(os.close, sink)

        def stamp() -> None:
            while data := os.read(source, 65536):
                came.extend([time.monotonic()] * data.count(b"\n"))
            os.close(source)

        threading.Thread(target=stamp, daemon=True).start()
        consumer = stack.enter_context(ending(reader(name, topic, group, sink)))
        fill(servers, topic, 1)
        eventually(lambda: came, 60, consumer)
        if name == OURS:
            code = "from tests.benchmark.contenders import project_paced"
            code += f"; project_paced({step}, {count}, {moments!r})"
            producer = script("-c", servers, topic, arguments=(code,))
        else:
            kind = {BARE: "bare_paced", CONFLUENT: "confluent_paced"}[name]
            producer = contender(kind, servers, topic, step, count, moments)
        stack.enter_context(ending(producer))
        eventually(lambda: len(came) > count, count * step + 60, consumer, producer)
        assert producer.ended() == 0, producer
        sent = map(float, Path(moments).read_text().split())
        return [1000 * (then - now) for now, then in zip(sent, came[1:], strict=True)]


def table_of(samples: dict[str, list[float]]) -> list[tuple]:
    """Percentiles of each contender's latencies."""
    table = [("", "p50, ms", "p99, ms", "max, ms", "numbers")]
    for name, sample in samples.items():
        figures = (percentile(sample, 0.5), percentile(sample, 0.99), max(sample))
        table.append((name, *(f"{figure:.1f}" for figure in figures), len(sample)))
    return table


def close() -> Result:
    """From send() to the line, at a number every 10 ms."""
    todo = {name: lambda name=name: latency(name, 0.01, CLOSE) for name in (OURS, BARE, CONFLUENT)}
    for run in todo.values():
        run()  # until Java has compiled what it needs, some numbers take ten times as long
    runs = in_turn({name: todo[name] for name in (OURS, BARE)}, PAIRS) | in_turn(
        {CONFLUENT: todo[CONFLUENT]}
    )
    marks = []
    for share in (0.5, 0.99):
        ours, bare = ([percentile(run, share) for run in runs[name]] for name in (OURS, BARE))
        ratios = [one / other for one, other in zip(ours, bare, strict=True)]
        what = f"× kafka-python, bare, at p{100 * share:.0f}"
        marks.append(at_most_of_pairs(1.1, ratios, what))
    table = table_of({name: list(chain(*sample)) for name, sample in runs.items()})
    remark = f"Ratios: the median of {PAIRS} pairs of runs, and the interval that holds the true"
    remark += " one with a probability of 96 %."
    return Result("Latency at a number every 10 ms", table, marks, remark)


def real() -> Result:
    """From send() to the line, at a number a second: too little to disturb each other."""
    names = (OURS, BARE, CONFLUENT)
    with ThreadPoolExecutor() as pool:
        runs = pool.map(lambda name: latency(name, 1, REAL), names)
        samples = dict(zip(names, runs, strict=True))
    marks = [
        at_most(
            1.1,
            percentile(samples[OURS], share) / percentile(samples[BARE], share),
            f"× kafka-python, bare, at p{100 * share:.0f}",
        )
        for share in (0.5, 0.99)
    ]
    return Result("Latency at a number a second", table_of(samples), marks)


def pace() -> Result:
    """Numbers every 0.1 s, with acknowledgements 100 ms late, by the records' own timestamps."""
    servers, step = broker().late.address, 0.1
    code = f"from producer_utils import produce; produce(sleep_time={step})"
    topics = {OURS: new_topic(), TUTORIAL: new_topic()}
    with (
        ending(script("-c", servers, topics[OURS], arguments=(code,))) as ours,
        ending(contender("tutorial_producer", servers, topics[TUTORIAL], step)),
    ):
        eventually(lambda: len(ours.out) >= PACED, 2 * PACED * step + 30, ours)
        ours.stop()
    table = [("", "numbers", "p99, ms late", "last, ms late")]
    late = {}
    for name, topic in topics.items():
        times = [m.timestamp()[1] for m in records(broker().servers, topic)][:PACED]
        late[name] = [abs(t - times[0] - 1000 * step * k) for k, t in enumerate(times)]
        figures = (percentile(late[name], 0.99), late[name][-1])
        table.append((name, len(times), *(f"{figure:.0f}" for figure in figures)))
    marks = [
        at_most(20, late[OURS][-1], "ms late, the last number"),
        at_most(10, percentile(late[OURS], 0.99), "ms late, p99"),
    ]
    return Result(f"Pace of {PACED} numbers, acknowledged 100 ms late", table, marks)


def start() -> Result:
    """From the command to the first number in tile C, all installed."""
    machine = Machine()
    at_end.callback(machine.close)
    stock, alone = Bare(directory(), STOCK.split()), Broker(directory())
    at_end.callback(stock.kill), at_end.callback(alone.kill)
    todo = {
        OURS: lambda: launched(machine),
        "stock options, one after the other": lambda: one_after_the_other(stock),
        "both servers ready, nothing beside them": lambda: ready(alone),
    }
    runs = in_turn(todo, STARTS)
    table = [("", "median, s", "each round, s")]
    for name, seconds in runs.items():
        each = " ".join(f"{one:.2f}" for one in seconds)
        table.append((name, f"{statistics.median(seconds):.2f}", each))
    ours, *others = medians(runs).values()
    marks = [
        at_most(mark, ours / other, f"× {name}")
        for mark, other, name in zip((0.75, 2), others, list(todo)[1:], strict=True)
    ]
    return Result("Start, all installed (first round on empty data)", table, marks)


def launched(machine: Machine) -> float:
    """Seconds from ./launch_tmux.sh to the first number in tile C."""
    begin = time.monotonic()
    machine.launch()
    shown_by_c(machine, 60)
    seconds = time.monotonic() - begin
    machine.launch("stop")
    return seconds


def shown_by_c(machine: Machine, seconds: float) -> None:
    """Return when the first number stands in tile C."""
    tile = machine.tiles()["Consumer C"].pane
    number = re.compile(r"^[AB]: \d+", re.M)
    shown = ("capture-pane", "-p", "-t", tile)
    eventually(lambda: number.search(machine.tmux(*shown)), seconds, "a number in tile C")


def one_after_the_other(stock: Bare) -> float:
    """Seconds until the tutorials' consumer prints, each server started when the last answers."""
    begin = time.monotonic()
    stock.start_zookeeper()
    stock.zookeeper.said("binding to port")
    stock.start()
    unbuffered, group = {"PYTHONUNBUFFERED": "1"}, uuid4().hex
    arguments = (stock.servers, "numbers")
    with (
        ending(contender("tutorial_producer", *arguments, 1, env=unbuffered)),
        ending(contender("tutorial_consumer", *arguments, group, env=unbuffered)) as consumer,
    ):
        consumer.said(r"^A: \d+", 60)
        seconds = time.monotonic() - begin
    stock.stop()
    return seconds


def ready(alone: Broker) -> float:
    """Seconds until our servers are ready."""
    begin = time.monotonic()
    alone.start()
    seconds = time.monotonic() - begin
    alone.stop()
    return seconds


def first() -> Result:
    """An empty clone's first start: how long each step took, until a number stands in tile C."""
    clone = directory() / "numbers"
    subprocess.run(["git", "clone", "-q", PROJECT, clone], check=True)
    machine = Machine()
    at_end.callback(machine.close)
    begun: dict[str, float] = {}
    with ending(Running(clone / "launch_tmux.sh", env=machine.env, cwd=clone)) as launch:
        while launch.process.poll() is None:
            for step, line in FIRST_STEPS.items():
                if step not in begun and launch.find(line):
                    begun[step] = time.monotonic() - launch.started
            time.sleep(0.05)  # each look searches all that was said
        assert launch.ended() == 0, launch
        begun["from the tiles to the first number"] = time.monotonic() - launch.started
        shown_by_c(machine, 60)
        end = time.monotonic() - launch.started
    machine.run(clone / "launch_tmux.sh", "stop")
    ends = [*list(begun.values())[1:], end]
    took = {step: until - begin for (step, begin), until in zip(begun.items(), ends, strict=True)}
    table = [("", "s"), *((step, f"{seconds:.1f}") for step, seconds in took.items())]
    table.append(("**the first number in tile C**", f"{end:.1f}"))
    fetching = sum(seconds for step, seconds in took.items() if step.startswith("fetch"))
    remark = f"{fetching:.1f} s of it fetch, from the network of this machine."
    marks = [at_most(10, end, "s to the first number in tile C")]
    return Result("First start, tmux and htop present", table, marks, remark)


def rest() -> Result:
    """What the tiles use at their own intervals."""
    machine = Machine()
    at_end.callback(machine.close)
    machine.launch()
    shown_by_c(machine, 60)
    time.sleep(5)
    tiles = {title: psutil.Process(tile.pid) for title, tile in machine.tiles().items()}
    families = {title: [one, *one.children(recursive=True)] for title, one in tiles.items()}
    before = {title: busy(family) for title, family in families.items()}
    time.sleep(REST)
    core = {
        title: 100 * (busy(family) - before[title]) / REST for title, family in families.items()
    }
    memory = {
        title: sum(one.memory_info().rss for one in family) / 1e6
        for title, family in families.items()
    }
    machine.launch("stop")
    table = [("", "% of a core", "MB resident")]
    table += [(title, f"{core[title]:.2f}", f"{memory[title]:.0f}") for title in tiles]
    trio = ("Producer A", "Producer B", "Consumer C")
    marks = [
        at_most(2, sum(core[title] for title in trio), "% of a core, the three"),
        at_most(120, sum(memory[title] for title in trio), "MB, the three"),
        at_most(350, memory["ZooKeeper"] + memory["Kafka"], "MB, ZooKeeper and Kafka"),
    ]
    return Result(f"At rest, {REST} s", table, marks)


def scale() -> Result:
    """A backlog of eight keys in eight partitions, for one, two and four consumers."""
    todo = {count: lambda count=count: read_together(count) for count in (1, 2, 4)}
    measured = {
        count: list(map(statistics.median, zip(*runs, strict=True)))
        for count, runs in in_turn(todo).items()
    }
    table = [("consumers", "numbers/s", "× one", "MB, all", "% of a core, each", "% Kafka")]
    for count, (rate, memory, consumers, kafka) in measured.items():
        times = rate / measured[1][0]
        table.append(
            (count, f"{rate:,.0f}", f"{times:.2f}", *map(round, (memory, consumers, kafka)))
        )
    remark = f"On {os.cpu_count()} cores that carry Kafka and this measurement as well."
    picture = {count: tuple(figures[:2]) for count, figures in measured.items()}
    return Result("Scale: eight keys in 8 partitions", table, [], remark, picture)


def read_together(count: int) -> tuple[float, float, float, float]:
    """Numbers a second by consumers that begin together, their MB, % of a core for one, Kafka."""
    topic, group = new_topic(len(KEYS)), uuid4().hex
    with ExitStack() as stack:
        sinks = [stack.enter_context(output()) for _ in range(count)]
        consumers = [
            stack.enter_context(ending(reader(OURS, topic, group, sink))) for sink, _ in sinks
        ]
        eventually(lambda: shares(group) == [len(KEYS) // count] * count, 60, *consumers)
        for one in consumers:
            one.send(signal.SIGSTOP)
        fill(broker().servers, topic, SCALE, KEYS)
        watched = [*consumers, broker().kafka]
        used, begin = [cpu(one) for one in watched], time.monotonic()
        for one in consumers:
            one.send(signal.SIGCONT)
        eventually(lambda: sum(lines() for _, lines in sinks) >= SCALE, 300, *consumers)
        seconds = time.monotonic() - begin
        *each, kafka = (
            100 * (cpu(one) - u) / seconds for one, u in zip(watched, used, strict=True)
        )
        memory = sum(psutil.Process(one.process.pid).memory_info().rss for one in consumers) / 1e6
        return SCALE / seconds, memory, statistics.mean(each), kafka


def shares(group: str) -> list[int]:
    """How many partitions each member of a group has."""
    client = administrator(broker().servers)
    members = client.describe_consumer_groups([group])[group].result(20).members
    return [len(one.assignment.topic_partitions) for one in members]


def options() -> Result:
    """Java's options for the two servers: start, memory, throughput."""
    chosen = SERVER_OPTIONS
    servers = {
        f"**chosen: {' '.join(chosen)}, archive**": Bare(directory(), chosen, True),
        "chosen, without archive": Bare(directory(), chosen),
        "chosen, without -Xmn24M": Bare(directory(), [chosen[0], *chosen[2:]], True),
        "chosen, both compilers": Bare(directory(), chosen[:3], True),
        "chosen, G1": Bare(directory(), [chosen[0], "-XX:+UseG1GC", chosen[3]], True),
        "stock: -Xms1G -Xmx1G, G1, without archive": Bare(directory(), STOCK.split()),
    }
    for one in servers.values():
        at_end.callback(one.kill)
        if one.archive:
            one.start().stop()  # it leaves the archive behind
    runs = in_turn({name: lambda one=one: carried(one) for name, one in servers.items()})
    table = [("", "ready, s", "MB, ready", "MB, after load", "written/s", "read/s")]
    for name, figures in runs.items():
        ready, before, after, written, read = map(statistics.median, zip(*figures, strict=True))
        table.append(
            (
                name,
                f"{ready:.2f}",
                f"{before:.0f}",
                f"{after:.0f}",
                f"{written:,.0f}",
                f"{read:,.0f}",
            )
        )
    remark = f"Load: {LOAD:,} numbers, by confluent-kafka. Memory: ZooKeeper and Kafka."
    return Result("Java's options", table, [], remark)


def carried(one: Bare) -> tuple[float, ...]:
    """Seconds to start, MB then and after a load, numbers written and read a second."""
    begin = time.monotonic()
    one.start()
    ready, before, topic = time.monotonic() - begin, one.memory(), uuid4().hex
    begin = time.monotonic()
    fill(one.servers, topic, LOAD)
    written = LOAD / (time.monotonic() - begin)
    consumer = Consumer({"bootstrap.servers": one.servers, "group.id": "load"})
    consumer.assign([TopicPartition(topic, 0, 0)])
    begin, read = time.monotonic(), 0
    while read < LOAD:
        read += len(consumer.consume(10_000, 0.1))
    read = LOAD / (time.monotonic() - begin)
    consumer.close()
    after = one.memory()
    one.stop()
    return ready, before, after, written, read


ROWS = {
    row.__name__: row
    for row in (
        start,
        first,
        options,
        rest,
        pace,
        real,
        close,
        backlog,
        growth,
        speed,
        scale,
    )
}

# These mostly wait, so they run at the same time.
QUIET = {"rest", "pace", "real"}


def main(*chosen: str) -> None:
    """Run the rows, print their outcomes, and write them to docs/ if all have run in full."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    names = [name for name in ROWS if name in chosen or not chosen]
    if unknown := set(chosen) - set(names):
        sys.exit(f"No such row: {', '.join(unknown)}. There are {', '.join(ROWS)}.")
    whole = not chosen and not QUICK
    if whole:
        subprocess.run([PROJECT / "broker" / "install", "docs/requirements.txt"], check=True)
    if "NUMBERS_TESTS" not in os.environ:
        os.environ["NUMBERS_TESTS"] = uuid4().hex
        program = PROJECT / "tests" / "support" / "reaper.py"
        command = [sys.executable, program, os.environ["NUMBERS_TESTS"]]
        reaper = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
        at_end.callback(reaper.communicate)
    begin = time.monotonic()
    with at_end, ThreadPoolExecutor() as pool:
        results: dict[str, Result | None] = {}
        for name in names:
            if name in QUIET and name not in results:
                group = [name for name in names if name in QUIET]
                broker()  # before several threads ask for it
                results |= dict(zip(group, pool.map(attempt, group), strict=True))
            elif name not in results:
                results[name] = attempt(name)
    minutes = (time.monotonic() - begin) / 60
    text = report(results, minutes)
    print(text)
    if whole:
        (PROJECT / "docs" / "benchmark.md").write_text(text)
        if results["growth"] and results["scale"]:
            draw(results["growth"].picture, results["scale"].picture)
    sys.exit(not all(results.values()))


def attempt(name: str) -> Result | None:
    """The outcome of a row; None, and the reason on standard error, where it fails."""
    begin = time.monotonic()
    try:
        return ROWS[name]()
    except Exception:
        traceback.print_exc()
        return None
    finally:
        print(f"{name}: {time.monotonic() - begin:.0f} s", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main(*(word for word in sys.argv[1:] if word != "--quick"))
