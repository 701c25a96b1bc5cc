"""Kafka's jars in `.kafka/jars`: exactly those that a lock file names, byte for byte."""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

BROKER = Path(__file__).resolve().parent
KAFKA = BROKER.parent / ".kafka"
JARS = KAFKA / "jars"
LOCK = BROKER / "kafka-3.9.2.lock"


def locked(lock: Path = LOCK) -> dict[str, str]:
    """SHA-256 of each jar that the lock file names, by its Maven name `group:artifact:version`."""
    lines = (line.split() for line in lock.read_text().splitlines())
    return {name: digest for digest, name in lines}


def path(name: str) -> Path:
    """Where the jar of a Maven name lies."""
    _, artifact, version = name.split(":")
    return JARS / f"{artifact}-{version}.jar"


def class_path(lock: Path = LOCK) -> str:
    """The jars as Java's class path; always the same text, or Java would not use its archive."""
    return os.pathsep.join(str(path(name)) for name in locked(lock))


def missing(lock: Path = LOCK) -> list[str]:
    """Names of the jars that are absent or not what the lock file says."""
    return [name for name, digest in locked(lock).items() if sha256(path(name)) != digest]


def sha256(file: Path) -> str | None:
    """SHA-256 of a file in hexadecimal, None if there is no such file."""
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest()
    except FileNotFoundError:
        return None


def remove_leftovers() -> None:
    """Delete what an interrupted download left."""
    for part in JARS.glob("*.part"):
        part.unlink()


def install(lock: Path = LOCK) -> None:
    """Fetch the missing jars, several at a time; exit with 1 and a sentence where that fails."""
    todo, digests = missing(lock), locked(lock)
    JARS.mkdir(parents=True, exist_ok=True)
    with quiet(), ThreadPoolExecutor(8) as pool:
        fetching = [pool.submit(fetch, name, digests[name]) for name in todo]
        try:
            for done, result in enumerate(as_completed(fetching), 1):
                result.result()
                progress(done, len(todo))
        except Exception as error:
            pool.shutdown(cancel_futures=True)
            sys.exit(f"Kafka's jars could not be fetched: {error}")


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """No standard output: the downloader prints two lines for each file."""
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
        yield


def fetch(name: str, digest: str) -> None:
    """Download one jar beside its place, check it, and only then put it there."""
    from maven_artifact import Artifact, Downloader

    part = path(name).with_suffix(".part")
    Downloader().download(Artifact(*name.split(":")), filename=str(part))
    if sha256(part) != digest:
        part.unlink()
        raise ValueError(f"{name} is not what the lock file says it must be")
    os.replace(part, path(name))


def progress(done: int, total: int) -> None:
    """Say how many of the jars are there: on one line in a terminal, now and then in a log."""
    if sys.stderr.isatty() or done == total or done % 20 == 0:
        end = "\r" if sys.stderr.isatty() and done < total else "\n"
        print(f"Kafka's jars: {done} of {total}", end=end, file=sys.stderr, flush=True)
