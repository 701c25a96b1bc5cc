"""The broker's data directory: who holds it, and what a violent end left in it."""

from __future__ import annotations

import json
import logging
import os
import re
import select
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from . import jars, locks

if TYPE_CHECKING:
    from kazoo.client import KazooClient

# Seconds that a previous server gets to end before it counts as running.
TIMEOUT = 30

# Seconds that Kafka gets for its own shutdown: half a second, and the writing of a class archive.
SHUTDOWN = 8


def directory() -> Path:
    """Where ZooKeeper and Kafka keep their data: BROKER_DATA or `.kafka/data`."""
    return Path(os.environ.get("BROKER_DATA") or jars.KAFKA / "data").absolute()


def enter() -> None:
    """Make the data directory and go there: the properties name places relative to it."""
    try:
        directory().mkdir(parents=True, exist_ok=True)
        os.chdir(directory())
    except OSError as error:
        sys.exit(f"BROKER_DATA: {directory()} cannot be used: {error.strerror}.")


def is_running(server: str) -> bool:
    """Whether this server runs on this data directory."""
    return locks.is_held(directory() / f"{server}.lock")


def lock(server: str) -> int:
    """Lock the data directory for this server, also once this process is Java (`os.execv`)."""

    def wait_for(holder: str) -> None:
        print(f"Waiting for the previous {server} (process {holder}) to end.", flush=True)

    try:
        return locks.acquire(directory() / f"{server}.lock", on_wait=wait_for, timeout=TIMEOUT)
    except TimeoutError as holder:
        sys.exit(f"{server} already runs on {directory()} (process {holder}): stop it first.")


def see_to_its_end(lock: int) -> None:
    """Leave a child behind that kills this process, Kafka by then, if it hangs while it ends.

    A Kafka whose ZooKeeper is gone never gets through its shutdown (3.9.2 waits for an answer in
    KafkaController.shutdown), and a terminal that closes ends both at once. The child hears of
    it because a signal from the terminal goes to the whole process group.
    """
    alive, held_by_kafka = os.pipe()
    os.set_inheritable(held_by_kafka, True)
    kafka = os.getpid()
    if os.fork():
        return
    os.close(lock)
    os.close(held_by_kafka)
    ends = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    try:
        for end in ends:
            signal.signal(end, signal.default_int_handler)
        os.read(alive, 1)  # returns when Kafka has ended
    except KeyboardInterrupt:
        for end in ends:
            signal.signal(end, signal.SIG_IGN)
        if not select.select([alive], [], [], SHUTDOWN)[0]:
            os.kill(kafka, signal.SIGKILL)
    os._exit(0)


def drop_empty_logs() -> None:
    """Delete ZooKeeper's logs that end within their header of 16 bytes: it stops at such a one."""
    for log in Path("zookeeper").glob("version-2/log.*"):
        if log.stat().st_size < 16:
            log.unlink()


def reconcile(zookeeper_port: int, broker_id: str = "") -> None:
    """Make ZooKeeper agree with Kafka's log directory, which is what counts, before Kafka starts.

    A killed Kafka leaves its registration behind until its session ends, and a new one stops at
    it ("NodeExists"). A ZooKeeper whose own log was cut short may have forgotten the cluster's id
    and topics, which the log directory still knows, unless this is one broker of several: then
    `broker_id` says which, and the others know the rest.
    """
    log = Path("kafka")
    # With the mark of a clean shutdown Kafka would trust a segment that was cut short since.
    (log / ".kafka_cleanshutdown").unlink(missing_ok=True)
    # Also where there is nothing to reconcile: a Kafka that is faster than its ZooKeeper sleeps
    # before it looks again, which made a first start more than a second longer.
    with zookeeper_client(zookeeper_port) as client:
        forget(client, broker_id or "0")
        if (log / "meta.properties").exists() and not broker_id:
            for path, value in stored(log).items():
                remember(client, path, value)


def forget(client: KazooClient, broker_id: str) -> None:
    """Delete what a killed broker still has registered: itself, and that it is the controller."""
    if client.exists(f"/brokers/ids/{broker_id}"):
        client.delete(f"/brokers/ids/{broker_id}")
    controller = client.exists("/controller") and json.loads(client.get("/controller")[0])
    if controller and str(controller["brokerid"]) == broker_id:
        client.delete("/controller")


@contextmanager
def zookeeper_client(port: int) -> Iterator[KazooClient]:
    """A client of the local ZooKeeper, once that answers; a person may start it much later."""
    from kazoo.client import KazooClient

    # The short timeout is for a ZooKeeper that accepts a connection while it starts and forgets it.
    again = {"max_tries": -1, "delay": 0.02, "max_delay": 0.2, "max_jitter": 0}
    quiet = logging.getLogger("kazoo")
    quiet.addHandler(logging.NullHandler())
    client = KazooClient(f"127.0.0.1:{port}", timeout=1, connection_retry=again, logger=quiet)
    connected = client.start_async()
    try:
        if not connected.wait(1):
            print(f"Waiting for ZooKeeper on port {port}.", flush=True)
            connected.wait()
        yield client
    finally:
        client.stop()
        client.close()


def stored(log: Path) -> dict[str, dict]:
    """What the log directory knows of the cluster's id and topics, by ZooKeeper path."""
    text = (log / "meta.properties").read_text()
    known = {}
    if cluster := re.search(r"^cluster\.id=(\S+)", text, re.M):
        known["/cluster/id"] = {"version": "1", "id": cluster[1]}
    for partition in sorted(log.glob("*/partition.metadata")):
        name = re.fullmatch(r"(.+)-(\d+)", partition.parent.name)
        topic_id = re.search(r"^topic_id: (\S+)", partition.read_text(), re.M)
        if name and topic_id:
            path = f"/brokers/topics/{name[1]}"
            topic = {"version": 3, "topic_id": topic_id[1], "partitions": {}}
            topic |= {"adding_replicas": {}, "removing_replicas": {}}
            known.setdefault(path, topic)["partitions"][name[2]] = [0]
    return known


def remember(client: KazooClient, path: str, value: dict) -> None:
    """Write a value to ZooKeeper unless it is there, the ids and partitions at least."""
    if client.exists(path):
        there = json.loads(client.get(path)[0] or b"{}")
        same = all(there.get(name) == value[name] for name in value.keys() & {"id", "topic_id"})
        if same and value.get("partitions", {}).keys() <= there.get("partitions", {}).keys():
            return
        client.set(path, json.dumps(value).encode())
    else:
        client.create(path, json.dumps(value).encode(), makepath=True)
