"""One broker for all tests and all workers, a topic for each test, and nothing left behind."""

import json
import os
import re
import shutil
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp
from uuid import uuid4
from zlib import crc32

import pytest

from tests.support import reaper
from tests.support.client import administrator
from tests.support.kraft import Kraft, shows_secret
from tests.support.process import PROJECT, Running, script, worker_number
from tests.support.proxy import Proxy
from tests.support.secured import SecuredBroker
from tests.support.servers import Broker, KraftBroker
from tests.support.session import Session

# Servers of their own that several tests share: these tests run one after the other in one
# worker, so that the servers exist only once.
SHARED = ("kraft", "shared_cluster", "started", "outages_broker", "secured", "stream", "strict")

# What takes longest goes first: started last it would keep one worker busy alone. All others follow
# in an order of chance, so that those that mostly wait run beside those that mostly compute.
LONGEST_FIRST = ("test_what_a_reader_copies", *SHARED, "test_it_comes_up_again")


def pytest_addoption(parser) -> None:
    """`--full` gives faults their real length; `--seed` repeats a run of random faults."""
    parser.addoption("--seed", type=int, help="repeats a run of faults drawn at random")
    parser.addoption("--full", action="store_true", help="faults at full length: takes far longer")


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config) -> None:
    """Run the long run in this process, so that it can print its tables."""
    if "soak" in config.option.markexpr:
        config.option.numprocesses = 0


def pytest_configure(config) -> None:
    """Mark every process to be started, and let the reaper kill what is left of them."""
    config.reaper = reaper.start()


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session) -> None:
    """Start the shared broker, without waiting for it, and tell the workers its ports."""
    config = session.config
    if not config.reaper or config.option.collectonly:
        return
    try:
        socket.gethostbyname("localhost")
    except OSError:  # in a bare chroot
        pytest.exit("Nothing here knows localhost: /etc/hosts should say 127.0.0.1 localhost.", 1)
    if os.environ.get("KAFKA_BOOTSTRAP_SERVERS") or "soak" in config.option.markexpr:
        return
    if not any((PROJECT / ".kafka").glob("kafka-*.jsa")):  # all later servers start faster with it
        with TemporaryDirectory() as data, Broker(Path(data)) as first:
            first.start().stop()
    workers = config.option.numprocesses or 1
    config.broker = Broker(Path(mkdtemp(prefix="numbers-")), proxies=workers)
    config.broker.start_zookeeper()
    config.broker.start_kafka()
    os.environ["NUMBERS_BROKER"] = json.dumps([str(config.broker.data), config.broker.ports])


def pytest_terminal_summary(terminalreporter, config) -> None:
    """Show the shared broker's output if it ended before the tests."""
    broker = getattr(config, "broker", None)
    if broker and not (broker.runs(0) and broker.zookeeper.alive):
        terminalreporter.write_line(f"The shared broker ended: {broker.kafkas} {broker.zookeeper}")


def pytest_unconfigure(config) -> None:
    """Leave nothing running."""
    if broker := getattr(config, "broker", None):
        del os.environ["NUMBERS_BROKER"]
        broker.stop()
        broker.kill()
        shutil.rmtree(broker.data, ignore_errors=True)
    if config.reaper:
        del os.environ["NUMBERS_TESTS"]
        config.reaper.communicate(timeout=30)


def pytest_itemcollected(item) -> None:
    """Keep tests together that share servers, before xdist looks for groups."""
    for name in SHARED:
        if name in item.fixturenames:
            item.add_marker(pytest.mark.xdist_group(name))


def pytest_collection_modifyitems(config, items) -> None:
    """Leave out what nobody asked for, and put the rest in order."""
    if "soak" not in config.option.markexpr:
        long = [item for item in items if item.get_closest_marker("soak")]
        items[:] = [item for item in items if item not in long]
        config.hook.pytest_deselected(items=long)
    for item in items:
        if item.get_closest_marker("full") and not config.option.full:
            item.add_marker(pytest.mark.skip(reason="only with --full"))
    items.sort(key=place)


def place(item) -> tuple[int, int]:
    """Where a test comes among all."""
    names = (item.path.stem, *item.fixturenames)
    for number, name in enumerate(LONGEST_FIRST):
        if name in names or item.name.startswith(name):
            return number, 0
    return len(LONGEST_FIRST), crc32(item.nodeid.encode())


@pytest.fixture(scope="session")
def full(request) -> bool:
    """Whether faults are to have their full length."""
    return request.config.getoption("--full")


@pytest.fixture(scope="session")
def broker() -> Broker:
    """The broker that all tests share; KAFKA_BOOTSTRAP_SERVERS names one that runs already."""
    if servers := os.environ.get("KAFKA_BOOTSTRAP_SERVERS"):
        broker = Broker(Path(os.devnull))
        broker.servers = servers
        return broker
    data, ports = json.loads(os.environ["NUMBERS_BROKER"])
    broker = Broker(Path(data), ports=ports)
    administrator(broker.servers, 60)
    return broker


@pytest.fixture(scope="session")
def ours_to_stop() -> None:
    """Skip what stops its broker where the tests were given a running one."""
    if os.environ.get("KAFKA_BOOTSTRAP_SERVERS"):
        pytest.skip("KAFKA_BOOTSTRAP_SERVERS names a broker that is not ours to stop")


@pytest.fixture
def proxy(broker, ours_to_stop) -> Iterator[Proxy]:
    """A proxy before the shared broker, for this worker alone."""
    target, port = broker.proxied[worker_number() % len(broker.proxied)]
    with closing(Proxy(target, port)) as proxy:
        yield proxy


@pytest.fixture
def own_broker(tmp_path, ours_to_stop) -> Iterator[Broker]:
    """A broker of the test's own, not started yet."""
    with Broker(tmp_path / "broker data") as broker:
        yield broker


@pytest.fixture
def own_kraft(tmp_path, ours_to_stop) -> Iterator[KraftBroker]:
    """A broker of Kafka 4 of the test's own, not started yet."""
    with KraftBroker(tmp_path / "kraft data") as broker:
        yield broker


@pytest.fixture(scope="session")
def kraft(tmp_path_factory, ours_to_stop) -> Iterator[Kraft]:
    """The cluster of Kafka 4 that all tests of managed clusters share."""
    with Kraft(tmp_path_factory.mktemp("kraft")) as kraft:
        yield kraft.start()
        kraft.stop()


@pytest.fixture(scope="session")
def secured(tmp_path_factory, ours_to_stop) -> Iterator[SecuredBroker]:
    """One broker with all listeners that all tests of settings share."""
    with SecuredBroker(tmp_path_factory.mktemp("secured")) as secured:
        yield secured.start()
        secured.stop()


@pytest.fixture
def topic(request) -> str:
    """A topic of the test's own, named after it."""
    return re.sub(r"\W+", "-", request.node.name)[:80] + "-" + uuid4().hex[:6]


@pytest.fixture
def add() -> Iterator[Callable[[Running], Running]]:
    """Has a process killed with the test, which fails if the process has shown a secret."""

    def end(one: Running) -> None:
        one.kill()
        one.ended()
        shown = [line for line in one.out + one.err if shows_secret(line)]
        assert not shown, one.process.args

    with ExitStack() as stack:

        def add(one: Running) -> Running:
            stack.callback(end, one)
            return one

        yield add


@pytest.fixture
def run(broker, topic, add) -> Callable[..., Running]:
    """Runs scripts of the project on the test's topic."""

    def run(name: str, **settings) -> Running:
        return add(script(name, **{"servers": broker.servers, "topic": topic} | settings))

    return run


@pytest.fixture
def session(broker, topic, full, add) -> Session:
    """Scripts on the shared broker, on a topic and in a group of the test's own."""
    return Session(broker.servers, topic, full, add)


@pytest.fixture(autouse=True, scope="session")
def terminated_like_interrupted() -> None:
    """Let SIGTERM and SIGHUP end the tests as Ctrl-C does: with everything cleaned up."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # & ignores SIGINT
        signal.signal(number, signal.default_int_handler)
