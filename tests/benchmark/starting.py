"""What is started as a whole: the tiles, and servers beside them."""

import re
import time
from collections.abc import Mapping
from functools import cache
from uuid import uuid4

import psutil

from broker import jars, java
from broker.__main__ import properties
from tests.benchmark.measuring import QUICK, at_end, contender, directory
from tests.benchmark.outcome import Run, Runs
from tests.support.process import Running, eventually
from tests.support.servers import Broker
from tests.support.tmux import Sandbox

REST = (200, 5)[QUICK]  # seconds

# Java's options in the scripts that come with Kafka 3.9.
STOCK = "-server -XX:+UseG1GC -XX:MaxGCPauseMillis=20 -XX:InitiatingHeapOccupancyPercent=35"
STOCK += " -XX:+ExplicitGCInvokesConcurrent -Xms1G -Xmx1G"

MAIN_CLASSES = {
    "zookeeper": "org.apache.zookeeper.server.quorum.QuorumPeerMain",
    "kafka": "kafka.Kafka",
}


class Stock(Broker):
    """The same jars and properties as the project's, with the options of Kafka's own scripts."""

    def server(self, name: str, *arguments: str, number: int = 0) -> Running:
        """One of the servers, without what the project does before."""
        server = name.removesuffix("-server-start")
        file = "server.properties" if server == "kafka" else f"{server}.properties"
        kafka = {"listeners": f"PLAINTEXT://127.0.0.1:{self.port}"}
        kafka |= {"zookeeper.connect": f"127.0.0.1:{self.zookeeper_port}"}
        zookeeper = {"clientPort": self.zookeeper_port}
        own: Mapping[str, object] = kafka if server == "kafka" else zookeeper
        self.data.mkdir(exist_ok=True)
        (self.data / file).write_text(properties(file, own))
        program = java.command(jars.PINS, STOCK.split(), MAIN_CLASSES[server], file, *arguments)
        return self.launch(*program, cwd=self.data)


@cache
def sandbox() -> Sandbox:
    """A sandbox for the tiles, in which they start again and again."""
    own = Sandbox()
    at_end.callback(own.close)
    return own


@cache
def servers(kind: type[Broker]) -> Broker:
    """Servers without tiles, which start again and again."""
    own = kind(directory())
    at_end.callback(own.kill)
    return own


def tiles() -> Run:
    """Seconds from ./launch_tmux.sh to the first number in tile C."""
    begin = time.monotonic()
    sandbox().launch()
    shown_by_c()
    seconds = time.monotonic() - begin
    sandbox().launch("stop")
    return {"seconds": seconds}


def shown_by_c() -> None:
    """Return when the first number stands in tile C."""
    tile = sandbox().tiles()["Consumer C"].pane
    number = re.compile(r"^[AB]: \d+", re.M)
    shown = ("capture-pane", "-p", "-t", tile)
    eventually(lambda: number.search(sandbox().tmux(*shown)), 60, "a number in tile C")


def one_after_the_other() -> Run:
    """Seconds until the tutorials' consumer prints, each server started when the last answers."""
    stock = servers(Stock)
    begin = time.monotonic()
    stock.start_zookeeper()
    assert stock.zookeeper, "ZooKeeper was not started"
    stock.zookeeper.said("binding to port")
    stock.start()
    unbuffered, group = {"PYTHONUNBUFFERED": "1"}, uuid4().hex
    arguments = (stock.servers, "numbers")
    with (
        contender("tutorial_producer", *arguments, 1, env=unbuffered),
        contender("tutorial_consumer", *arguments, group, env=unbuffered) as consumer,
    ):
        consumer.said(r"^A: \d+", 60)
        seconds = time.monotonic() - begin
    stock.stop()
    return {"seconds": seconds}


def servers_alone() -> Run:
    """Seconds until our servers are ready."""
    begin = time.monotonic()
    servers(Broker).start()
    seconds = time.monotonic() - begin
    servers(Broker).stop()
    return {"seconds": seconds}


def tiles_at_rest() -> Runs:
    """Percent of a core and MB that the processes of each tile take, over some time."""
    sandbox().launch()
    shown_by_c()
    time.sleep(5)
    tiles = {title: psutil.Process(tile.pid) for title, tile in sandbox().tiles().items()}
    families = {title: [one, *one.children(recursive=True)] for title, one in tiles.items()}
    before = {title: busy(family) for title, family in families.items()}
    time.sleep(REST)
    runs: dict[str, list[Run]] = {}
    for title, family in families.items():
        share = 100 * (busy(family) - before[title]) / REST
        runs[title] = [
            {"core": share, "memory": sum(one.memory_info().rss for one in family) / 1e6}
        ]
    sandbox().launch("stop")
    return runs


def busy(family: list[psutil.Process]) -> float:
    """Seconds of processor time that processes have taken."""
    return sum(sum(one.cpu_times()[:2]) for one in family)
