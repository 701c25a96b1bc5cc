"""The two ports of the local broker, and the programs that occupy them."""

from __future__ import annotations

import os
import socket
import sys
import time

from . import data


def kafka() -> int:
    """Kafka's port: BROKER_PORT or 9092."""
    return number("BROKER_PORT", 9092)


def zookeeper() -> int:
    """ZooKeeper's port: ZOOKEEPER_PORT or 2181."""
    return number("ZOOKEEPER_PORT", 2181)


def number(name: str, default: int) -> int:
    """A port from the environment; exits with the reason if it is invalid."""
    text = os.environ.get(name) or str(default)
    if text.startswith("tcp://"):  # a container's link to another server, not a setting of ours
        return default
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 65536):
        sys.exit(f"{name}={text} is not a port number (1 to 65535).")
    return int(text)


def check(*servers: str) -> None:
    """Exit with the reason if a server's port is taken.

    A previous server on this data directory gets five seconds to close its port.
    """
    if kafka() == zookeeper():
        sys.exit(f"BROKER_PORT and ZOOKEEPER_PORT are both {kafka()}: they must differ.")
    for server in servers or ("zookeeper", "kafka"):
        port = kafka() if server == "kafka" else zookeeper()
        deadline = time.monotonic() + 5
        while taken(port) and data.is_running(server) and time.monotonic() < deadline:
            time.sleep(0.05)
        if taken(port):
            sys.exit(explanation(port))


def taken(port: int) -> bool:
    """Whether a program listens on this port of the machine."""
    for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        try:
            with socket.socket(family, socket.SOCK_STREAM) as client:
                if client.connect_ex((address, port)) == 0:
                    return True
        except OSError:  # no IPv6
            continue
    return False


def explanation(port: int) -> str:
    """Which program has taken the port, and what to do about it."""
    setting = "BROKER_PORT" if port == kafka() else "ZOOKEEPER_PORT"
    return (
        f"Port {port} is taken{owner(port)}: stop that program, or set {setting} to another port."
        f" To use a Kafka that is already running:"
        f" KAFKA_BOOTSTRAP_SERVERS=localhost:{kafka()} ./launch_tmux.sh"
    )


def owner(port: int) -> str:
    """` by NAME (process N)`, or nothing if the system does not tell."""
    import psutil

    try:
        listening = [c for c in psutil.net_connections("tcp") if c.status == psutil.CONN_LISTEN]
        for pid in (c.pid for c in listening if c.laddr.port == port and c.pid):
            return f" by {psutil.Process(pid).name()} (process {pid})"
    except psutil.Error:
        pass
    return ""
