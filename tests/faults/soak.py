"""The long run: random faults on three brokers and their clients, and every number counted."""

import random
import re
import signal
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple

from tests.support.account import Account, stored
from tests.support.cluster import Cluster
from tests.support.process import Running, eventually, producer, script
from tests.support.servers import READY
from tests.support.trio import BACK, flowing

TOPIC = "soak"
PARTITIONS = 4  # with fewer, both keys would share one and a consumer would be idle

# The most records that a poll() returns: what a consumer may print a second time.
BATCH = 5_000

# Seconds without a heartbeat after which a consumer's session may have expired.
SILENCE = 8

# Seconds without another fault for a process that has recovered.
REST = 8

# What a consumer says when another one may print its last batch again.
UNCOMMITTED = "was reassigned before its last commit|could not be committed"


class Soak:
    """A cluster, two producers, two consumers of one group, their faults, and what is wrong."""

    def __init__(self, cluster: Cluster, seconds: float, seed: int) -> None:
        self.cluster, self.seconds, self.seed = cluster, seconds, seed
        self.faults = plan(seconds, seed)
        self.ways = cluster.servers, cluster.proxied
        self.producers: list[Running] = []
        self.consumers: list[Running] = []  # the two that run now
        self.former: list[Running] = []  # those that were killed or stopped
        self.starting: list[threading.Thread] = []
        self.counts: dict[str, int] = {}
        self.notes: Counter[str] = Counter()
        self.wrong: list[str] = []

    def start(self) -> None:
        """Start all, the second of each pair behind the proxies, and wait for numbers."""
        self.cluster.start()
        self.cluster.create(TOPIC, PARTITIONS)
        self.producers = [
            producer(servers, TOPIC, 0.005, even)
            for servers, even in zip(self.ways, (True, False), strict=True)
        ]
        self.consumers = [self.consumer(number) for number in range(2)]
        eventually(lambda: all(one.out for one in self.producers), 30, "numbers")

    def consumer(self, number: int) -> Running:
        """A new consumer."""
        return script("consumer_c.py", self.ways[number], TOPIC)

    def all_consumers(self) -> list[Running]:
        """Those that run, and all before them."""
        return [*self.former, *self.consumers]

    def send(self, what: str, number: int, how: int) -> None:
        """Send a signal to a process, which must not have ended by itself."""
        servers = {"broker": self.cluster.kafkas, "zookeeper": [self.cluster.zookeeper]}
        clients = {"consumer": self.consumers, "producer": self.producers}
        one = (servers | clients)[what][number]
        assert one, f"{what} {number} was not started"
        if one.alive:
            one.kill() if how == signal.SIGKILL else one.send(how)
        elif not gave_up(one):
            self.wrong.append(f"{what} {number} ended by itself: {one}")

    def replace_consumer(self, number: int) -> None:
        """Start a consumer in place of one that was killed or stopped."""
        one = self.consumers[number]
        try:
            if one.ended(5) not in (0, -signal.SIGKILL) and not one.find(UNCOMMITTED):
                self.wrong.append(f"consumer {number} ended with an error: {one}")
        except AssertionError as late:
            self.wrong.append(f"consumer {number}: {late}")
            one.kill()
        self.former.append(one)
        self.consumers[number] = self.consumer(number)

    def restart_broker(self, number: int) -> None:
        """Start a broker that was killed or stopped; one that has not ended by now is killed."""
        if self.cluster.runs(number):
            self.notes["stopped brokers killed in the end"] += 1
            self.cluster.node(number).kill()
        self.in_background(self.bring_back, number)

    def bring_back(self, number: int) -> None:
        """Start a broker, again if it gives up because ZooKeeper fails meanwhile."""
        for _ in range(3):
            self.cluster.start_kafka(number)
            kafka = self.cluster.node(number)
            with suppress(AssertionError):
                eventually(partial(is_decided, kafka), 60)
            if not gave_up(kafka):
                return
            self.notes["brokers started again without ZooKeeper"] += 1

    def move_leader(self, partition: int) -> None:
        """Make another broker lead a partition, if the controller can be reached."""
        try:
            number = (self.cluster.leader(TOPIC, partition) + 1) % len(self.cluster.kafkas)
            self.cluster.move_leader(TOPIC, partition, number)
        except Exception as error:
            self.notes[f"leaders not moved: {type(error).__name__}"] += 1

    def in_background(self, run: Callable[[int], None], number: int) -> None:
        """Do what takes long while other faults go on."""
        self.starting.append(threading.Thread(target=run, args=(number,)))
        self.starting[-1].start()

    def settle(self) -> None:
        """Start what is down, see numbers flow once more, and stop the producers."""
        for thread in self.starting:
            thread.join(60)
        for number in range(len(self.cluster.kafkas)):
            kafka = self.cluster.node(number)
            if not kafka.alive and not gave_up(kafka):
                self.wrong.append(f"broker {number} ended by itself: {kafka}")
        self.cluster.start()
        self.cluster.settled(TOPIC)
        flowing(self.producers, self.consumers, 2 * BACK)
        for one in self.producers:
            if one.stop(seconds=10):
                self.wrong.append(f"a producer ended with an error: {one.err[-20:]}")

    def stop_consumers(self) -> None:
        """Stop the consumers, which must be running."""
        for number, one in enumerate(self.consumers):
            if not one.alive or one.stop():
                self.wrong.append(f"consumer {number} ended with an error: {one}")

    def kill(self) -> None:
        """Leave nothing running but the cluster."""
        for one in [*self.producers, *self.all_consumers()]:
            one.kill()
        for kafka in filter(None, self.cluster.kafkas):
            kafka.send(signal.SIGCONT)


def is_decided(kafka: Running) -> bool:
    """Whether a broker that was started is ready or has ended."""
    return bool(kafka.find(READY)) or not kafka.alive


def gave_up(kafka: Running) -> bool:
    """Whether a broker ended because its ZooKeeper session expired while it started."""
    return not kafka.alive and bool(kafka.find("fatal exception during startup"))


Step = Callable[[Soak, int], None]


def send(what: str, how: int) -> Step:
    """Sends a signal to one of a kind of processes."""
    return lambda run, number: run.send(what, number, how)


def turn(mode: str) -> Step:
    """Changes the mode of the proxy before one of the brokers."""
    return lambda run, number: run.cluster.proxies[number].turn(mode)


class Kind(NamedTuple):
    """Seconds for which a fault lasts at least and at most, its targets, how to do and undo it."""

    shortest: float
    longest: float
    targets: int
    do: Step
    undo: Step


KILL, STOP, PAUSE, RESUME = signal.SIGKILL, signal.SIGTERM, signal.SIGSTOP, signal.SIGCONT
KINDS = {
    "broker killed": Kind(1, 8, 3, send("broker", KILL), Soak.restart_broker),
    "broker stopped": Kind(1, 5, 3, send("broker", STOP), Soak.restart_broker),
    "broker paused": Kind(3, 15, 3, send("broker", PAUSE), send("broker", RESUME)),
    "zookeeper killed": Kind(
        1, 8, 1, send("zookeeper", KILL), lambda run, _: run.cluster.start_zookeeper()
    ),
    "leader moved": Kind(
        0, 0, PARTITIONS, lambda run, n: run.in_background(run.move_leader, n), lambda run, _: None
    ),
    "consumer killed": Kind(1, 5, 2, send("consumer", KILL), Soak.replace_consumer),
    "consumer stopped": Kind(0, 3, 2, send("consumer", STOP), Soak.replace_consumer),
    "consumer paused": Kind(15, 15, 2, send("consumer", PAUSE), send("consumer", RESUME)),
    "producer paused": Kind(2, 10, 2, send("producer", PAUSE), send("producer", RESUME)),
    "network cut": Kind(2, 15, 3, turn("cut"), turn("pass")),
    "network hold": Kind(2, 15, 3, turn("hold"), turn("pass")),
    "network reset": Kind(2, 8, 3, turn("reset"), turn("pass")),
    "network delay": Kind(3, 10, 3, turn("delay"), turn("pass")),
    "network close": Kind(1, 8, 3, turn("close"), turn("pass")),
}


class Fault(NamedTuple):
    """A fault of one target, from second `at` until `until`."""

    at: float
    until: float
    kind: str
    number: int

    @property
    def target(self) -> tuple[str, int]:
        """What no other fault may hit meanwhile."""
        return self.kind.split()[0], self.number

    @property
    def repeats(self) -> bool:
        """Whether it may make a consumer print its last batch again."""
        cut_off = self.kind.startswith("network") and self.until - self.at > SILENCE
        return cut_off or self.kind in ("consumer killed", "consumer paused")


def plan(seconds: float, seed: int) -> list[Fault]:
    """The faults of a run: one every five to ten seconds, never two on one target at a time."""
    rng, faults, at = random.Random(seed), [], 5.0
    free: dict[tuple[str, int], float] = defaultdict(float)
    while at < seconds - 5:
        name, kind = rng.choice(list(KINDS.items()))
        number = rng.randrange(kind.targets)
        fault = Fault(at, at + rng.uniform(kind.shortest, kind.longest), name, number)
        if free[fault.target] <= at:
            free[fault.target] = fault.until + REST
            faults.append(fault)
            at += rng.uniform(5, 10)
    return faults


def go_through(run: Soak) -> None:
    """Begin and end each fault at its time."""
    start = time.monotonic()
    steps = [(fault.at, KINDS[fault.kind].do, fault.number) for fault in run.faults]
    steps += [(max(f.until, f.at + 0.01), KINDS[f.kind].undo, f.number) for f in run.faults]
    for at, step, number in sorted(steps, key=lambda step: step[0]):
        time.sleep(max(start + at - time.monotonic(), 0))
        step(run, number)
    time.sleep(max(start + run.seconds - time.monotonic(), 0))


def soak(cluster: Cluster, seconds: float, seed: int | None, logs: Path) -> Soak:
    """Run random faults, drawn by the seed, for so long, and account for every number."""
    seed = random.SystemRandom().randrange(1_000_000) if seed is None else seed
    run = Soak(cluster, seconds, seed)
    try:
        run.start()
        go_through(run)
        run.settle()
        found = Account(run.producers, run.all_consumers(), stored(cluster.servers, TOPIC))
        found.wait(15)
        run.stop_consumers()
        settle(run, found)
    finally:
        run.kill()
        keep(run, logs)
    return run


def table(run: Soak) -> str:
    """What was done, counted and found wrong."""
    lines = [f"seed {run.seed}, {run.seconds:.0f} s, {len(run.faults)} faults"]
    kinds = Counter(f"fault: {fault.kind}" for fault in run.faults)
    counts = [*run.counts.items(), *run.notes.items(), *sorted(kinds.items())]
    lines += [f"  {what:36} {n}" for what, n in counts]
    return "\n".join([*lines, *(f"  WRONG: {what}" for what in run.wrong)])


def settle(run: Soak, found: Account) -> None:
    """Count, and add what is wrong; each fault that hits a consumer may repeat a batch."""
    repeated = found.repeated()
    said = [line for one in run.all_consumers() for line in one.err if re.search(UNCOMMITTED, line)]
    allowed = sum(fault.repeats for fault in run.faults) + len(said)
    run.counts = {
        "acknowledged": len(found.acknowledged()),
        "in the topic": len(found.stored),
        "printed": found.printed().total(),
        "printed, each once": len(found.printed()),
        "batches printed twice": len(repeated),
        "batches printed twice, allowed": allowed,
        "printed twice at once, at most": max(repeated, default=0),
    }
    run.wrong += found.wrong()
    if len(repeated) > 2 * allowed:  # a batch may hold numbers of both keys
        run.wrong.append(f"{len(repeated)} batches printed twice, by {allowed} faults")
    if max(repeated, default=0) > BATCH:
        run.wrong.append(f"{max(repeated)} numbers printed twice at once")


def keep(run: Soak, logs: Path) -> None:
    """Keep the output of each process, to find the cause of an error."""
    faults = "".join(f"{fault}\n" for fault in run.faults)
    (logs / "faults.txt").write_text(faults + table(run))
    names = {"server": run.cluster.started, "producer": run.producers}
    for name, processes in (names | {"consumer": run.all_consumers()}).items():
        for one in processes:
            log = logs / f"{name}-{one.process.pid}.log"
            log.write_text("\n".join([*one.err, *one.out]), errors="replace")
