"""A sandbox of the test's own for the launcher, and terminals to look at it.

Each sandbox has its own tmux servers, ports, data and home. Every process started in it carries a
mark in its environment, so that it can be found and killed.
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

import psutil

from broker import ports
from tests.support.process import PROJECT, environment, eventually, free_ports
from tests.support.reaper import marked, runs

LAUNCHER = PROJECT / "launch_tmux.sh"

# Which tmux server: the one that the tiles have, or the one that a person has.
TILES, PERSON = ("-L", "numbers"), ("-L", "default")

TITLES = ["ZooKeeper", "Kafka", "htop", "Producer A", "Producer B", "Consumer C"]
TRIO = TITLES[3:]

# Seconds for the whole system to start, and for a screen to change, on a busy machine.
STARTUP = 60
REDRAW = 15


class Tile(NamedTuple):
    """One pane of the launcher's window."""

    pane: str
    pid: int
    dead: bool
    left: int
    top: int
    width: int
    height: int


class Sandbox:
    """A home directory, ports and tmux servers; `settings` are added to the environment."""

    def __init__(self, **settings: str) -> None:
        # Not pytest's tmp_path: a socket's path has to be short.
        self.home = Path(tempfile.mkdtemp(prefix="numbers-", dir="/tmp"))
        self.home.chmod(0o755)
        self.broker_port, self.zookeeper_port = free_ports(2)
        own = {
            "HOME": str(self.home),
            "TMUX_TMPDIR": str(self.home),
            "TERM": "screen",
            "BROKER_PORT": str(self.broker_port),
            "ZOOKEEPER_PORT": str(self.zookeeper_port),
            "BROKER_DATA": str(self.home / "data"),
            "NUMBERS_SANDBOX": str(self.home),
        }
        self.settings = settings
        self.env = environment(own | settings)

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def launch(
        self, *arguments: str, user: int | None = None, **settings: str
    ) -> subprocess.CompletedProcess:
        """Run the launcher to its end without a terminal."""
        return self.run(LAUNCHER, *arguments, user=user, **settings)

    def run(
        self, *command: object, user: int | None = None, **settings: str
    ) -> subprocess.CompletedProcess:
        """Run a command to its end without a terminal."""
        return subprocess.run(
            [str(word) for word in command],
            user=user,
            group=user,
            extra_groups=[] if user else None,
            env=self.env | settings,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
        )

    def tmux(self, *arguments: object, server: tuple[object, ...] = TILES) -> str:
        """The output of a tmux command, on the tiles' server unless another one is named."""
        done = self.run("tmux", *server, *arguments)
        assert done.returncode == 0, f"tmux {arguments}: {done.stderr}"
        return done.stdout

    def end_tmux(self, server: tuple[object, ...]) -> None:
        """Return when a tmux server has ended: until then it takes in clients and drops them."""
        while self.run("tmux", *server, "kill-server").returncode == 0:
            pass

    def has_tiles(self) -> bool:
        """Whether the tiles' server answers."""
        return self.run("tmux", *TILES, "has-session").returncode == 0

    def tiles(self) -> dict[str, Tile]:
        """The launcher's tiles by title, in tmux's order."""
        names = ("id", "pid", "dead", "left", "top", "width", "height")
        form = ",".join(f"#{{pane_{name}}}" for name in names) + ",#{@title}"
        form = form.replace("#{pane_pid}", "#{?pane_dead,0,#{pane_pid}}")  # empty in tmux 3.8
        tiles = {}
        for line in self.tmux("list-panes", "-t", "numbers:numbers", "-F", form).splitlines():
            pane, *numbers, title = line.split(",")
            pid, dead, left, top, width, height = map(int, numbers)
            tiles[title] = Tile(pane, pid, bool(dead), left, top, width, height)
        return tiles

    def text(self, title: str) -> str:
        """What a tile shows and has shown, lines unwrapped."""
        pane = self.tiles()[title].pane
        return self.tmux("capture-pane", "-p", "-J", "-S", "-", "-t", pane)

    def consumed(self) -> set[str]:
        """The numbers that tile C shows."""
        return set(re.findall(r"^[AB]: \d+$", self.text("Consumer C"), re.M))

    def wait_for_numbers(self) -> None:
        """Return when tile C shows new numbers of both producers."""
        before = self.consumed()

        def more() -> bool:
            return {line[0] for line in self.consumed() - before} == {"A", "B"}

        eventually(more, STARTUP, "more numbers of both producers in tile C")

    def wait_for_nothing(self, seconds: float = REDRAW) -> None:
        """Return when nothing that was started in this sandbox runs any more."""
        eventually(lambda: not self.processes(), seconds, "no process left")
        assert not any(ports.taken(port) for port in (self.broker_port, self.zookeeper_port))

    def clients(self, server: tuple[object, ...] = TILES) -> int:
        """How many terminals show the tiles, or another tmux server."""
        return len(self.run("tmux", *server, "list-clients").stdout.splitlines())

    def processes(self) -> list[psutil.Process]:
        """All running processes that were started in this sandbox."""
        return [one for one in marked("NUMBERS_SANDBOX", str(self.home)) if runs(one)]

    def close(self) -> None:
        """Leave nothing behind."""
        for process in self.processes():
            with suppress(psutil.NoSuchProcess):
                process.kill()
        eventually(lambda: not self.processes(), 5, "no process left")
        shutil.rmtree(self.home, ignore_errors=True)


class Terminal:
    """A terminal window with one command in it, shown by a tmux server of its own."""

    def __init__(
        self,
        sandbox: Sandbox,
        *command: object,
        size: tuple[int, int] = (200, 50),
        **settings: str,
    ) -> None:
        self.sandbox = sandbox
        self.socket = sandbox.home / f"terminal-{uuid4().hex[:6]}"
        (sandbox.home / "outer.conf").write_text("set -g status off\nset -g remain-on-exit on\n")
        words = [f"{name}={value}" for name, value in settings.items()]
        # The command must not take the outer tmux for one that the person has.
        program = ["env", "-u", "TMUX", "-u", "TMUX_PANE", *words, *map(str, command)]
        start = ("new-session", "-d", "-x", size[0], "-y", size[1], "-c", sandbox.home)
        self.outer_tmux("-f", sandbox.home / "outer.conf", *start, shlex.join(program))

    def outer_tmux(self, *arguments: object) -> str:
        """The output of a tmux command on the terminal's own server."""
        return self.sandbox.tmux(*arguments, server=("-S", self.socket))

    def screen(self) -> str:
        """What the terminal shows."""
        return self.outer_tmux("capture-pane", "-p", "-J")

    def shows(self, text: str, seconds: float = REDRAW) -> None:
        """Return when the terminal shows a text."""
        eventually(lambda: text in self.screen(), seconds, repr(text), "in the terminal")

    def shows_tiles(self) -> None:
        """Return when all tiles are in the terminal."""
        self.shows("Consumer C", STARTUP)

    def type(self, *keys: str) -> None:
        """Press keys, named as tmux names them."""
        self.outer_tmux("send-keys", *keys)

    def click(self, column: int, row: int, button: int = 0) -> None:
        """Press and release a button of the mouse, as a terminal reports it (64: wheel up)."""
        place = f"{button};{column};{row}"
        self.type("-l", f"\x1b[<{place}M" if button >= 64 else f"\x1b[<{place}M\x1b[<{place}m")

    def resize(self, columns: int, rows: int) -> None:
        """Change the size of the window."""
        self.outer_tmux("resize-window", "-x", columns, "-y", rows)

    def close(self) -> None:
        """Close the window, as a click on its corner does."""
        self.outer_tmux("kill-server")


def refused(done: subprocess.CompletedProcess) -> str:
    """The one sentence with which a command ended, with status 1 and no other output."""
    assert (done.returncode, done.stdout) == (1, "")
    assert len(done.stderr.splitlines()) == 1, done.stderr
    return done.stderr
