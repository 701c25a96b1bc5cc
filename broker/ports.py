"""The ports of the local servers, and the programs that occupy them."""

import os
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from . import data

# What sets each server's port, and its default. The controller is Kafka 4's own.
SETTINGS = {
    "kafka": ("BROKER_PORT", 9092),
    "zookeeper": ("ZOOKEEPER_PORT", 2181),
    "controller": ("CONTROLLER_PORT", 9093),
}


def of(server: str) -> int:
    """A server's port, from the environment; exits with the reason if it is invalid."""
    name, default = SETTINGS[server]
    text = os.environ.get(name) or str(default)
    if text.startswith("tcp://"):  # a container's link to another server, not a setting of ours
        return default
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 65536):
        sys.exit(f"{name}={text} is not a port number (1 to 65535).")
    return int(text)


def address(server: str) -> str:
    """A server's address: a number, since `localhost` may stand for an address of IPv6."""
    return f"127.0.0.1:{of(server)}"


def check(server: str, beside: str) -> None:
    """Exit with the reason if a server's port is taken, or is that of the server beside it.

    A previous server on this data directory gets five seconds to close its port.
    """
    port, names = of(server), sorted(SETTINGS[one][0] for one in (server, beside))
    if port == of(beside):
        sys.exit(f"{' and '.join(names)} are both {port}: they must differ.")
    deadline = time.monotonic() + 5
    while taken(port) and data.is_running(server) and time.monotonic() < deadline:
        time.sleep(0.05)
    if taken(port):
        sys.exit(
            f"Port {port} is taken{owner(port)}: stop that program, or set {SETTINGS[server][0]}"
            " to another port. To use a Kafka that is already running:"
            f" KAFKA_BOOTSTRAP_SERVERS={address('kafka')} ./launch_tmux.sh"
        )
    if forbidden(port):
        sys.exit(f"Port {port} is for root only: set {SETTINGS[server][0]} to 1024 or more.")


def taken(port: int) -> bool:
    """Whether a program listens on this port of the machine."""
    for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        try:
            with socket.socket(family, socket.SOCK_STREAM) as client:
                if client.connect_ex((host, port)) == 0:
                    return True
        except OSError:  # no IPv6
            continue
    return False


def forbidden(port: int) -> bool:
    """Whether the system gives this port to no ordinary user."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:  # what else may be wrong the server says itself
            return isinstance(error, PermissionError)
    return False


def owner(port: int) -> str:
    """` by NAME (process N)`, or nothing if the system does not tell."""
    import psutil

    with suppress(psutil.Error):
        for pid, connection in connections():
            if pid and connection.status == psutil.CONN_LISTEN and connection.laddr.port == port:
                return f" by {psutil.Process(pid).name()} (process {pid})"
    return ""


def connections() -> Iterator[tuple[int | None, Any]]:
    """The TCP connections that this user may know of, each with its process."""
    import psutil

    try:
        yield from [(one.pid, one) for one in psutil.net_connections("tcp")]
    except psutil.AccessDenied:  # macOS says so at the first process of another user
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                yield from [(process.pid, one) for one in process.net_connections("tcp")]
