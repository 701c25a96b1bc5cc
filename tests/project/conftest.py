"""A copy of the project, in which the installation can be tried."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.process import PROJECT, Running

REQUIREMENTS = ("requirements.txt", "broker/requirements.txt")


@pytest.fixture
def copy(tmp_path) -> Path:
    """A copy of the project with what is installed in it, in a directory with a space."""
    copy = tmp_path / "a copy"
    copy.mkdir()
    for name in ("pyproject.toml", "requirements.txt", "requirements.lock"):
        shutil.copy(PROJECT / name, copy)
    shutil.copytree(PROJECT / "broker", copy / "broker", symlinks=True)
    (copy / ".venv").symlink_to(PROJECT / ".venv")
    (copy / ".kafka" / "jars").mkdir(parents=True)
    for name in pinned(copy / "broker" / "kafka-3.9.2.pins"):
        (copy / ".kafka" / "jars" / name).symlink_to(PROJECT / ".kafka" / "jars" / name)
    return copy


def pinned(pins: Path) -> list[str]:
    """Names of the jars that a pin file lists."""
    names = (line.split()[1].split(":") for line in pins.read_text().splitlines())
    return [f"{artifact}-{version}.jar" for _, artifact, version in names]


@pytest.fixture
def install(copy, add) -> Callable[..., Running]:
    """Starts the installation in the copy."""

    def install(files=REQUIREMENTS, where=copy, **env) -> Running:
        command = (sys.executable, "-m", "broker.packages", *files)
        return add(Running(*command, env=env, cwd=where))

    return install
