"""Contenders that read: a backlog, alone or together."""

import signal
import statistics
import subprocess
import time
from contextlib import ExitStack
from functools import cache
from uuid import uuid4

from confluent_kafka import Consumer, TopicPartition

from tests.benchmark.measuring import (
    BARE,
    CONFLUENT,
    CONSOLE,
    KCAT,
    OURS,
    QUICK,
    TUTORIAL,
    broker,
    contender,
    fill,
    memory,
    new_topic,
    output,
    watch,
)
from tests.benchmark.outcome import Run
from tests.support.account import cpu
from tests.support.process import Running, eventually, script

SCALE = (1_000_000, 100_000)[QUICK]  # numbers in eight partitions

# With Kafka's own partitioner each of these keys has one of eight partitions for itself.
KEYS = "ABCDEGHJ"

# Lines that a program which does not flush may still hold back: 8 KB.
UNFLUSHED = 1_200


@cache
def backlog_of(count: int) -> str:
    """A topic with so many numbers, those of A and B in turn."""
    topic = new_topic()
    fill(broker().servers, topic, count)
    return topic


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


def backlog(name: str, count: int, kind: str = "file") -> Run:
    """How a contender printed a backlog; this project has to commit all of it besides."""
    topic, group = backlog_of(count), uuid4().hex
    with output(kind) as (sink, lines), reader(name, topic, group, sink) as one:
        read = watch(one, lines, count if name == OURS else count - UNFLUSHED)
        if name == OURS:
            assert one.stop() == 0, one
            assert lines() == count == committed(group, topic), "not all was committed"
        return read._asdict()


def bare_poll(count: int) -> Run:
    """How many numbers a second a loop of kafka-python reads that only polls and counts."""
    with contender("bare_poll", broker().servers, backlog_of(count), count) as one:
        assert one.ended(300) == 0, one
        return {"rate": float(one.out[-1])}


def committed(group: str, topic: str) -> int:
    """The offset that a group has committed in partition 0."""
    client = Consumer({"bootstrap.servers": broker().servers, "group.id": group})
    (partition,) = client.committed([TopicPartition(topic, 0)], timeout=20)
    client.close()
    return partition.offset


def together(count: int) -> Run:
    """How consumers that begin at the same time share eight partitions, and what Kafka takes."""
    topic, group = new_topic(len(KEYS)), uuid4().hex
    with ExitStack() as stack:
        sinks = [stack.enter_context(output()) for _ in range(count)]
        consumers = [stack.enter_context(reader(OURS, topic, group, sink)) for sink, _ in sinks]
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
        *busy, kafka = (
            100 * (cpu(one) - u) / seconds for one, u in zip(watched, used, strict=True)
        )
        return {
            "rate": SCALE / seconds,
            "memory": sum(map(memory, consumers)),
            "consumer": statistics.mean(busy),
            "kafka": kafka,
        }


def shares(group: str) -> list[int]:
    """How many partitions each member of a group has."""
    members = broker().admin.describe_consumer_groups([group])[group].result(20).members
    return [len(one.assignment.topic_partitions) for one in members]
