"""Records the picture of README.md: the launcher from prompt to numbers to `stop`.

Kafka is killed meanwhile and started again in its tile. What is recorded is a fresh clone of what
is committed, on the ports that everybody has.
"""

from __future__ import annotations

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

# A home without anybody's habits: neither clock nor host name, and processes without their paths.
TMUX_CONF = 'set -g status-left ""\nset -g status-right ""\n'
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
        # What ZooKeeper says of the machine and its user is nobody's business.
        loud = ("ZooKeeper", "server.ZooKeeperServer", "Environment")
        quiet = [f"-Dorg.slf4j.simpleLogger.log.org.apache.zookeeper.{name}=warn" for name in loud]
        machine.env["JDK_JAVA_OPTIONS"] = " ".join(quiet)
        (machine.home / ".tmux.conf").write_text(TMUX_CONF)
        project = machine.home / "numbers"
        subprocess.run(["git", "clone", "--quiet", PROJECT, project], check=True)
        subprocess.run([project / "broker" / "install", "tmux", "htop"], check=True)
        (project / ".kafka" / "htoprc").write_text(HTOPRC)
        shell = f"cd {project} && exec env PS1='$ ' bash --norc --noprofile"
        recorder = (BIN / "asciinema", "rec", "--quiet", "--overwrite", "--command", shell, CAST)
        recording = f"{shlex.join(map(str, recorder))}; touch {machine.home}/recorded"
        play(Terminal(machine, "sh", "-c", recording, size=SIZE, TERM="xterm-256color"))
        eventually((machine.home / "recorded").exists, 10, "the end of the recording")
    finally:
        machine.close()
    drawing = ("--font-size", "12", "--line-height", "1.25", "--theme", "asciinema")
    limits = ("--fps-cap", "3", "--idle-time-limit", "2", "--last-frame-duration", "4")
    subprocess.run([BIN / "agg", *drawing, *limits, CAST, PICTURE], check=True)


def play(terminal: Terminal) -> None:
    """What the person at the keyboard does and waits for."""
    sees(terminal, r"^\$ ?$")
    types(terminal, "./launch_tmux.sh")
    sees(terminal, r"A: 6 ")
    look(1)
    command(terminal, "run -t .1 'kill -9 #{pane_pid}'")
    sees(terminal, "Kafka has ended|:respawnp -t .1")
    look(2)
    command(terminal, "respawnp -t .1")
    known = numbers(terminal)
    eventually(lambda: numbers(terminal) > known + 4, 60, "new numbers on", terminal)
    look(3)
    terminal.type("C-b", "d")
    sees(terminal, r"^\[detached")
    look(1)
    types(terminal, "./launch_tmux.sh stop")
    sees(terminal, r"^Stopped\.")
    look(1)
    types(terminal, "exit")


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
        time.sleep(0.06)
    look(0.5)
    terminal.type("Enter")


def command(terminal: Terminal, text: str) -> None:
    """Type a command of tmux."""
    terminal.type("C-b", ":")
    look(0.5)
    types(terminal, text)


def look(seconds: float) -> None:
    """Give who watches the time to see it."""
    time.sleep(seconds)


if __name__ == "__main__":
    main()
