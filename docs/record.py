"""Records the picture of README.md: the tiles, Kafka killed and started again, C alone, and `stop`.

What is recorded is a fresh clone of what is committed, on the ports that everybody has.
"""

import json
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path

DOCS = Path(__file__).resolve().parent
PROJECT = DOCS.parent
sys.path.insert(0, str(PROJECT))

from tests.support.process import eventually  # noqa: E402
from tests.support.tmux import Sandbox, Terminal  # noqa: E402

CAST, PICTURE = DOCS / "numbers.cast", DOCS / "numbers.gif"
BIN = Path(sys.executable).parent
SIZE = (114, 34)

# Neither clock nor host name. The status line is for captions.
OPTIONS = {
    "status-right": "",
    "status-left-length": "100",
    "window-status-format": "",
    "window-status-current-format": "",
    "status-style": "bg=colour24,fg=white,bold",
}


def main() -> None:
    """Record the play, draw it, and leave nothing else behind."""
    standard = {"BROKER_PORT": "", "ZOOKEEPER_PORT": "", "BROKER_DATA": ""}
    sandbox = Sandbox(**standard, BASH_SILENCE_DEPRECATION_WARNING="1")
    try:
        project = sandbox.home / "numbers"
        subprocess.run(["git", "clone", "--quiet", PROJECT, project], check=True)
        subprocess.run([project / "broker" / "install", "tmux", "htop"], check=True)
        subprocess.run(
            [project / "launch_tmux.sh"], env=sandbox.env, check=True, stdin=subprocess.DEVNULL
        )
        for option, value in OPTIONS.items():
            sandbox.tmux("set-option", "-g", option, value)
        caption(sandbox, "A and B write, C reads: one topic, every number with its origin")
        eventually(lambda: "A: 6" in sandbox.consumed(), 60, "numbers in tile C")
        shell = "./launch_tmux.sh; exec env PS1='$ ' bash --norc --noprofile"
        recorder = (BIN / "asciinema", "rec", "--quiet", "--overwrite", "--command", shell, CAST)
        recording = f"{shlex.join(map(str, recorder))}; touch {sandbox.home}/recorded"
        command = ("sh", "-c", f"cd {project}; {recording}")
        play(sandbox, Terminal(sandbox, *command, size=SIZE, TERM="xterm-256color"))
        eventually((sandbox.home / "recorded").exists, 10, "the end of the recording")
    finally:
        sandbox.close()
    trim()
    drawing = ("--font-size", "12", "--line-height", "1.25", "--theme", "asciinema")
    limits = ("--fps-cap", "3", "--idle-time-limit", "2", "--last-frame-duration", "2")
    subprocess.run([BIN / "agg", *drawing, *limits, CAST, PICTURE], check=True)


def trim() -> None:
    """Let the recording begin when the tiles are drawn, after a second, and end at "Stopped."."""
    header, *events = map(json.loads, CAST.read_text().splitlines())
    last = next(n for n, (_, _, data) in enumerate(events) if "Stopped." in data)
    kept = [[max(0, when - 1), kind, data] for when, kind, data in events[: last + 1]]
    CAST.write_text("".join(f"{json.dumps(line)}\n" for line in [header, *kept]))


def play(sandbox: Sandbox, terminal: Terminal) -> None:
    """What the person at the keyboard does and waits for."""
    sees(terminal, r"Consumer C")
    look(2)
    command(terminal, "run -t .1 'kill -9 #{pane_pid}'")
    caption(sandbox, "Kafka is killed: A and B keep their numbers until it is back")
    sees(terminal, "Kafka has ended|:respawnp -t .1")
    look(3)
    known = numbers(sandbox, "Producer A")
    command(terminal, "respawnp -t .1")
    caption(sandbox, "Kafka is started again")
    eventually(lambda: numbers(sandbox, "Producer A") > known, 60, "new numbers of A")
    caption(sandbox, "Kafka is back: A and B send what they kept, and go on")
    look(4)
    terminal.click(SIZE[0] - 3, SIZE[1] - 3)
    terminal.type("C-b", "z")
    eventually(lambda: is_complete(sandbox), 10, "all numbers in", sandbox.text("Consumer C"))
    caption(sandbox, "Tile C, enlarged: no number of A or B is missing")
    look(6)
    terminal.type("C-b", "d")
    sees(terminal, r"^\[detached")
    types(terminal, "./launch_tmux.sh stop")
    sees(terminal, r"^Stopped\.")
    types(terminal, "exit")


def caption(sandbox: Sandbox, text: str) -> None:
    """Say in tmux's status line what is to be seen."""
    sandbox.tmux("set-option", "-g", "status-left", f" {text}")


def sees(terminal: Terminal, pattern: str) -> None:
    """Return when the screen shows the pattern."""
    eventually(lambda: re.search(pattern, terminal.screen(), re.M), 60, pattern, "on", terminal)


def is_complete(sandbox: Sandbox) -> bool:
    """Whether tile C has shown all that A and B have, each number once and in order."""
    for key in "AB":
        read = numbers(sandbox, "Consumer C", key)
        if read != list(range("AB".index(key), len(read) * 2, 2)):
            return False
        if not set(read).issuperset(numbers(sandbox, f"Producer {key}")):
            return False
    return True


def numbers(sandbox: Sandbox, title: str, key: str = "A") -> list[int]:
    """What a tile has shown of a producer's numbers."""
    found = re.findall(rf"^{key}: (\d+)(?= *$|  \()", sandbox.text(title), re.M)
    return list(map(int, found))


def types(terminal: Terminal, text: str) -> None:
    """Type a line as fast as a person does."""
    for letter in text:
        terminal.type("-l", letter)
        time.sleep(0.04)
    look(0.3)
    terminal.type("Enter")


def command(terminal: Terminal, text: str) -> None:
    """Type a command of tmux."""
    terminal.type("C-b", ":")
    look(0.3)
    types(terminal, text)


def look(seconds: float) -> None:
    """Give who watches the time to see it."""
    time.sleep(seconds)


if __name__ == "__main__":
    main()
