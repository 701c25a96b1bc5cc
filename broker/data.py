"""The broker's data directory: its lock per server, and the repairs after a crash."""

from __future__ import annotations

import json
import logging
import os
import re
import select
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from . import jars, locks

if TYPE_CHECKING:
    from kazoo.client import KazooClient

# Seconds that a previous server gets to end before it counts as running.
TIMEOUT = 30

# Seconds that Kafka gets to shut down: it takes half a second, and longer to write a class archive.
SHUTDOWN_TIMEOUT = 8

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def directory() -> Path:
    """Absolute path of the data directory: BROKER_DATA or `.kafka/data`."""
    return Path(os.environ.get("BROKER_DATA") or jars.KAFKA / "data").absolute()


def use_data_directory() -> None:
    """Create the data directory and change to it: paths in the properties are relative to it."""
    try:
        directory().mkdir(parents=True, exist_ok=True)
        os.chdir(directory())
    except OSError as error:
        sys.exit(f"BROKER_DATA: {directory()} cannot be used: {error.strerror}.")


def temporary_directory(server: str) -> Path:
    """Absolute path of an empty directory for this server's temporary files."""
    path = directory() / f"{server}.tmp"
    shutil.rmtree(path, ignore_errors=True)  # a killed server leaves its files
    path.mkdir()
    return path


def is_running(server: str) -> bool:
    """Whether this server runs on this data directory."""
    return locks.is_held(directory() / f"{server}.lock")


def lock(server: str) -> int:
    """Lock the data directory for this server, also once this process is Java (`os.execve`)."""

    def report_wait(holder: str) -> None:
        print(f"Waiting for the previous {server} (process {holder}) to end.", flush=True)

    try:
        return locks.acquire(directory() / f"{server}.lock", on_wait=report_wait, timeout=TIMEOUT)
    except TimeoutError as holder:
        sys.exit(f"{server} already runs on {directory()} (process {holder}): stop it first.")


def fork_companion(lock: int, settings: Callable[[], str]) -> str:
    """Fork a child beside this process, which will be Kafka; the path from which to read settings.

    It is a pipe, which the child fills when it has the settings. Java loads until then.

    The child also kills Kafka if its shutdown hangs. Kafka cannot shut down without ZooKeeper:
    3.9.2 waits in KafkaController.shutdown for ever. A closing terminal ends both at once. The
    child notices because it is in Kafka's process group, which gets the terminal's signals.
    """
    kafka_ended, held_by_kafka = os.pipe()
    read_by_kafka, written = os.pipe()
    for inherited in (held_by_kafka, read_by_kafka):
        os.set_inheritable(inherited, True)
    kafka = os.getpid()
    if os.fork():
        return f"/dev/fd/{read_by_kafka}"
    for fd in (lock, held_by_kafka, read_by_kafka):
        os.close(fd)
    try:
        for number in STOP_SIGNALS:
            signal.signal(number, signal.default_int_handler)
        threading.Thread(target=hand_over, args=[settings, written, kafka], daemon=True).start()
        os.read(kafka_ended, 1)  # returns at the end of the pipe
    except KeyboardInterrupt:
        for number in STOP_SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        if not select.select([kafka_ended], [], [], SHUTDOWN_TIMEOUT)[0]:
            os.kill(kafka, signal.SIGKILL)
    os._exit(0)


def hand_over(settings: Callable[[], str], written: int, kafka: int) -> None:
    """Write the settings to a pipe; end the Kafka that waits for them if they cannot be had."""
    try:
        text = settings()
    except BaseException:
        os.kill(kafka, signal.SIGTERM)
        raise
    with open(written, "w") as pipe:
        pipe.write(text)


def drop_empty_logs() -> None:
    """Delete ZooKeeper's logs that are shorter than their header of 16 bytes: it fails on them."""
    for log in Path("zookeeper").glob("version-2/log.*"):
        if log.stat().st_size < 16:
            log.unlink()


def repair_zookeeper(zookeeper_port: int, broker_id: str, stored: dict[str, dict]) -> None:
    """Make ZooKeeper agree with Kafka's log directory before Kafka connects; waits for ZooKeeper.

    A killed Kafka stays registered until its session expires, and a new one fails with NodeExists.
    A ZooKeeper whose own log was truncated may have lost what is `stored` in the log directory: the
    cluster's id and its topics.
    """
    # Connect even if there is nothing to repair: a Kafka that connects before its ZooKeeper sleeps
    # between attempts, which makes a first start more than a second longer.
    with zookeeper_client(zookeeper_port) as client:
        unregister(client, broker_id)
        for path, value in stored.items():
            restore(client, path, value)


def unregister(client: KazooClient, broker_id: str) -> None:
    """Delete what a killed broker left in ZooKeeper: its registration as broker and controller."""
    from kazoo.exceptions import NoNodeError

    with suppress(NoNodeError):  # nothing is left, or its session expires just now
        client.delete(f"/brokers/ids/{broker_id}")
    with suppress(NoNodeError):
        controller = json.loads(client.get("/controller")[0])
        if str(controller["brokerid"]) == broker_id:
            client.delete("/controller")


@contextmanager
def zookeeper_client(port: int) -> Iterator[KazooClient]:
    """A client connected to the local ZooKeeper; waits for it without limit."""
    from kazoo.client import KazooClient

    # A starting ZooKeeper may accept a connection and never answer: hence the short timeout.
    retry = {"max_tries": -1, "delay": 0.02, "max_delay": 0.2, "max_jitter": 0}
    quiet = logging.getLogger("kazoo")
    quiet.addHandler(logging.NullHandler())
    client = KazooClient(f"127.0.0.1:{port}", timeout=1, connection_retry=retry, logger=quiet)
    connected = client.start_async()
    try:
        if not connected.wait(1):
            print(f"Waiting for ZooKeeper on port {port}.", flush=True)
            connected.wait()
        yield client
    finally:
        client.stop()
        client.close()


def cluster_state() -> dict[str, dict]:
    """The cluster's id and topics according to the log directory, by their ZooKeeper paths."""
    log = Path("kafka")
    if not (log / "meta.properties").exists():
        return {}
    text = (log / "meta.properties").read_text()
    state = {}
    if cluster := re.search(r"^cluster\.id=(\S+)", text, re.M):
        state["/cluster/id"] = {"version": "1", "id": cluster[1]}
    for partition in sorted(log.glob("*/partition.metadata")):
        name = re.fullmatch(r"(.+)-(\d+)", partition.parent.name)
        topic_id = re.search(r"^topic_id: (\S+)", partition.read_text(), re.M)
        if name and topic_id:
            path = f"/brokers/topics/{name[1]}"
            topic = {"version": 3, "topic_id": topic_id[1], "partitions": {}}
            topic |= {"adding_replicas": {}, "removing_replicas": {}}
            state.setdefault(path, topic)["partitions"][name[2]] = [0]
    return state


def restore(client: KazooClient, path: str, value: dict) -> None:
    """Write a value to ZooKeeper unless it has the same id and at least these partitions."""
    if client.exists(path):
        present = json.loads(client.get(path)[0] or b"{}")
        same = all(present.get(name) == value[name] for name in value.keys() & {"id", "topic_id"})
        if same and value.get("partitions", {}).keys() <= present.get("partitions", {}).keys():
            return
        client.set(path, json.dumps(value).encode())
    else:
        client.create(path, json.dumps(value).encode(), makepath=True)
