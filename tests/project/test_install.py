"""The installation: complete or not there, checked, repaired, without network once it is done."""

import os
import re
import shutil
import signal
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest

from tests.support.process import PROJECT, Running, eventually

NO_NETWORK = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "", "https_proxy": "http://127.0.0.1:9"}


def jars(copy) -> list[str]:
    return sorted(jar.name for jar in (copy / ".kafka" / "jars").glob("*.jar"))


def test_what_is_whole_is_left_alone_without_network_or_a_word(install):
    whole = install(**NO_NETWORK)
    assert whole.ended(10) == 0
    assert not whole.out and not whole.err


NO_SUCH_NAME = pytest.mark.skipif(sys.platform == "darwin", reason="macOS takes no such name")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("a:b", 'its path has a ":"'),
        pytest.param("\udcfc", "its path is not UTF-8", marks=NO_SUCH_NAME),
    ],
)
def test_a_directory_whose_path_java_cannot_read_is_refused(copy, install, name, reason):
    refused = install(where=copy.rename(copy.with_name(name))).refused()
    assert refused.endswith(f"{name} cannot be used: {reason}.".replace("\udcfc", r"\udcfc"))


def test_a_tampered_and_a_missing_jar_are_noticed_and_repaired(copy, install):
    names = jars(copy)
    tampered, missing = (copy / ".kafka" / "jars" / name for name in names[:2])
    content = tampered.read_bytes()
    for jar in (tampered, missing):
        jar.unlink()
    tampered.write_bytes(content[:-1] + b"x")
    archives = [
        copy / ".kafka" / f"{name}.jsa" for name in ("kafka-kafka-3.9.2", "kraft-kafka-4.4.0")
    ]
    for archive in archives:
        archive.touch()
    mending = install()
    assert mending.ended(40) == 0, mending
    assert mending.err == ["Kafka's jars: 2 of 2"]
    assert tampered.read_bytes() == content and jars(copy) == names
    # Java would not use it with these jars, nor create another one.
    assert [archive.exists() for archive in archives] == [False, True]


@pytest.mark.full
@pytest.mark.parametrize("name", ["SIGINT", "SIGKILL"])
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


@pytest.mark.full
def test_two_at_once_do_not_hurt_each_other(copy, install):
    names = jars(copy)
    shutil.rmtree(copy / ".kafka" / "jars")
    both = install(), install()
    assert [one.ended(50) for one in both] == [0, 0]
    assert jars(copy) == names
    fetched = [line for one in both for line in one.err if line.endswith("57 of 57")]
    assert len(fetched) == 1  # the second waited, and found all there


@pytest.fixture(scope="module")
def wheels(tmp_path_factory) -> dict[str, str]:
    """Settings with which pip finds here all that these tests install."""
    directory = tmp_path_factory.mktemp("wheels")
    pip = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--wheel-dir", str(directory)]
    scripts = ["--requirement", str(PROJECT / "requirements.lock")]
    for packages in (scripts, ["lz4==4.4.4"], ["pluggy==1.7.0"]):
        subprocess.run([*pip, *packages], check=True, capture_output=True, timeout=240)
    return {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(directory)}


def locked(pin: str, wheels: dict[str, str]) -> str:
    """The line of a lock for this package, with the hash of its wheel."""
    (wheel,) = Path(wheels["PIP_FIND_LINKS"]).glob(pin.replace("==", "-") + "-*")
    return f"{pin} --hash=sha256:{sha256(wheel.read_bytes()).hexdigest()}\n"


def add_list(copy: Path, name: str, lock: str) -> None:
    """Add a list of packages with this lock to the project."""
    (copy / f"{name}.txt").write_text(lock.split()[0] + "\n")
    digest = sha256((copy / f"{name}.txt").read_bytes()).hexdigest()
    (copy / f"{name}.lock").write_text(f"# SHA-256 {digest}\n{lock}")


@pytest.fixture
def venv(copy, install, wheels):
    """A virtual environment of the copy's own, with the packages of the scripts."""
    (copy / ".venv").unlink()
    assert install(["requirements.txt"], **wheels).ended(60) == 0
    return copy / ".venv"


def versions(venv) -> set[str]:
    """Names of the installed packages, each with its version."""
    return {metadata.stem for metadata in venv.glob("lib/*/site-packages/*.dist-info")}


@pytest.mark.full
@pytest.mark.parametrize("killed", ["the installation and pip", "the installation alone"])
def test_a_killed_pip_never_counts_as_an_installation(copy, install, wheels, killed):
    (copy / ".venv").unlink()
    cut_short = install(["requirements.txt"], **wheels)
    installed = ".venv/lib/*/site-packages/zstandard"
    eventually(lambda: list(copy.glob(installed)), 60, "the first package of", cut_short)
    if killed == "the installation alone":
        cut_short.send(signal.SIGKILL)
    else:
        os.killpg(cut_short.process.pid, signal.SIGKILL)
    mending = install(["requirements.txt"], **wheels)
    assert mending.ended(60) == 0, mending
    assert cut_short.ended() == -signal.SIGKILL
    assert mending.find("^Creating .venv"), mending
    assert {"kafka_python-3.0.12", "zstandard-0.25.0"} <= versions(copy / ".venv")


@pytest.mark.full
def test_an_environment_of_another_python_or_without_one_is_made_anew(venv, install, wheels):
    whole = versions(venv)
    for broken in ("of another Python", "without one"):
        if broken == "without one":
            (venv / "bin" / "python").unlink()
            (venv / "bin" / "python").symlink_to(venv / "removed" / "python3")
        else:
            (venv / "complete").write_text(".cpython-39-x86_64-linux-gnu.so")
        mending = install(["requirements.txt"], **wheels)
        assert mending.ended(60) == 0, mending
        assert mending.err[0].startswith("Creating .venv"), broken
        assert versions(venv) == whole


@pytest.mark.parametrize("name", [".venv", ".kafka"])
@pytest.mark.parametrize("kind", ["file", "link to nowhere"])
def test_what_stands_where_a_directory_belongs_is_named(copy, install, name, kind):
    (copy / name).rename(copy / "former")
    if kind == "file":
        (copy / name).touch()
    else:
        (copy / name).symlink_to(copy / "nowhere")
    assert install().refused() == f"{copy / name} cannot be used: Not a directory."


@pytest.mark.full
def test_a_changed_pin_is_installed_and_nothing_else(copy, venv, install, wheels):
    def installed() -> dict[str, int]:
        return {file.parent.stem: file.stat().st_mtime_ns for file in venv.rglob("*-info/RECORD")}

    whole, lock = installed(), copy / "requirements.lock"
    other = locked("lz4==4.4.4", wheels)
    lock.write_text(re.sub(r"^lz4==.*\n( .*\n)+", other, lock.read_text(), flags=re.M))
    changed = install(["requirements.txt"], **wheels)
    assert changed.ended(60) == 0, changed
    assert changed.err[0] == "Installing Python packages: requirements.lock"
    assert {name for name, _ in whole.items() ^ installed().items()} == {"lz4-4.4.5", "lz4-4.4.4"}


@pytest.mark.full
def test_what_is_installed_stays_usable_beside_more_and_where_the_project_is_moved(
    copy, venv, install, wheels
):
    def is_left_alone(**options) -> bool:
        start = install(["requirements.txt"], **NO_NETWORK, **options)
        return start.ended(10) == 0 and not start.out + start.err

    pin = locked("pluggy==1.7.0", wheels)
    more = ["requirements.txt", "more.txt"]
    add_list(copy, "more", pin.replace("sha256:", "sha256:0")[:-2] + "\n")
    tampered = install(more, **wheels)
    assert tampered.ended(60) == 1
    assert tampered.find("Expected sha256 0"), tampered
    assert is_left_alone()
    add_list(copy, "more", pin)
    assert install(more, **NO_NETWORK).ended(60) == 1
    assert is_left_alone()
    assert install(more, **wheels).ended(60) == 0
    assert "pluggy-1.7.0" in versions(venv)
    assert is_left_alone()
    moved = copy.rename(copy.with_name("moved"))
    assert is_left_alone(where=moved)
    kafka = Running(moved / ".venv" / "bin" / "python", "-c", "import kafka", cwd=moved)
    assert kafka.ended() == 0, kafka


def test_a_list_that_was_changed_without_its_lock_is_named(copy, install):
    requirements = copy / "requirements.txt"
    requirements.write_text(requirements.read_text().replace("==", "==9", 1))
    changed = install(**NO_NETWORK)
    assert changed.ended(10) == 0
    assert changed.err == [
        "requirements.lock does not match requirements.txt: renew it with .ci/lock."
    ]


@pytest.mark.full
def test_without_network_a_first_installation_says_what_could_not_be_had(copy, install):
    (copy / ".venv").unlink()
    failed = install(["requirements.txt"], **NO_NETWORK)
    assert failed.ended(60) == 1
    assert failed.err[-1].startswith(
        "The Python packages could not be installed (status 1, reason above). Where"
    )
    assert not failed.find("Traceback")


@pytest.mark.full
def test_settings_of_pip_and_python_for_other_programs_do_no_harm(copy, wheels, add, tmp_path):
    (copy / ".venv").unlink()
    (tmp_path / "pip.conf").write_text(f"[global]\nuser = true\ntarget = {tmp_path}/target\n")
    (tmp_path / "kafka.py").write_text("raise SystemExit('another kafka')")
    env = wheels | {"PIP_CONFIG_FILE": str(tmp_path / "pip.conf"), "PIP_NO_DEPS": "1"}
    env |= {"PIP_REQUIRE_HASHES": "1", "PIP_PREFIX": str(tmp_path / "prefix")}
    env |= {"PYTHONPATH": str(tmp_path), "PYTHONHOME": "/no/such/directory", "PYTHONSAFEPATH": "1"}
    env |= {"KAFKA_BOOTSTRAP_SERVERS": "elsewhere:9092", "PYTHON": sys.executable}
    installing = add(Running(copy / "broker" / "install", env=env, cwd=copy))
    assert installing.ended(60) == 0, installing
    assert {"kafka_python-3.0.12", "zstandard-0.25.0"} <= versions(copy / ".venv")
    assert not (tmp_path / "target").exists() and not (tmp_path / "prefix").exists()
    (copy / "own.py").write_text("print('found')")
    python = copy / ".venv" / "bin" / "python"
    safe = add(Running(python, "-c", "import own, kafka", env={"PYTHONSAFEPATH": "1"}, cwd="/"))
    assert (safe.ended(), safe.out) == (0, ["found"]), safe


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can run it as another user")
def test_what_another_user_installed_is_named_with_its_owner(copy, add):
    # A user who may read all of it, and write nothing.
    copy.chmod(0o755)
    (copy / ".kafka" / "install.lock").touch()
    python = shutil.which("python3", path="/usr/local/bin:/usr/bin")
    if not python:
        pytest.skip("no Python that another user may run")
    command = (python, "-m", "broker.packages", "requirements.txt")
    for directory in copy.parents[:-2]:
        directory.chmod(0o755)
    said = add(Running(*command, cwd=copy, user=65534)).refused()
    assert said.startswith(f"{copy}/.kafka/install.lock cannot be used: Permission denied.")
    assert "belongs to root" in said


def test_a_clone_for_windows_has_lines_and_commands_for_unix(tmp_path, cloneable):
    bent = ("-c", "core.autocrlf=true", "-c", "core.symlinks=false", "-c", "safe.directory=*")
    clone = tmp_path / "clone"
    subprocess.run(["git", *bent, "clone", "-q", PROJECT, clone], check=True)
    files = [one for one in clone.rglob("*") if one.is_file() and ".git" not in one.parts]
    text = [one for one in files if one.suffix != ".gif"]
    assert not [one for one in text if b"\r\n" in one.read_bytes()]
    commands = [one for one in (clone / "broker").glob("kafka-*") if not one.suffix]
    assert commands and all(os.access(one, os.X_OK) for one in commands)
    assert all(b"bash" in one.read_bytes() for one in commands)
