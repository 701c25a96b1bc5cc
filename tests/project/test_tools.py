"""broker/install: which Python it takes, what it asks the package manager for, what it says."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.project.conftest import copy_of_project
from tests.support.process import PROJECT, Running
from tests.support.tmux import refused

INSTALLS = "-E -m broker.packages requirements.txt broker/requirements.txt"


@pytest.fixture
def bare(tmp_path) -> Path:
    """A PATH without tmux and htop; its Python and apt-get only print their arguments."""
    if not os.geteuid():  # others own some of these directories on macOS
        for directory in (tmp_path, *tmp_path.parents[:-2]):
            directory.chmod(0o755)
    (tmp_path / "broker").mkdir()
    shutil.copy(PROJECT / "broker" / "install", tmp_path / "broker")
    (tmp_path / "link").symlink_to("broker/install")
    shutil.copy(PROJECT / "pyproject.toml", tmp_path)
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("bash", "dirname", "env", "readlink"):
        (tools / name).symlink_to(str(shutil.which(name)))
    program(tools / "sudo", 'echo "asked: sudo"; exec "$@"')
    program(tools / "apt-get", 'echo "asked: apt-get $@"')
    python(tools / "python3", "3.12.1")
    return tools


@pytest.fixture
def equipped(bare) -> Path:
    """The same with tmux and htop."""
    program(bare / "tmux", "echo tmux 3.2a")
    program(bare / "htop", "")
    return bare


def program(path: Path, script: str) -> None:
    """A program that does this."""
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def python(path: Path, version: str) -> None:
    """A Python of this version that prints what it is to run."""
    program(path, f'[ "$2" = -c ] || echo "Python {version} $@"')


def installing(package: str, script: str) -> str:
    """A package manager that says what it was asked for, and knows this package only."""
    return f'echo "asked: $0 $@"; case " $* " in *" {package} "*) {script} ;; esac'


def install(bare: Path, stdin: int = subprocess.DEVNULL, user: int | None = None, **env: str):
    """Run `broker/install` with this PATH for what the launcher needs."""
    command = [str(bare.parent / "link"), "tmux", "htop"]
    return subprocess.run(
        command,
        env={"PATH": str(bare)} | env,
        stdin=stdin,
        capture_output=True,
        text=True,
        user=user,
    )


def not_root() -> dict[str, int]:
    """Options that run a process as a user who is not root."""
    return {} if os.geteuid() else {"user": 65534}


# Tools


def test_missing_tools_are_installed_by_the_package_manager(bare):
    made = f'cd {bare}; for x in tmux htop; do echo "#!/bin/sh" >$x; /bin/chmod +x $x; done'
    program(bare / "apt-get", installing("install", made))
    master, terminal = os.openpty()
    done = install(bare, terminal)
    os.close(master)
    os.close(terminal)
    assert done.returncode == 0, done.stderr
    assert re.search(r"^asked: \S+/apt-get update$", done.stderr, re.M)
    # Waits while another program, an automatic update say, holds apt's lock.
    asked = r"^asked: \S+/apt-get install -y -o DPkg::Lock::Timeout=\d+ .* tmux htop$"
    assert re.search(asked, done.stderr, re.M)
    assert ("asked: sudo" in done.stderr) == (os.geteuid() != 0)
    assert f"Python 3.12.1 {INSTALLS}" in done.stdout


def test_without_root_the_one_command_is_printed_and_nothing_done(bare):
    sentence = refused(install(bare, **not_root()))
    assert "asked" not in sentence
    assert re.search(r": sudo apt-get update; sudo .*apt-get install .* tmux htop$", sentence)


def test_without_htop_alone_it_goes_on(equipped):
    (equipped / "htop").unlink()
    done = install(equipped, **not_root())
    assert done.returncode == 0
    assert "top is used instead" in done.stderr
    assert INSTALLS in done.stdout


def test_an_unknown_package_manager_is_not_guessed(bare):
    (bare / "apt-get").unlink()
    assert refused(install(bare)) == (
        "Missing: tmux 3.2 or newer htop. Install it with this machine's package manager.\n"
    )


def test_tmux_too_old_says_which_is_needed(equipped):
    program(equipped / "tmux", "echo tmux 3.1c")
    assert "tmux 3.2 or newer" in refused(install(equipped, **not_root()))


# Python


@pytest.mark.parametrize(
    ("version", "age"), [("3.9.2", "old"), ("3.15.0", "new"), ("3.15.0rc1", "new")]
)
def test_a_python_out_of_bounds_is_refused_with_the_bounds(equipped, version, age):
    python(equipped / "python3", version)
    python(equipped / "python3.15", version)
    for env in ({}, {"PYTHON": "python3"}):
        minor = version.split(".")[1]
        assert refused(install(equipped, **env)) == (
            f"Python 3.{minor} is too {age}: 3.10 to 3.14 is needed."
            " PYTHON=/path/to/python3 selects another.\n"
        )


@pytest.mark.parametrize(
    "named", ["/no/python3.12", "/bin/ls", "/tmp", "3.12", " ", "python3 -x", "odd"]
)
def test_a_named_python_that_is_none_is_named_and_no_package_is_guessed(equipped, named):
    program(equipped / "odd", '[ "$2" = -V ] && echo Python 3.12.1')  # without venv
    assert refused(install(equipped, PYTHON=named)) == (
        f'PYTHON="{named}" names no Python 3.10 to 3.14 with its venv module.'
        " PYTHON=/path/to/python3 selects another.\n"
    )


def test_the_newest_python_within_the_bounds_stands_in_for_a_default_out_of_them(equipped):
    for version in ("3.9.2", "3.11.4", "3.13.0", "3.15.0"):
        python(equipped / f"python{version.rpartition('.')[0]}", version)
    python(equipped / "python3", "3.15.0")
    assert install(equipped).stdout == f"Python 3.13.0 {INSTALLS}\n"
    assert install(equipped, PYTHON="python3.11").stdout == f"Python 3.11.4 {INSTALLS}\n"


def test_the_python_that_made_the_environment_is_used_again(equipped):
    home = equipped.parent / "another place"
    home.mkdir()
    python(home / "python3.10", "3.10.13")
    venv = equipped.parent / ".venv"
    venv.mkdir()
    (venv / "pyvenv.cfg").write_text(
        f"home = {home}\ninclude-system-site-packages = false\nversion = 3.10.13\n"
    )
    assert install(equipped).stdout == f"Python 3.10.13 {INSTALLS}\n"
    assert install(equipped, PYTHON="python3").stdout == f"Python 3.12.1 {INSTALLS}\n"
    (home / "python3.10").unlink()
    assert install(equipped).stdout == f"Python 3.12.1 {INSTALLS}\n"


@pytest.mark.parametrize(
    ("named", "asked"),
    [("", "python@3.14"), ("python3", "python@3.14"), ("python3.12", "python@3.12")],
)
def test_homebrew_is_asked_for_a_python_within_the_bounds(equipped, named, asked):
    (equipped / "apt-get").unlink()
    (equipped / "python3").unlink()
    if not named:
        python(equipped / "python3", "3.9.6")  # Apple's own
    assert refused(install(equipped, OSTYPE="darwin25", PYTHON=named)) == (
        f"Missing: Python 3.10 to 3.14 with its venv module. To install: brew install {asked}\n"
    )


def test_homebrews_python_is_found_once_it_is_there(equipped):
    (equipped / "apt-get").unlink()
    python(equipped / "python3", "3.9.6")
    python(equipped.parent / "python3.14", "3.14.0")
    program(
        equipped / "brew",
        installing("python@3.14", f"/bin/cp -p {equipped.parent}/python3.14 {equipped}"),
    )
    equipped.chmod(0o777)
    done = install(equipped, **not_root())
    assert done.stdout == f"Python 3.14.0 {INSTALLS}\n", done.stderr


def test_the_bounds_of_python_are_the_same_everywhere():
    found = re.search(
        r'requires-python = ">=3\.(\d+),<3\.(\d+)"', (PROJECT / "pyproject.toml").read_text()
    )
    assert found
    supported = [f"3.{minor}" for minor in range(int(found[1]), int(found[2]))]
    assert f"Python {supported[0]} to {supported[-1]}" in (PROJECT / "README.md").read_text()
    lock = (PROJECT / ".ci" / "lock").read_text()
    assert f"PYTHONS=({' '.join(supported)})" in lock
    workflow = (PROJECT / ".github" / "workflows" / "tests.yml").read_text()
    assert f'python: ["{supported[0]}", "{supported[-1]}"]' in workflow


def python_of(version: str) -> str:
    """Path of a Python of this version that the machine has, on the PATH or from pyenv."""
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    on_path = [Path(one, f"python{version}") for one in os.environ["PATH"].split(os.pathsep)]
    for candidate in (*on_path, *pyenv.glob(f"{version}.*/bin/python{version}")):
        # A shim of pyenv may stand for a Python that is not selected.
        if candidate.exists() and not subprocess.run([candidate, "-E", "-V"]).returncode:
            return str(candidate)
    pytest.skip(f"this machine has no Python {version}")


@pytest.mark.full
@pytest.mark.timeout(900)
@pytest.mark.parametrize("version", ["3.10", "3.11", "3.12", "3.13", "3.14"])
def test_scripts_and_settings_work_with_every_python_of_this_machine(tmp_path, add, version):
    project = copy_of_project(tmp_path / "a copy", ".kafka/jars")
    command = (project / "broker" / "install", "tests/requirements.txt")
    installing = add(Running(*command, cwd=project, env={"PYTHON": python_of(version)}))
    assert installing.ended(200) == 0, installing
    assert installing.find(rf"^Creating .venv with Python {version}\.")
    again = add(Running(*command, cwd=project, env={"PYTHON": ""}))  # it is remembered
    assert again.ended(10) == 0 and not again.err, again
    pytest_settings = ("-m", "pytest", "-q", "tests/scripts/test_settings.py")
    tests = add(Running(project / ".venv/bin/python", *pytest_settings, cwd=project))
    assert tests.ended(250) == 0, tests
    assert tests.find(r"^\d+ passed"), tests
