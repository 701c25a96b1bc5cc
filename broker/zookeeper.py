"""What has to be true of ZooKeeper before Kafka 3.9 starts on it."""

import json
import logging
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from kazoo.client import KazooClient
from kazoo.exceptions import NoNodeError

from . import data, ports


def make_ready(port: int, broker_id: str) -> None:
    """Make ZooKeeper ready for Kafka; waits for it without limit.

    A killed Kafka stays registered until its session expires, and a new one fails with NodeExists.
    Exits with the reason if the one that is registered runs, or if ZooKeeper lacks what Kafka has
    stored: Kafka would end, or hide it.
    """
    # Connect even if there is nothing to do: a Kafka that connects before its ZooKeeper sleeps
    # between attempts, which makes a first start more than a second longer.
    with client(port) as zookeeper:
        if other := zookeeper.retry(find_running, zookeeper, broker_id):
            sys.exit(
                f"Kafka {broker_id} is already running on the ZooKeeper on port {port}, with port"
                f" {other}: set ZOOKEEPER_PORT to another port."
            )
        zookeeper.retry(unregister, zookeeper, broker_id)
        if unknown := zookeeper.retry(find_unknown, zookeeper):
            sys.exit(
                f"The ZooKeeper on port {port} does not know {unknown}, which Kafka has stored:"
                " it belongs to another Kafka, or has lost its data. To start anew, stop it, then"
                f" delete {data.directory()}, and with it all topics."
            )


@contextmanager
def client(port: int) -> Iterator[KazooClient]:
    """A client connected to the local ZooKeeper; waits for it without limit."""
    # A starting ZooKeeper may accept a connection and never answer: hence the short timeout.
    retry = {"max_tries": -1, "delay": 0.02, "max_delay": 0.2, "max_jitter": 0}
    quiet = logging.getLogger("kazoo")
    quiet.addHandler(logging.NullHandler())
    options = {"connection_retry": retry, "command_retry": retry | {"ignore_expire": True}}
    client = KazooClient(f"127.0.0.1:{port}", timeout=1, logger=quiet, **options)
    connected = client.start_async()
    try:
        if not connected.wait(1):
            print(f"Waiting for ZooKeeper on port {port}.", file=sys.stderr, flush=True)
            connected.wait()
        yield client
    finally:
        client.stop()
        client.close()


def find_running(client: KazooClient, broker_id: str) -> int | None:
    """The port of another Kafka that is registered with this id, if it is in use."""
    if data.meta_properties():  # a former one on our data has ended: we hold their lock
        return None
    try:
        port = json.loads(client.get(f"/brokers/ids/{broker_id}")[0])["port"]
    except NoNodeError:
        return None
    return port if port > 0 and ports.taken(port) else None


def unregister(client: KazooClient, broker_id: str) -> None:
    """Delete what a killed broker left in ZooKeeper: its registration as broker and controller."""
    with suppress(NoNodeError):  # nothing is left, or its session expires just now
        client.delete(f"/brokers/ids/{broker_id}")
    with suppress(NoNodeError):
        controller = json.loads(client.get("/controller")[0])
        if str(controller["brokerid"]) == broker_id:
            client.delete("/controller")


def find_unknown(client: KazooClient) -> str | None:
    """The first in Kafka's log directory, the cluster or a topic, that ZooKeeper does not know."""
    for name, path, identity in stored():
        try:
            known = json.loads(client.get(path)[0])
        except NoNodeError:
            return name
        if identity not in (known.get("id"), known.get("topic_id")):
            return name
    return None


def stored() -> Iterator[tuple[str, str, str]]:
    """The cluster and the topics in Kafka's log directory: name, ZooKeeper's path, id."""
    if cluster := data.meta_properties().get("cluster.id"):
        yield "the cluster", "/cluster/id", cluster
    for partition in sorted(Path("kafka").glob("*/partition.metadata")):
        topic = re.fullmatch(r"(.+)-\d+", partition.parent.name)  # another form: on its way out
        topic_id = re.search(r"^topic_id: (\S+)", partition.read_text(), re.M)
        if topic and topic_id:
            yield f'topic "{topic[1]}"', f"/brokers/topics/{topic[1]}", topic_id[1]
