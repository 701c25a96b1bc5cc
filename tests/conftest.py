"""One broker for all tests, a topic for each, and nothing left behind."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from tests.support.process import Broker, Running, script

# The files that take longest go first: the last of all would keep one worker busy alone.
LONGEST = " test_broker test_launcher test_on_a_cluster test_settings test_cluster test_readme "


def pytest_addoption(parser) -> None:
    """`--full`: faults that last as long as they do in real life; `--seed`: the same by chance."""
    parser.addoption("--seed", type=int, help="repeats a run of faults drawn at random")
    parser.addoption("--full", action="store_true", help="faults at full length: takes far longer")


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config) -> None:
    """Run the long run in this process, which shows its tables."""
    if "soak" in config.option.markexpr:
        config.option.numprocesses = 0


def pytest_configure(config) -> None:
    """Mark everything that will be started, and have somebody stand by who ends it."""
    if "NUMBERS_TESTS" not in os.environ:
        os.environ["NUMBERS_TESTS"] = uuid4().hex
        command = [sys.executable, Path(__file__).parent / "support" / "reaper.py"]
        config.reaper = subprocess.Popen(
            [*command, os.environ["NUMBERS_TESTS"]], stdin=subprocess.PIPE, start_new_session=True
        )


def pytest_unconfigure(config) -> None:
    """Leave nothing running."""
    if hasattr(config, "reaper"):
        del os.environ["NUMBERS_TESTS"]
        config.reaper.communicate(timeout=30)


def pytest_collection_modifyitems(config, items) -> None:
    """Leave out what nobody asked for; put the files in a good order."""
    if "soak" not in config.option.markexpr:
        long = [item for item in items if item.get_closest_marker("soak")]
        items[:] = [item for item in items if item not in long]
        config.hook.pytest_deselected(items=long)
    for item in items:
        if item.get_closest_marker("full") and not config.option.full:
            item.add_marker(pytest.mark.skip(reason="only with --full"))
    items.sort(key=lambda item: LONGEST.find(f" {item.path.stem} ") % len(LONGEST))


@pytest.fixture(scope="session")
def full(request) -> bool:
    """Whether faults are to have their full length."""
    return request.config.getoption("--full")


@pytest.fixture(scope="session")
def broker(tmp_path_factory) -> Iterator[Broker]:
    """The broker that all tests share; KAFKA_BOOTSTRAP_SERVERS names one that runs already."""
    broker = Broker(tmp_path_factory.mktemp("broker"))
    if servers := os.environ.get("KAFKA_BOOTSTRAP_SERVERS"):
        broker.servers = servers
        yield broker
        return
    try:
        yield broker.start()
        broker.stop()
    finally:
        broker.kill()


@pytest.fixture(scope="session")
def ours_to_stop() -> None:
    """Leave out what stops its broker where the tests were given one that runs."""
    if os.environ.get("KAFKA_BOOTSTRAP_SERVERS"):
        pytest.skip("KAFKA_BOOTSTRAP_SERVERS names a broker that is not ours to stop")


@pytest.fixture
def own_broker(tmp_path, ours_to_stop) -> Iterator[Broker]:
    """A broker that the test may do to as it likes; not started yet."""
    broker = Broker(tmp_path / "broker data")
    try:
        yield broker
    finally:
        broker.kill()


@pytest.fixture
def topic(request) -> str:
    """A topic of the test's own, named after it."""
    return re.sub(r"\W+", "-", request.node.name)[:80] + "-" + uuid4().hex[:6]


@pytest.fixture
def run(broker, topic) -> Iterator:
    """Runs scripts of the project on the test's topic, and ends them with the test."""
    started: list[Running] = []

    def run(name: str, **settings: str) -> Running:
        settings = {"servers": broker.servers, "topic": topic} | settings
        started.append(script(name, **settings))
        return started[-1]

    yield run
    for one in started:
        one.kill()


@pytest.fixture(autouse=True, scope="session")
def terminated_like_interrupted() -> None:
    """Let SIGTERM and SIGHUP end the tests as Ctrl-C does: with everything cleaned up."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
