"""The installation: complete or not there, checked, mended, without network once it is done."""

import os
import shutil
import signal
import sys

import pytest
from running import PROJECT, Running, eventually

REQUIREMENTS = ("requirements.txt", "broker/requirements.txt")
NO_NETWORK = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "", "https_proxy": "http://127.0.0.1:9"}


@pytest.fixture
def copy(tmp_path):
    """A copy of the project with what is installed in it, in a directory with a space."""
    copy = tmp_path / "a copy"
    copy.mkdir()
    shutil.copy(PROJECT / "requirements.txt", copy)
    shutil.copytree(PROJECT / "broker", copy / "broker", symlinks=True)
    (copy / ".venv").symlink_to(PROJECT / ".venv")
    (copy / ".kafka" / "jars").mkdir(parents=True)
    for name in pinned(copy / "broker" / "kafka-3.9.2.pins"):
        (copy / ".kafka" / "jars" / name).symlink_to(PROJECT / ".kafka" / "jars" / name)
    return copy


def pinned(pins) -> list[str]:
    """Names of the jars that a pin file lists."""
    names = (line.split()[1].split(":") for line in pins.read_text().splitlines())
    return [f"{artifact}-{version}.jar" for _, artifact, version in names]


@pytest.fixture
def install(copy):
    started = []

    def install(files=REQUIREMENTS, **env) -> Running:
        command = (sys.executable, "-m", "broker.install", *files)
        started.append(Running(*command, env=env, cwd=copy))
        return started[-1]

    yield install
    for one in started:
        one.kill()


def jars(copy) -> list[str]:
    return sorted(jar.name for jar in (copy / ".kafka" / "jars").glob("*.jar"))


def test_what_is_whole_is_left_alone_without_network_or_a_word(install):
    whole = install(**NO_NETWORK)
    assert whole.ended(10) == 0
    assert not whole.out and not whole.err


def test_a_tampered_and_a_missing_jar_are_noticed_and_mended(copy, install):
    names = jars(copy)
    tampered, missing = (copy / ".kafka" / "jars" / name for name in names[:2])
    content = tampered.read_bytes()
    for jar in (tampered, missing):
        jar.unlink()
    tampered.write_bytes(content[:-1] + b"x")
    mending = install()
    assert mending.ended(40) == 0, mending
    assert mending.err == ["Kafka's jars: 2 of 2"]
    assert tampered.read_bytes() == content and jars(copy) == names


@pytest.mark.parametrize("name", ["SIGINT", pytest.param("SIGKILL", marks=pytest.mark.full)])
def test_an_interrupted_installation_never_counts_as_one(copy, install, name):
    names = jars(copy)
    shutil.rmtree(copy / ".kafka" / "jars")
    cut_short = install()
    eventually(lambda: jars(copy), 30)
    os.killpg(cut_short.process.pid, getattr(signal, name))
    assert cut_short.ended() != 0
    assert not cut_short.find("Traceback")
    assert len(jars(copy)) < len(names)
    unfinished = install(**NO_NETWORK)
    assert unfinished.ended() == 1
    assert unfinished.find("Kafka's jars could not be fetched")
    assert install().ended(40) == 0
    assert jars(copy) == names
    assert not list((copy / ".kafka" / "jars").glob("*.part"))


def test_two_at_once_do_not_hurt_each_other(copy, install):
    names = jars(copy)
    shutil.rmtree(copy / ".kafka" / "jars")
    both = install(), install()
    assert [one.ended(50) for one in both] == [0, 0]
    assert jars(copy) == names
    fetched = [line for one in both for line in one.err if line.endswith("57 of 57")]
    assert len(fetched) == 1  # the second waited, and found all there


@pytest.mark.timeout(120)
@pytest.mark.full
def test_a_broken_environment_is_made_anew(copy, install):
    (copy / ".venv").unlink()
    assert install(["requirements.txt"]).ended(60) == 0
    (errors,) = copy.glob(".venv/lib/*/site-packages/kafka/errors.py")
    content = errors.read_bytes()
    (record,) = copy.glob(".venv/lib/*/site-packages/kafka_python-*/RECORD")
    compiled = "kafka/__pycache__/errors.pyc,,1"  # some packages list such: Python's own affair
    record.write_text(f"{record.read_text()}{compiled}\n")
    whole = install(["requirements.txt"], **NO_NETWORK)
    assert whole.ended(10) == 0 and not whole.err, whole
    errors.write_bytes(content[:100])
    mending = install(["requirements.txt"])
    assert mending.ended(60) == 0, mending
    assert errors.read_bytes() == content
    assert mending.err[0].startswith("Making .venv")


def test_without_network_a_first_installation_says_what_could_not_be_had(copy, install):
    (copy / ".venv").unlink()
    failed = install(["requirements.txt"], **NO_NETWORK)
    assert failed.ended(60) == 1
    assert failed.err[-1] == (
        "The Python packages could not be installed (status 1, reason above)."
    )
    assert not failed.find("Traceback")
