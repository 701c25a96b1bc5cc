"""Kafka's console commands: the Java program of each, and which Kafka they are for by default."""

import os
import re
import sys
from collections.abc import Iterable
from pathlib import Path

from . import ports

COMMANDS = {
    "kafka-topics": "org.apache.kafka.tools.TopicCommand",
    "kafka-console-consumer": "org.apache.kafka.tools.consumer.ConsoleConsumer",
    "kafka-console-producer": "kafka.tools.ConsoleProducer",
    "kafka-consumer-groups": "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
    "kafka-metadata-quorum": "org.apache.kafka.tools.MetadataQuorumCommand",
}


def command(name: str, arguments: tuple[str, ...]) -> tuple[str, ...]:
    """Main class and arguments of a console command, with an address where none is given."""
    if not is_given(arguments, "bootstrap-server", "broker-list", "bootstrap-controller"):
        arguments = ("--bootstrap-server", default_servers(arguments), *arguments)
    if name == "kafka-consumer-groups" and not is_given(arguments, "timeout"):
        arguments = ("--timeout", "30000", *arguments)  # its five seconds are few on a busy machine
    return COMMANDS[name], *arguments


def is_given(arguments: Iterable[str], *options: str) -> bool:
    """Whether one of the options is given: Kafka takes them abbreviated, and with one hyphen."""
    names = [word.partition("=")[0].lstrip("-") for word in arguments if word.startswith("-")]
    return any(name and option.startswith(name) for name in names for option in options)


def default_servers(arguments: Iterable[str]) -> str:
    """What a property or a file among the arguments names, else KAFKA_BOOTSTRAP_SERVERS or ours.

    Kafka itself reads no address from there.
    """
    for word in arguments:
        value = word.partition("=")[2] if word.startswith("-") else word
        if os.path.exists(value) and Path(value).is_fifo():
            sys.exit(f"{value} is a pipe, readable once: add --bootstrap-server, or give a file.")
        text = Path(value).read_text(errors="replace") if os.path.isfile(value) else value
        found = re.findall(r"(?m)^\s*bootstrap\.servers\s*[=:\s](?:\\?\s)*(\S(?:\\\n|.)*)", text)
        if found:
            return re.sub(r"\\\n\s*", "", found[-1]).strip()  # lines that are continued
    return os.environ.get("KAFKA_BOOTSTRAP_SERVERS") or ports.address("kafka")
