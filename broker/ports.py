"""The two ports of the local broker, and who holds them."""

from __future__ import annotations

import os
import socket
import sys
import time

import psutil

from . import data


def kafka() -> int:
    """The port of Kafka: BROKER_PORT or 9092."""
    return number("BROKER_PORT", 9092)


def zookeeper() -> int:
    """The port of ZooKeeper: ZOOKEEPER_PORT or 2181."""
    return number("ZOOKEEPER_PORT", 2181)


def number(name: str, default: int) -> int:
    """A port from the environment; exits with a sentence where it is none."""
    text = os.environ.get(name) or str(default)
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 65536):
        sys.exit(f"{name}={text} is not a port: a number from 1 to 65535 is.")
    return int(text)


def check(*servers: str) -> None:
    """Exit with a sentence if a server's port is taken; a former server is given time to leave.

    One that still runs on these data is on its way out if its port closes within five seconds.
    """
    if kafka() == zookeeper():
        sys.exit(f"BROKER_PORT and ZOOKEEPER_PORT are both {kafka()}: they must differ.")
    for server in servers or ("zookeeper", "kafka"):
        port = kafka() if server == "kafka" else zookeeper()
        deadline = time.monotonic() + 5
        while taken(port) and data.is_running(server) and time.monotonic() < deadline:
            time.sleep(0.05)
        if taken(port):
            sys.exit(sentence(port))


def taken(port: int) -> bool:
    """Whether anybody listens on the port of this machine."""
    for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        try:
            with socket.socket(family, socket.SOCK_STREAM) as client:
                if client.connect_ex((address, port)) == 0:
                    return True
        except OSError:  # no IPv6 here
            continue
    return False


def sentence(port: int) -> str:
    """What is wrong with a taken port and the two ways out."""
    setting = "BROKER_PORT" if port == kafka() else "ZOOKEEPER_PORT"
    return (
        f"Port {port} is taken{owner(port)}: stop that program (or set {setting} to another port),"
        f" or use the Kafka that is there:"
        f" KAFKA_BOOTSTRAP_SERVERS=localhost:{kafka()} ./launch_tmux.sh"
    )


def owner(port: int) -> str:
    """` by NAME (process N)`, or nothing where the system does not tell."""
    try:
        listening = [c for c in psutil.net_connections("tcp") if c.status == psutil.CONN_LISTEN]
        for pid in (c.pid for c in listening if c.laddr.port == port and c.pid):
            return f" by {psutil.Process(pid).name()} (process {pid})"
    except psutil.Error:
        pass
    return ""
