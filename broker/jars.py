"""Kafka's jars in `.kafka/jars`: those that a pin file lists, each with its SHA-256."""

from __future__ import annotations

import hashlib
import os
import re
import sys
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from . import BROKER, KAFKA

if TYPE_CHECKING:
    import requests

JARS = KAFKA / "jars"
PINS = BROKER / "kafka-3.9.2.pins"
KRAFT = BROKER / "kafka-4.4.0.pins"

# Jars that are fetched at the same time, and seconds without a byte after which one is given up.
CONNECTIONS, TIMEOUT = 8, 30


def pinned(pins: Path) -> dict[str, str]:
    """SHA-256 of each jar in a pin file, by its Maven name `group:artifact:version`."""
    lines = (line.split() for line in pins.read_text().splitlines())
    return {name: digest for digest, name in lines}


def path(name: str) -> Path:
    """Path of the jar with this Maven name."""
    _, artifact, version = name.split(":")
    return JARS / f"{artifact}-{version}.jar"


def class_path(pins: Path) -> str:
    """Java's class path, in the order of the pin file: a CDS archive is valid for one order."""
    return os.pathsep.join(str(path(name)) for name in pinned(pins))


def missing(pins: Path) -> list[str]:
    """Maven names of the jars that are absent or do not match their pin."""
    return [name for name, digest in pinned(pins).items() if sha256(path(name)) != digest]


def sha256(file: Path) -> str | None:
    """SHA-256 of a file in hexadecimal, None if there is no such file."""
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest()
    except FileNotFoundError:
        return None


def install(pins: Path) -> None:
    """Fetch the missing jars in parallel; exit with status 1 and the reason where that fails."""
    import truststore

    truststore.inject_into_ssl()  # a company's own authority is often known to the machine only
    import requests

    todo, digests = missing(pins), pinned(pins)
    JARS.mkdir(parents=True, exist_ok=True)
    for part in JARS.glob("*.part"):  # an interrupted download left it behind
        part.unlink()
    # One session for all of them: a connection and a look-up of its own for each jar takes longer
    # than the download, and 5 s where a single answer of the name server is lost.
    session, pool = requests.Session(), ThreadPoolExecutor(CONNECTIONS)
    fetching = [pool.submit(fetch, session, name, digests[name]) for name in todo]
    try:
        for done, result in enumerate(as_completed(fetching), 1):
            result.result()
            progress(done, len(todo))
    except Exception as error:
        host = urlsplit(address(todo[0])).hostname or "MAVEN_REPOSITORY"
        sys.exit(f"Kafka's jars could not be fetched from {host}: {reason(error)}")
    finally:
        pool.shutdown(wait=False, cancel_futures=True)  # Ctrl-C ends it at once
        # Java uses an archive of classes only with jars of the same date, and replaces none.
        for archive in KAFKA.glob(f"*-{pins.stem}.jsa"):
            archive.unlink()


def fetch(session: requests.Session, name: str, digest: str) -> None:
    """Download one jar to a temporary name, and rename it once its checksum is right."""
    part, proxy = path(name).with_suffix(".part"), os.environ.get("PIP_PROXY")
    like_pip: dict[str, Any] = {"verify": os.environ.get("PIP_CERT") or None}
    like_pip["proxies"] = {"http": proxy, "https": proxy} if proxy else None
    request = session.get(address(name), stream=True, timeout=TIMEOUT, **like_pip)
    with request as response, open(part, "wb") as file:
        response.raise_for_status()
        for chunk in response.iter_content(1 << 16):
            file.write(chunk)
    if sha256(part) != digest:
        part.unlink()
        raise ValueError(f"{name} does not match the SHA-256 in the pin file")
    os.replace(part, path(name))


def address(name: str) -> str:
    """Where the jar with this Maven name is: in MAVEN_REPOSITORY or else in Maven Central."""
    from maven_artifact import Artifact, Downloader

    repository = os.environ.get("MAVEN_REPOSITORY")
    downloader = Downloader(repository) if repository else Downloader()
    return downloader.resolver.uri_for_artifact(Artifact(*name.split(":")))


def reason(error: BaseException) -> str:
    """The first of the errors that led to each other, on one line; without a repository's login."""
    while error.__context__:
        error = error.__context__
    said = getattr(error, "strerror", None) or str(error)  # without its number
    return re.sub(r"//[^/@]*@", "//", " ".join(said.split()))


def progress(done: int, total: int) -> None:
    """Report progress: on one line of a terminal, or every 20 jars in a log."""
    if sys.stderr.isatty() or done == total or done % 20 == 0:
        end = "\r" if sys.stderr.isatty() and done < total else "\n"
        print(f"Kafka's jars: {done} of {total}", end=end, file=sys.stderr, flush=True)
