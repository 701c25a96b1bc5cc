"""Records the picture of README.md: the tiles, Kafka killed and started again, and `stop`.

What is recorded is a fresh clone of what is committed, on the ports that everybody has.
"""

from __future__ import annotations

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
from tests.support.tmux import Machine, Terminal  # noqa: E402

CAST, PICTURE = DOCS / "numbers.cast", DOCS / "numbers.gif"
BIN = Path(sys.executable).parent
SIZE = (114, 34)

# Neither clock nor host name, and processes without their paths. The status line is for captions.
STATUS_LINE = {
    "status-right": "",
    "status-left-length": "100",
    "window-status-format": "",
    "window-status-current-format": "",
    "status-style": "bg=colour24,fg=white,bold",
}
HTOPRC = """\
hide_kernel_threads=1
hide_userland_threads=1
show_program_path=0
highlight_base_name=1
fields=0 46 47 49 1
sort_key=46
sort_direction=-1
tree_view=0
delay=30
left_meters=AllCPUs Memory
left_meter_modes=1 1
right_meters=Tasks
right_meter_modes=2
"""


def main() -> None:
    """Record the play, draw it, and leave nothing else behind."""
    standard = {"BROKER_PORT": "", "ZOOKEEPER_PORT": "", "BROKER_DATA": ""}
    machine = Machine(**standard, BASH_SILENCE_DEPRECATION_WARNING="1")
    try:
        project = machine.home / "numbers"
        subprocess.run(["git", "clone", "--quiet", PROJECT, project], check=True)
        subprocess.run([project / "broker" / "install", "tmux", "htop"], check=True)
        (project / ".kafka" / "htoprc").write_text(HTOPRC)
        subprocess.run(
            [project / "launch_tmux.sh"], env=machine.env, check=True, stdin=subprocess.DEVNULL
        )
        for option, value in STATUS_LINE.items():
            machine.tmux("set-option", "-g", option, value)
        caption(machine, "A and B write, C reads: one topic, every number with its origin")
        eventually(lambda: "A: 6" in machine.consumed(), 60, "numbers in tile C")
        shell = "./launch_tmux.sh; exec env PS1='$ ' bash --norc --noprofile"
        recorder = (BIN / "asciinema", "rec", "--quiet", "--overwrite", "--command", shell, CAST)
        recording = f"{shlex.join(map(str, recorder))}; touch {machine.home}/recorded"
        command = ("sh", "-c", f"cd {project}; {recording}")
        play(machine, Terminal(machine, *command, size=SIZE, TERM="xterm-256color"))
        eventually((machine.home / "recorded").exists, 10, "the end of the recording")
    finally:
        machine.close()
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


def play(machine: Machine, terminal: Terminal) -> None:
    """What the person at the keyboard does and waits for."""
    sees(terminal, r"Consumer C")
    look(2)
    command(terminal, "run -t .1 'kill -9 #{pane_pid}'")
    caption(machine, "Kafka killed")
    sees(terminal, "Kafka has ended|:respawnp -t .1")
    look(2)
    command(terminal, "respawnp -t .1")
    known = numbers(terminal)
    eventually(lambda: numbers(terminal) > known + 4, 60, "new numbers on", terminal)
    caption(machine, "Kafka is back: no number is missing")
    look(7)
    terminal.type("C-b", "d")
    sees(terminal, r"^\[detached")
    types(terminal, "./launch_tmux.sh stop")
    sees(terminal, r"^Stopped\.")
    types(terminal, "exit")


def caption(machine: Machine, text: str) -> None:
    """Say in tmux's status line what is to be seen."""
    machine.tmux("set-option", "-g", "status-left", f" {text}")


def sees(terminal: Terminal, pattern: str) -> None:
    """Return when the screen shows the pattern."""
    eventually(lambda: re.search(pattern, terminal.screen(), re.M), 60, pattern, "on", terminal)


def numbers(terminal: Terminal) -> int:
    """The highest number that producer A shows."""
    return max(map(int, re.findall(r"A: (\d+) ", terminal.screen())), default=-1)


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
