"""A copy of the project to try the installation in, and sandboxes for the launcher."""

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from broker import jars
from tests.support.process import PROJECT, Running
from tests.support.tmux import LAUNCHER, Sandbox

REQUIREMENTS = ("requirements.txt", "broker/requirements.txt")


@pytest.fixture
def copy(tmp_path) -> Path:
    """A copy of the project with what is installed in it, in a directory with a space."""
    copy = copy_of_project(tmp_path / "a copy", ".venv")
    (copy / ".kafka" / "jars").mkdir()
    for jar in map(jars.path, jars.pinned(jars.PINS)):
        (copy / ".kafka" / "jars" / jar.name).symlink_to(jar)
    return copy


def copy_of_project(directory: Path, *installed: str) -> Path:
    """A copy of the project that shares what is installed, or some of it."""
    private = shutil.ignore_patterns(".git", ".venv", ".kafka", ".*_cache", "__pycache__")
    shutil.copytree(PROJECT, directory, ignore=private)
    (directory / ".kafka").mkdir()
    for name in installed or (".venv", ".kafka/jars"):
        (directory / name).symlink_to(PROJECT / name)
    return directory


@pytest.fixture(scope="session")
def cloneable() -> None:
    """Skip where there is nothing to clone."""
    if not (PROJECT / ".git").exists():
        pytest.skip("this is no clone, so it cannot be cloned")


@pytest.fixture
def install(copy, add) -> Callable[..., Running]:
    """Starts the installation in the copy."""

    def install(files=REQUIREMENTS, where=copy, **env) -> Running:
        command = (sys.executable, "-m", "broker.packages", *files)
        return add(Running(*command, env=env, cwd=where))

    return install


@pytest.fixture
def new_sandbox() -> Iterator[Callable[..., Sandbox]]:
    """Makes sandboxes that are gone after the test, with all that runs in them."""
    with ExitStack() as stack:
        yield lambda **settings: stack.enter_context(Sandbox(**settings))


@pytest.fixture
def sandbox(new_sandbox) -> Sandbox:
    """A sandbox with default settings."""
    return new_sandbox()


@pytest.fixture
def small(new_sandbox, broker, topic) -> Sandbox:
    """A sandbox where the launcher starts only the scripts and htop, on the tests' broker."""
    return new_sandbox(KAFKA_BOOTSTRAP_SERVERS=broker.servers, KAFKA_TOPIC=topic, KAFKA_GROUP_ID="")


@pytest.fixture
def another_user() -> int:
    """Another user than the one who runs the tests, who may start what is in the project."""
    if os.geteuid():
        pytest.skip("only root can become another user")
    if not all(directory.stat().st_mode & 0o001 for directory in LAUNCHER.parents):
        pytest.skip(f"another user may not enter {PROJECT}")
    return 65534
