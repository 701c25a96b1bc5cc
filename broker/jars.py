"""Kafka's jars in `.kafka/jars`: those that a pin file lists, each with its SHA-256."""

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
PINS = BROKER / "kafka-3.9.2.pins"


def pinned(pins: Path = PINS) -> dict[str, str]:
    """SHA-256 of each jar in a pin file, by its Maven name `group:artifact:version`."""
    lines = (line.split() for line in pins.read_text().splitlines())
    return {name: digest for digest, name in lines}


def path(name: str) -> Path:
    """Path of the jar with this Maven name."""
    _, artifact, version = name.split(":")
    return JARS / f"{artifact}-{version}.jar"


def class_path(pins: Path = PINS) -> str:
    """Java's class path, in the order of the pin file: a class archive is valid for one order."""
    return os.pathsep.join(str(path(name)) for name in pinned(pins))


def missing(pins: Path = PINS) -> list[str]:
    """Maven names of the jars that are absent or do not match their pin."""
    return [name for name, digest in pinned(pins).items() if sha256(path(name)) != digest]


def sha256(file: Path) -> str | None:
    """SHA-256 of a file in hexadecimal, None if there is no such file."""
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest()
    except FileNotFoundError:
        return None


def remove_partial_downloads() -> None:
    """Delete what an interrupted download left behind."""
    for part in JARS.glob("*.part"):
        part.unlink()


def install(pins: Path = PINS) -> None:
    """Fetch the missing jars in parallel; exit with status 1 and the reason where that fails."""
    todo, digests = missing(pins), pinned(pins)
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
    """Suppress standard output: the downloader prints two lines for each file."""
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
        yield


def fetch(name: str, digest: str) -> None:
    """Download one jar to a temporary name, and rename it once its checksum is right."""
    from maven_artifact import Artifact, Downloader

    part = path(name).with_suffix(".part")
    Downloader().download(Artifact(*name.split(":")), filename=str(part))
    if sha256(part) != digest:
        part.unlink()
        raise ValueError(f"{name} does not match the SHA-256 in the pin file")
    os.replace(part, path(name))


def progress(done: int, total: int) -> None:
    """Report progress: on one line of a terminal, or every 20 jars in a log."""
    if sys.stderr.isatty() or done == total or done % 20 == 0:
        end = "\r" if sys.stderr.isatty() and done < total else "\n"
        print(f"Kafka's jars: {done} of {total}", end=end, file=sys.stderr, flush=True)
