"""The data directory of the local broker: where it is, and one lock for each server on it."""

import errno
import os
import shutil
import sys
from pathlib import Path

from . import KAFKA, files, locks

# Seconds that a previous server gets to end before it counts as running.
TIMEOUT = 30

# The two kinds of Kafka, by the setting that only this kind writes to `meta.properties`.
KINDS = {"broker.id": "a Kafka with ZooKeeper", "node.id": "a Kafka without ZooKeeper"}


def directory(default: str = "data") -> Path:
    """Absolute path of the data directory: BROKER_DATA or a directory below `.kafka`."""
    return Path(os.environ.get("BROKER_DATA") or KAFKA / default).absolute()


def use_data_directory(default: str = "data") -> None:
    """Create the data directory and change to it: paths in the properties are relative to it."""
    path = directory(default)
    os.environ["BROKER_DATA"] = str(path)  # a relative path would be another one after the change
    files.check_encoding(path)
    path.mkdir(parents=True, exist_ok=True)
    os.chdir(path)


def require_kind(identity: str) -> None:
    """Exit if the data are of the other kind of Kafka than of that with this key of KINDS."""
    found = meta_properties().keys() & KINDS.keys()
    if found and identity not in found:
        other = KINDS[found.pop()]
        sys.exit(f"{directory()} holds the data of {other}: set BROKER_DATA to another directory.")


def check_writable() -> None:
    """Raise OSError if the data directory is full, or if somebody else owns a file in it."""
    here = Path.cwd()
    for path in (here, *here.rglob("*")):
        if path.exists() and not os.access(path, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
    probe = here / "probe"
    try:
        probe.write_bytes(bytes(4096))
    finally:
        probe.unlink(missing_ok=True)


def meta_properties() -> dict[str, str]:
    """What Kafka has written to its log directory about itself; empty before its first start."""
    try:
        lines = Path("kafka/meta.properties").read_text().splitlines()
    except FileNotFoundError:
        return {}
    return dict(line.split("=", 1) for line in lines if "=" in line)


def temporary_directory(server: str) -> Path:
    """Absolute path of an empty directory for this server's temporary files."""
    path = directory() / f"{server}.tmp"
    shutil.rmtree(path, ignore_errors=True)  # a killed server leaves its files
    path.mkdir()
    return path


def drop_empty_logs() -> None:
    """Delete logs shorter than their header of 16 bytes, on which ZooKeeper 3.8 fails.

    A log is created empty: a ZooKeeper killed just then would never start again.
    """
    for log in Path("zookeeper").glob("version-2/log.*"):
        if log.stat().st_size < 16:
            log.unlink()


def have_segments_checked() -> None:
    """Delete Kafka's marker of a clean shutdown: with it, cut segments would not be noticed."""
    Path("kafka/.kafka_cleanshutdown").unlink(missing_ok=True)


def is_running(server: str) -> bool:
    """Whether another process runs this server on this data directory."""
    return locks.is_held(directory() / f"{server}.lock")


def lock(server: str) -> None:
    """Lock the data directory for this server, also once this process is Java (`os.execve`)."""

    def report_wait(holder: str) -> None:
        print(f"Waiting for the previous {server} (process {holder}) to end.", flush=True)

    try:
        locks.acquire(directory() / f"{server}.lock", on_wait=report_wait, timeout=TIMEOUT)
    except TimeoutError as holder:
        sys.exit(f"{server} is already running on {directory()} (process {holder}): stop it first.")
