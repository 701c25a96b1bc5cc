"""Processes for the tests: the scripts as a person runs them, and how to wait for them."""

from __future__ import annotations

import fcntl
import os
import pty
import random
import re
import signal
import socket
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import pytest

Value = TypeVar("Value")

PROJECT = Path(__file__).resolve().parent.parent.parent

# Each deadline is multiplied by this: other machines are slower, or busy.
SLOWDOWN = 3

# A UDP socket for each hundred TCP ports that this process may hand out: all others see it, also
# those of another run on this machine.
RESERVED: list[socket.socket] = []


def candidates() -> Iterator[int]:
    """Ports that no other process of tests hands out, on some of which others may listen.

    They lie below those that the system gives to outgoing connections, which could take one
    meanwhile.
    """
    for first in random.sample(range(20_000, 32_000, 100), 120):
        reserved = socket.socket(type=socket.SOCK_DGRAM)
        RESERVED.append(reserved)
        with suppress(OSError):
            reserved.bind(("127.0.0.1", first))
            yield from range(first, first + 100)


CANDIDATES = candidates()


def free_ports(count: int) -> list[int]:
    """Different ports of 127.0.0.1 that nobody listens on, and that nobody else was given."""
    ports: list[int] = []
    while len(ports) < count:
        port = next(CANDIDATES)
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            ports.append(port)
    return ports


def worker_number() -> int:
    """The number of this worker of pytest; -1 where pytest runs in one process."""
    return int(os.environ.get("PYTEST_XDIST_WORKER", "gw-1").removeprefix("gw"))


def eventually(true: Callable[[], Value | None], seconds: float, *what: object) -> Value:
    """The first true value of a condition; fails if there is none in SLOWDOWN times the seconds.

    Every deadline of the tests is kept here or in `ended`. Where a test's name tells the seconds,
    it is `ends_within`, without the factor.
    """
    deadline = time.monotonic() + SLOWDOWN * seconds
    while True:
        begin = time.monotonic()
        if value := true():
            return value
        late = begin > deadline
        assert not late, f"not within {SLOWDOWN} × {seconds} s: {' '.join(map(str, what))}"
        # An expensive condition takes at most a fifth of a core.
        time.sleep(max(0.02, 4 * (time.monotonic() - begin)))


def hold(seconds: float) -> None:
    """Let a fault last so long; never a way to wait for something to happen."""
    ends = time.monotonic() + seconds
    eventually(lambda: time.monotonic() > ends, seconds + 5)


class Running:
    """A process in its own process group, and its output so far, line by line."""

    def __init__(self, *command: object, env: dict[str, str] | None = None, **options: Any) -> None:
        self.started = time.monotonic()
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE}
        options = pipes | {"stderr": subprocess.PIPE} | options
        self.process: subprocess.Popen[Any] = subprocess.Popen(
            [str(word) for word in command],
            cwd=options.pop("cwd", PROJECT),
            env=environment(env),
            start_new_session=True,
            **options,
        )
        self.out: list[str] = []
        self.err: list[str] = []
        self.readers: list[threading.Thread] = []
        if self.process.stdout:
            self.read_from(self.process.stdout, self.out)
        if self.process.stderr:
            self.read_from(self.process.stderr, self.err)

    def read_from(self, pipe, lines: list[str]) -> None:
        """Collect the lines of a pipe or terminal as they arrive."""

        def collect() -> None:
            with suppress(OSError):  # a terminal ends with an error
                for line in pipe:
                    lines.append(line.decode("utf-8", "surrogateescape").rstrip("\r\n"))

        self.readers.append(threading.Thread(target=collect, daemon=True))
        self.readers[-1].start()

    @property
    def alive(self) -> bool:
        """Whether the process has not ended."""
        return self.process.poll() is None

    def said(self, pattern: str, seconds: float = 20) -> re.Match:
        """The first match in a line of standard output or error; waits for it."""
        return eventually(lambda: self.find(pattern), seconds, repr(pattern), "in", self)

    def find(self, pattern: str) -> re.Match | None:
        """The first match in a line of standard output or error so far."""
        found = (re.search(pattern, line) for line in [*self.out, *self.err])
        return next((match for match in found if match), None)

    def write(self, data: bytes) -> None:
        """Write to its standard input, which must be a pipe."""
        assert self.process.stdin, "standard input is no pipe"
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def send(self, number: int) -> None:
        """Send a signal to the process alone, not to its group."""
        self.process.send_signal(number)

    def ended(self, seconds: float = 10) -> int:
        """The exit status, once the process has ended and all its output is read.

        Fails after SLOWDOWN times the seconds, as `eventually` does.
        """
        try:
            status = self.process.wait(SLOWDOWN * seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"not ended within {SLOWDOWN * seconds:g} s: {self}") from None
        for reader in self.readers:
            reader.join(5)
        return status

    def refused(self, seconds: float = 20) -> str:
        """The one sentence with which the process ended, with status 1 and no other output."""
        assert self.ended(seconds) == 1 and not self.out and len(self.err) == 1, self
        return self.err[0]

    def ends_within(self, seconds: float) -> int:
        """The exit status; fails if the process takes longer than exactly so many seconds."""
        return self.ended(seconds / SLOWDOWN)

    def stop(self, number: int = signal.SIGINT, seconds: float = 10) -> int:
        """Send a signal and wait for the exit status."""
        self.send(number)
        return self.ended(seconds)

    def kill(self) -> None:
        """Kill the process and its children."""
        with suppress(ProcessLookupError, PermissionError):  # macOS says so of a zombie
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(10)

    def __enter__(self) -> Running:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def __repr__(self) -> str:
        output = "\n".join([*self.out[-15:], *self.err[-40:]])
        return f"{self.process.args!r}, status {self.process.poll()}, which printed\n{output}"


class InTerminal(Running):
    """A script whose input and output are a terminal, as when a person runs it."""

    def __init__(self, name: str, env: dict[str, str], *wrapper: object) -> None:
        self.keyboard, terminal = pty.openpty()
        screen = {"stdin": terminal, "stdout": terminal, "preexec_fn": own_terminal}
        super().__init__(*wrapper, sys.executable, name, env=env, stderr=terminal, **screen)
        os.close(terminal)
        self.read_from(os.fdopen(os.dup(self.keyboard), "rb"), self.out)

    def type(self, keys: bytes) -> None:
        """Type keys, as bytes that a terminal sends."""
        os.write(self.keyboard, keys)


def own_terminal() -> None:
    """Make standard input the controlling terminal, so that Ctrl-C sends a signal."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def environment(changes: dict[str, str] | None = None) -> dict[str, str]:
    """This environment without settings for Kafka and tmux, with the changes."""
    kept = {
        k: v for k, v in os.environ.items() if not re.match("KAFKA_|BROKER_|ZOOKEEPER_|TMUX", k)
    }
    return kept | (changes or {})


@contextmanager
def small_disk(directory: Path, size: str) -> Iterator[Path]:
    """A file system of this size in a new directory; skips the test where it cannot be mounted."""
    directory.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(directory)]
    done = subprocess.run(mount, capture_output=True, text=True, timeout=20)
    if done.returncode:
        pytest.skip(f"a small file system cannot be mounted here: {done.stderr.strip()}")
    try:
        yield directory
    finally:
        subprocess.run(["umount", str(directory)], check=True, timeout=20)


def settings_for(servers: str, topic: str) -> dict[str, str]:
    """What a script needs to use a topic; its group has the topic's name, so no tests share one."""
    return {
        "KAFKA_BOOTSTRAP_SERVERS": servers,
        "KAFKA_TOPIC": topic,
        "KAFKA_GROUP_ID": topic,
    }


def script(
    name: str, servers: str, topic: str, *, arguments=(), stdout=subprocess.PIPE, **settings: str
) -> Running:
    """A script of the project, run against a broker on a topic."""
    env = settings_for(servers, topic) | settings
    return Running(sys.executable, name, *arguments, env=env, stdout=stdout)


def producer(
    servers: str, topic: str, sleep_time: float, even: bool = True, **settings: Any
) -> Running:
    """A producer with another interval than A's and B's."""
    code = f"from producer_utils import produce; produce(sleep_time={sleep_time}, even={even})"
    return script("-c", servers, topic, arguments=(code,), **settings)
