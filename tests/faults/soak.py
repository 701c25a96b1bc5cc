"""The long run: random faults on three brokers and their clients, and every number counted."""

from __future__ import annotations

import random
import signal
import threading
import time
from collections import Counter, defaultdict
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import psutil

from tests.support.account import PRINTED, Account, cpu, stored
from tests.support.cluster import Cluster
from tests.support.process import Running, eventually, producer, script
from tests.support.trio import BACK

TOPIC = "soak"
PARTITIONS = 4  # with fewer, both keys would share one and a consumer would be idle

# The most records that a poll() returns: what a consumer may print a second time.
BATCH = 5_000

# Each kind of fault, with its shortest and longest duration in seconds. A network fault is a mode
# of the proxy before one of the brokers.
KINDS = {
    "broker killed": (1, 8),
    "broker stopped": (1, 5),
    "broker paused": (3, 15),
    "zookeeper killed": (1, 8),
    "leader moved": (0, 0),
    "consumer killed": (1, 5),
    "consumer stopped": (0, 3),
    "consumer paused": (15, 15),
    "producer paused": (2, 10),
    "network cut": (2, 15),
    "network hold": (2, 15),
    "network reset": (2, 8),
    "network delay": (3, 10),
    "network close": (1, 8),
}

# How many targets there are for each fault.
COUNTS = {"broker": 3, "zookeeper": 1, "leader": PARTITIONS, "consumer": 2, "producer": 2}
COUNTS["network"] = COUNTS["broker"]  # each has a proxy

# Seconds without a heartbeat after which a consumer's session may have expired.
SILENCE = 8

# Seconds without another fault for a process that has recovered.
REST = 8

# Seconds until numbers flow again after a fault without others, on a busy machine. The partitions
# of a dead or paused consumer are reassigned when its session expires.
RECOVERY = defaultdict(lambda: 2 * BACK, {"consumer killed": 15, "consumer paused": 15})


@dataclass
class Fault:
    """A fault of one process, from second `at` until `until`."""

    at: float
    until: float
    kind: str
    number: int
    back: float = 0.0  # when its target was available again
    note: str = ""

    @property
    def target(self) -> str:
        return f"{self.kind.split()[0]} {self.number}"


def plan(seconds: float, seed: int) -> list[Fault]:
    """The faults of a run: one every five to ten seconds, never two on one process at a time."""
    rng, faults, at = random.Random(seed), [], 5.0
    free: dict[str, float] = defaultdict(float)
    while at < seconds - 5:
        kind = rng.choice(list(KINDS))
        number = rng.randrange(COUNTS[kind.split()[0]])
        fault = Fault(at, at + rng.uniform(*KINDS[kind]), kind, number)
        if free[fault.target] <= at:
            free[fault.target] = fault.until + REST
            faults.append(fault)
            at += rng.uniform(5, 10)
    return faults


class Watcher(threading.Thread):
    """Records when each line was printed and what each process uses, twenty times a second."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.watched: list[tuple[str, Running]] = []
        self.times: dict[Running, list[float]] = defaultdict(list)
        self.memory: Counter = Counter()
        self.cpu: dict[str, float] = defaultdict(float)
        self.busiest: dict[str, float] = defaultdict(float)
        self.done = threading.Event()

    def watch(self, name: str, one: Running) -> Running:
        self.watched.append((name, one))
        return one

    def run(self) -> None:
        used: dict[Running, list[float]] = defaultdict(list)
        looks = 0
        while not self.done.wait(0.05):
            looks += 1
            for name, one in list(self.watched):
                self.stamp(one)
                if looks % 20 == 0 and one.alive:
                    self.look(name, one, used[one])

    def stamp(self, one: Running) -> None:
        """Record the time of each line printed since the last look."""
        times = self.times[one]
        times += [time.monotonic()] * (len(one.out) - len(times))

    def look(self, name: str, one: Running, used: list[float]) -> None:
        """Record memory in MB, processor time in s, and the busiest ten seconds."""
        with suppress(psutil.Error):
            memory = psutil.Process(one.process.pid).memory_info().rss / 1e6
            self.memory[name] = max(self.memory[name], memory)
            used.append(cpu(one))
            self.cpu[name] += used[-1] - (used[-2] if len(used) > 1 else 0)
            if len(used) > 10:
                self.busiest[name] = max(self.busiest[name], (used[-1] - used[-11]) / 10)


class Soak:
    """A cluster, its producers and consumers, and the faults."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.ways = cluster.servers, cluster.proxied
        self.watcher = Watcher()
        self.producers: list[Running] = []
        self.consumers: list[Running] = []  # the two that run now
        self.former: list[Running] = []  # those that were killed or stopped
        self.killed: set[Running] = set()
        self.paused: set[Running] = set()  # or cut off, for longer than a consumer's session
        self.movers: list[threading.Thread] = []
        self.wrong: list[str] = []

    def start(self) -> None:
        self.cluster.start()
        self.cluster.create(TOPIC, PARTITIONS)
        self.watcher.start()
        self.producers = [
            producer(servers, TOPIC, 0.005, even)
            for servers, even in zip(self.ways, (True, False), strict=True)
        ]
        self.consumers = [self.consumer(number) for number in range(2)]
        for name, one in zip(("producer A", "producer B"), self.producers, strict=True):
            self.watcher.watch(name, one)
        for number, kafka in enumerate(self.cluster.kafkas):
            self.watcher.watch(f"broker {number}", kafka)
        self.watcher.watch("zookeeper", self.cluster.zookeeper)

    def consumer(self, number: int) -> Running:
        """A new consumer of the one group; the second is behind the proxies, as producer B is."""
        one = script("consumer_c.py", self.ways[number], TOPIC, KAFKA_GROUP_ID=TOPIC)
        return self.watcher.watch(f"consumer {number}", one)

    def go_through(self, faults: list[Fault], seconds: float) -> None:
        """Begin and end each fault at its time; note every process that ends by itself."""
        start = time.monotonic()
        steps = [(fault.at, self.begin, fault) for fault in faults]
        steps += [(max(fault.until, fault.at + 0.01), self.end, fault) for fault in faults]
        for at, step, fault in sorted(steps, key=lambda step: step[0]):
            wait_until(start + at)
            if step == self.begin:
                fault.at, fault.until = start + fault.at, start + fault.until
            step(fault)
        wait_until(start + seconds)

    def begin(self, fault: Fault) -> None:
        what, how = fault.kind.split()
        if what == "leader":
            self.movers.append(threading.Thread(target=self.move_leader, args=(fault,)))
            self.movers[-1].start()
            return
        if what == "network":
            self.cluster.proxies[fault.number].turn(how)
            if fault.until - fault.at > SILENCE:
                self.paused.add(self.consumers[1])
            return
        one = self.hit(fault)
        if not one.alive:
            if not gave_up(one):
                self.wrong.append(f"{fault.target} ended by itself: {one}")
        elif how == "killed":
            self.killed.add(one)
            one.kill()
        else:
            if fault.kind == "consumer paused":
                self.paused.add(one)
            one.send(signal.SIGSTOP if how == "paused" else signal.SIGTERM)

    def hit(self, fault: Fault) -> Running:
        """The process that a fault hits."""
        what, number = fault.kind.split()[0], fault.number
        if what == "zookeeper":
            return self.cluster.zookeeper
        lists = {"broker": self.cluster.kafkas, "consumer": self.consumers}
        return (lists | {"producer": self.producers})[what][number]

    def end(self, fault: Fault) -> None:
        what, how = fault.kind.split()
        fault.back = time.monotonic()
        if what == "network":
            self.cluster.proxies[fault.number].turn("pass")
        elif how == "paused":
            self.hit(fault).send(signal.SIGCONT)
        elif what == "consumer":
            self.replace_consumer(fault)
        elif what == "broker":
            self.restart_broker(fault)
        elif what == "zookeeper":
            self.cluster.start_zookeeper()
            self.watcher.watch("zookeeper", self.cluster.zookeeper)

    def replace_consumer(self, fault: Fault) -> None:
        """Start a consumer in place of one that was killed or stopped."""
        former = self.consumers[fault.number]
        if fault.kind == "consumer stopped":
            try:
                status = former.ended(5)
                fault.note = f"status {status}"
                if status and not former.find("could not be committed"):
                    self.wrong.append(f"{fault.target} ended with {status}: {former}")
            except AssertionError as error:
                self.wrong.append(f"{fault.target}: {error}")
                former.kill()
        self.former.append(former)
        self.consumers[fault.number] = self.consumer(fault.number)

    def restart_broker(self, fault: Fault) -> None:
        """Start a broker that was killed or stopped; one that has not ended by now is killed."""
        kafka = self.cluster.kafkas[fault.number]
        if kafka.alive:
            fault.note = "killed in the end"
            kafka.kill()
        self.movers.append(threading.Thread(target=self.bring_back, args=(fault,)))
        self.movers[-1].start()

    def bring_back(self, fault: Fault) -> None:
        """Start a broker, again if it gives up because ZooKeeper fails meanwhile."""
        for _ in range(3):
            self.cluster.start_kafka(fault.number)
            kafka = self.cluster.kafkas[fault.number]
            self.watcher.watch(fault.target, kafka)
            with suppress(AssertionError):
                eventually(lambda k=kafka: k.find(r"id=\d+\] started") or not k.alive, 60)
            if not gave_up(kafka):
                break
            fault.note = "and started twice"
        fault.back = time.monotonic()

    def move_leader(self, fault: Fault) -> None:
        """Make another broker lead a partition, if the controller can be reached."""
        try:
            number = (self.cluster.leader(TOPIC, fault.number) + 1) % 3
            self.cluster.move_leader(TOPIC, fault.number, number)
        except Exception as error:
            fault.note = f"not moved: {type(error).__name__}"

    def settle(self) -> None:
        """Start what is down, wait until all replicas are in sync, and stop the producers."""
        for mover in self.movers:
            mover.join(60)
        for number, kafka in enumerate(self.cluster.kafkas):
            if not kafka.alive and not gave_up(kafka):
                self.wrong.append(f"broker {number} ended by itself: {kafka}")
        self.cluster.start()
        self.cluster.settled(TOPIC)
        for one in self.producers:
            if one.stop(seconds=10):
                self.wrong.append(f"a producer ended with an error: {one.err[-20:]}")

    def finish(self, found: Account) -> float:
        """Seconds until the consumers had printed all of the topic; stops them then."""
        start = time.monotonic()
        found.wait(15)
        took = time.monotonic() - start
        for number, one in enumerate(self.consumers):
            if not one.alive or one.stop():
                self.wrong.append(f"consumer {number} ended with an error: {one}")
        self.watcher.done.set()
        self.watcher.join()
        return took

    def all_consumers(self) -> list[Running]:
        return [*self.former, *self.consumers]

    def kill(self) -> None:
        """Leave nothing running but the cluster."""
        self.watcher.done.set()
        for one in [*self.producers, *self.all_consumers()]:
            one.kill()
        for kafka in filter(None, self.cluster.kafkas):
            kafka.send(signal.SIGCONT)


def gave_up(kafka: Running) -> bool:
    """Whether a broker ended because its ZooKeeper session expired while it started."""
    return not kafka.alive and bool(kafka.find("fatal exception during startup"))


def wait_until(when: float) -> None:
    """Return at a time of the monotonic clock."""
    time.sleep(max(when - time.monotonic(), 0))


@dataclass
class Report:
    """The outcome: counts, and everything that is wrong."""

    seed: int
    seconds: float
    faults: list[Fault]
    counts: dict[str, object] = field(default_factory=dict)
    twice: Counter = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    use: list[tuple[str, float, float, float]] = field(default_factory=list)

    def table(self) -> str:
        """The report as text."""
        lines = [f"seed {self.seed}, {self.seconds:.0f} s, {len(self.faults)} faults"]
        lines += [f"  {name:34} {value}" for name, value in self.counts.items()]
        lines += [f"  printed twice, {why:19} {count}" for why, count in self.twice.items()]
        kinds = Counter(f"{fault.kind} {fault.note}".strip() for fault in self.faults)
        lines += [f"  fault: {kind:27} {count}" for kind, count in sorted(kinds.items())]
        for name, memory, mean, busiest in self.use:
            share = f"{mean:4.0%} of a core, {busiest:4.0%} in ten seconds"
            lines.append(f"  {name:12} {memory:5.0f} MB, {share}")
        return "\n".join([*lines, *(f"  WRONG: {what}" for what in self.wrong)])


def soak(cluster: Cluster, seconds: float, seed: int | None, logs: Path) -> Report:
    """Run random faults, drawn by the seed, for so long, and account for every number."""
    seed = random.SystemRandom().randrange(1_000_000) if seed is None else seed
    report = Report(seed, seconds, plan(seconds, seed))
    run = Soak(cluster)
    try:
        run.start()
        eventually(lambda: all(one.out for one in run.producers), 30, "numbers")
        begun = time.monotonic()
        run.go_through(report.faults, seconds)
        run.settle()
        found = Account(run.producers, run.all_consumers(), stored(run.cluster.servers, TOPIC))
        report.counts["seconds to print the rest"] = round(run.finish(found), 1)
        report.wrong += run.wrong
        count(found, report)
        count_twice(run, report)
        count_gaps(run, report, begun)
        names = dict.fromkeys(name for name, _ in run.watcher.watched)
        watcher, span = run.watcher, time.monotonic() - begun
        report.use = [
            (name, watcher.memory[name], watcher.cpu[name] / span, watcher.busiest[name])
            for name in names
        ]
    finally:
        run.kill()
        keep(run, report, logs)
    return report


def keep(run: Soak, report: Report, logs: Path) -> None:
    """Keep the output of each process, to find the cause of an error."""
    with open(logs / "faults.txt", "w") as file:
        for fault in report.faults:
            file.write(f"{fault}\n")
        file.write(report.table())
    for name, one in run.watcher.watched:
        log = logs / f"{name.replace(' ', '-')}-{one.process.pid}.log"
        times = [*run.watcher.times[one], *[0.0] * len(one.out)]
        out = [f"{when:.2f} {line}" for when, line in zip(times, one.out, strict=False)]
        log.write_text("\n".join([*one.err, *out]), errors="replace")


def count(found: Account, report: Report) -> None:
    """Add how many were sent, acknowledged, stored and printed, and what is wrong."""
    shown = found.printed()
    report.counts |= {
        "acknowledged": len(found.acknowledged()),
        "in the topic": len(found.stored),
        "printed": shown.total(),
        "printed, each once": len(shown),
        "acknowledged, but lost": len(found.lost()),
        "holes or out of order in the topic": len(found.gaps()),
        "in the topic, but not printed": len(found.unprinted()),
        "printed, but not in the topic": len(found.unexpected()),
        "printed out of order": len(found.disorder()),
    }
    report.wrong += found.wrong()


def count_twice(run: Soak, report: Report) -> None:
    """Count the numbers printed twice by their cause, and the longest run of them."""
    first: dict[tuple[str, int], Running] = {}
    stretches: Counter = Counter()  # their lengths, by cause, key, both consumers and first number
    begins: dict[tuple, int] = {}
    lasts: dict[tuple, int] = {}
    lines = sorted(
        (when, one.process.pid, place, one)
        for one in run.all_consumers()
        for place, when in enumerate(run.watcher.times[one])
    )
    for when, pid, place, one in lines:
        if not (match := PRINTED.fullmatch(one.out[place])):
            continue
        pair = match[1], int(match[2])
        if pair in first:
            why = reason(run, first[pair], one, when)
            report.twice[why] += 1
            between = why, pair[0], first[pair].process.pid, pid
            if pair[1] != lasts.get(between, -1) + 2:
                begins[between] = pair[1]
            lasts[between] = pair[1]
            stretches[(*between, begins[between])] += 1
        first.setdefault(pair, one)
    report.counts["printed twice, longest run"] = max(stretches.values(), default=0)
    for stretch, length in stretches.items():
        if stretch[0] == "unknown" or length > BATCH:
            report.wrong.append(f"{length} printed twice (cause, key, consumers, from): {stretch}")


def reason(run: Soak, former: Running, latter: Running, when: float) -> str:
    """Why a consumer printed a number that it or another had printed before."""
    if former in run.killed and run.watcher.times[former][-1] < when:
        return "killed"
    if {former, latter} & run.paused or former.find("was reassigned before its last commit"):
        return "reassigned"
    if former.find("could not be committed"):
        return "not committed"
    return "unknown"


def count_gaps(run: Soak, report: Report, begun: float) -> None:
    """The longest gap without a new number, and how long recovery from each fault took."""
    times = {
        f"acknowledged {k}": run.watcher.times[one]
        for k, one in zip("AB", run.producers, strict=True)
    }
    for key in "AB":
        times[f"printed {key}"] = sorted(
            when
            for one in run.all_consumers()
            for when, line in zip(run.watcher.times[one], one.out, strict=False)
            if line.startswith(f"{key}: ")
        )
    for name, moments in times.items():
        gap, when = max((b - a, a) for a, b in pairwise([begun, *moments]))
        report.counts[f"longest gap, {name}"] = f"{gap:.1f} s, at {when - begun:.0f} s"
    for alone in (True, False):
        found = [recovery(fault, report.faults, times, alone) for fault in report.faults]
        longest, fault = max(((took, f.kind) for took, f in found), default=(0, ""))
        text = "longest recovery" + (", one fault alone" if alone else "")
        report.counts[text] = f"{longest:.1f} s, {fault}"
        for took, f in found:
            if alone and took > RECOVERY[f.kind]:
                report.wrong.append(f"{took:.1f} s until numbers flowed after {f.kind}, alone")


def recovery(fault: Fault, faults: list[Fault], times: dict, alone: bool) -> tuple[float, Fault]:
    """Seconds from the end of a fault until numbers flow again; 0 if other faults overlapped."""
    back = fault.at if fault.kind == "consumer killed" else fault.back
    if not back:
        return 0, fault
    after = [next((when for when in moments if when > back), back) for moments in times.values()]
    took = max(after) - back
    others = [f for f in faults if f is not fault and f.at < back + took and f.back + 2 > fault.at]
    return (0 if alone and others else took), fault
