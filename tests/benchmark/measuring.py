"""What the benchmark measures with: one broker, full topics, outputs that count lines."""

import os
import pty
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

import psutil
from confluent_kafka import Producer

from tests.support.process import Running
from tests.support.proxy import Proxy
from tests.support.servers import Broker

QUICK = "--quick" in sys.argv

OURS, TUTORIAL, BARE = "this project", "the tutorials' loop", "kafka-python, bare"
CONFLUENT, KCAT, CONSOLE = "confluent-kafka", "kcat", "kafka-console-consumer"

at_end = ExitStack()


class Read(NamedTuple):
    """How a program printed its lines: whole time in s, lines a second, the most memory in MB."""

    seconds: float
    rate: float
    memory: float


@cache
def broker() -> Broker:
    """The broker of all rows."""
    own = Broker(directory(), proxies=1)
    at_end.callback(own.kill)
    return own.start()


@cache
def late() -> str:
    """The address of a proxy before the broker whose answers come 100 ms late."""
    ((target, port),) = broker().proxied
    proxy = Proxy(target, port)
    at_end.callback(proxy.close)
    proxy.mode = "late"
    return proxy.address


def new_topic(partitions: int = 1) -> str:
    """The name of a new topic."""
    topic = f"benchmark-{uuid4().hex[:8]}"
    broker().create(topic, partitions)
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
    most, first = 0.0, None
    while (seen := lines()) < count:
        assert one.alive or lines() >= count, one
        first = first or (seen and (seen, time.monotonic()))
        with suppress(psutil.Error):
            most = max(most, memory(one))
        time.sleep(0.02)
    end = time.monotonic()
    before, begin = first or (0, one.started)
    return Read(end - one.started, (seen - before) / (end - begin), most)


def memory(one: Running) -> float:
    """What a process holds, in MB."""
    return psutil.Process(one.process.pid).memory_info().rss / 1e6
