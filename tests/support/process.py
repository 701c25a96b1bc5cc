"""Real processes for the tests: the scripts of the project and brokers of their own."""

from __future__ import annotations

import os
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

PROJECT = Path(__file__).resolve().parent.parent.parent

# What a deadline is multiplied by: the machine may have other work, and half the speed of ours.
ROOM = 2

# Ports that were given out: what they are for may not listen yet.
GIVEN: set[int] = set()


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that nobody listens on, all different.

    From below those that the system gives to outgoing connections, which may take one meanwhile;
    never the same twice, and none that another worker of pytest may have been given.
    """
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 3
    ports: list[int] = []
    for port in random.sample(range(20_000 + worker, 32_000, 3), 4_000):
        if len(ports) == count:
            break
        if port not in GIVEN:
            with suppress(OSError), socket.create_server(("127.0.0.1", port)):
                ports.append(port)
    GIVEN.update(ports)
    return ports


def eventually(true: Callable[[], object], seconds: float, *what: object) -> object:
    """The first true value of a condition; fails the test when it stays false for ROOM times that.

    The deadlines of all tests pass through here or through `ended`.
    """
    deadline = time.monotonic() + ROOM * seconds
    while not (value := true()):
        late = time.monotonic() > deadline
        assert not late, f"not within {ROOM} × {seconds} s: {' '.join(map(str, what))}"
        time.sleep(0.02)
    return value


def hold(seconds: float) -> None:
    """Return after the length of a fault: never a way to wait for something to be done."""
    ends = time.monotonic() + seconds
    eventually(lambda: time.monotonic() > ends, seconds + 5)


class Running:
    """A process in a process group of its own, its output at hand line by line."""

    def __init__(self, *command: object, env: dict[str, str] | None = None, **options) -> None:
        self.started = time.monotonic()
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE}
        options = pipes | {"stderr": subprocess.PIPE} | options
        self.process = subprocess.Popen(
            [str(word) for word in command],
            cwd=options.pop("cwd", PROJECT),
            env=environment(env),
            start_new_session=True,
            **options,
        )
        self.out: list[str] = []
        self.err: list[str] = []
        self.readers: list[threading.Thread] = []
        if self.process.stdout:
            self.read_from(self.process.stdout, self.out)
        if self.process.stderr:
            self.read_from(self.process.stderr, self.err)

    def read_from(self, pipe, lines: list[str]) -> None:
        """Collect the lines of a pipe or terminal as they come."""

        def collect() -> None:
            with suppress(OSError):  # how a terminal ends
                for line in pipe:
                    lines.append(line.decode("utf-8", "surrogateescape").rstrip("\r\n"))

        self.readers.append(threading.Thread(target=collect, daemon=True))
        self.readers[-1].start()

    def said(self, pattern: str, seconds: float = 20) -> re.Match:
        """The first line of the output, standard or error, that holds the pattern."""
        return eventually(lambda: self.find(pattern), seconds, repr(pattern), "in", self)

    def find(self, pattern: str) -> re.Match | None:
        found = (re.search(pattern, line) for line in [*self.out, *self.err])
        return next((match for match in found if match), None)

    def send(self, number: int) -> None:
        """Send a signal to the process, and to no other."""
        self.process.send_signal(number)

    def ended(self, seconds: float = 10) -> int:
        """The exit status, and with it the whole output."""
        try:
            status = self.process.wait(ROOM * seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"not ended within {ROOM} × {seconds} s: {self}") from None
        for reader in self.readers:
            reader.join(5)
        return status

    def stop(self, number: int = signal.SIGINT, seconds: float = 10) -> int:
        """Send a signal; the exit status."""
        self.send(number)
        return self.ended(seconds)

    def kill(self) -> None:
        """Leave nothing of the process and its children."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(10)

    def __repr__(self) -> str:
        output = "\n".join([*self.out[-15:], *self.err[-40:]])
        return f"{self.process.args}, status {self.process.poll()}, which printed\n{output}"


def environment(changes: dict[str, str] | None = None) -> dict[str, str]:
    """This environment without settings of Kafka and tmux, and with the changes."""
    kept = {
        k: v for k, v in os.environ.items() if not re.match("KAFKA_|BROKER_|ZOOKEEPER_|TMUX", k)
    }
    return kept | (changes or {})


class Broker:
    """A ZooKeeper and a Kafka of the test's own, started as a person starts them."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.port, self.zookeeper_port = free_ports(2)
        self.servers = f"localhost:{self.port}"
        self.env = {"BROKER_PORT": str(self.port), "ZOOKEEPER_PORT": str(self.zookeeper_port)}
        self.env["BROKER_DATA"] = str(data)
        self.zookeeper: Running | None = None
        self.kafka: Running | None = None
        self.started: list[Running] = []

    def start(self, *overrides: str) -> Broker:
        """Start what does not run, both at once, and wait until Kafka answers."""
        if not self.zookeeper or self.zookeeper.process.poll() is not None:
            self.zookeeper = self.command("zookeeper-server-start")
        if not self.kafka or self.kafka.process.poll() is not None:
            self.kafka = self.command("kafka-server-start", *overrides)
        self.wait()
        return self

    def wait(self) -> None:
        """Return when Kafka answers; fail with the tail of its log if it ends instead."""

        def ready() -> bool:
            assert self.kafka.process.poll() is None, f"Kafka ended: {self.kafka}"
            assert self.zookeeper.process.poll() is None, f"ZooKeeper ended: {self.zookeeper}"
            return self.kafka.find(r"KafkaServer id=\d+\] started")

        eventually(ready, 60, "Kafka ready:", self.kafka)

    def command(self, name: str, *arguments: str, **options) -> Running:
        """One of the broker's own commands against this broker."""
        self.started.append(Running(PROJECT / "broker" / name, *arguments, env=self.env, **options))
        return self.started[-1]

    def stop(self) -> None:
        """End Kafka, then ZooKeeper, as `launch_tmux.sh stop` does."""
        for server in (self.kafka, self.zookeeper):
            if server and server.process.poll() is None:
                server.stop(signal.SIGTERM, 20)

    def kill(self) -> None:
        """Leave nothing running."""
        for one in self.started:
            one.kill()


def script(
    name: str, servers: str, topic: str, *, arguments=(), stdout=subprocess.PIPE, **settings: str
) -> Running:
    """A script of the project as a person runs it, on a topic of the test's own."""
    env = {"KAFKA_BOOTSTRAP_SERVERS": servers, "KAFKA_TOPIC": topic} | settings
    return Running(sys.executable, name, *arguments, env=env, stdout=stdout)


def records(servers: str, topic: str, count: int, seconds: float = 30) -> list:
    """The first records of a topic's partition 0, as an independent client reads them."""
    settings = {"bootstrap.servers": servers, "group.id": "tests", "enable.auto.commit": False}
    settings["log_level"] = 0  # its complaints about a broker that is away
    consumer = Consumer(settings | {"allow.auto.create.topics": False})
    consumer.assign([TopicPartition(topic, 0, 0)])
    found: list = []
    try:

        def enough() -> bool:
            found.extend(m for m in consumer.consume(1000, 0.1) if not m.error())
            return len(found) >= count

        eventually(enough, seconds, count, "records in", topic, "where there are", found)
    finally:
        consumer.close()
    return found


def administrator(servers: str) -> AdminClient:
    """An independent administrator, once Kafka has a controller to carry out what it asks for."""
    client = AdminClient({"bootstrap.servers": servers, "log_level": 0})
    eventually(lambda: client.list_topics(timeout=5).controller_id >= 0, 20, "no controller")
    return client


def made(client: AdminClient, topic: str, partitions: int) -> bool:
    """Whether a topic could be made; it cannot while its namesake is still being deleted."""
    try:
        client.create_topics([NewTopic(topic, partitions, 1)])[topic].result(20)
    except KafkaException as error:
        assert error.args[0].code() == KafkaError.TOPIC_ALREADY_EXISTS, error
        return False
    return True
