"""How the launcher stops the system, and how it finds what it has to stop."""

import os
import re
import shutil
import signal
import sys
import time
from pathlib import Path

import pytest

from tests.support.process import eventually
from tests.support.tmux import LAUNCHER, REDRAW, STARTUP, Sandbox, Terminal, refused


def started(sandbox: Sandbox) -> Sandbox:
    """The sandbox, once numbers arrive in tile C."""
    assert sandbox.launch().returncode == 0
    eventually(lambda: sandbox.consumed(), STARTUP, "numbers in tile C")
    return sandbox


# Ended at once, or not


def test_stop_leaves_no_process_port_or_tmux(sandbox):
    started(sandbox)
    begin = time.monotonic()
    assert sandbox.launch("stop").returncode == 0
    assert not sandbox.has_tiles()
    sandbox.wait_for_nothing(1)
    assert time.monotonic() - begin < 10
    assert not (sandbox.home / ".config").exists()  # where htop keeps its settings


def test_stop_leaves_nothing_where_a_program_is_dead_already(sandbox):
    os.kill(started(sandbox).tiles()["Producer B"].pid, signal.SIGKILL)
    assert sandbox.launch("stop").stdout == "Stopped.\n"
    sandbox.wait_for_nothing(1)


# A program that does not end at SIGTERM: it notes when that came, and then the time until it ends.
STUBBORN = """
import signal, sys, time
times = open(sys.argv[1], "w", buffering=1)
terminated = []
signal.signal(signal.SIGTERM, lambda *_: terminated.append(True))
while True:
    time.sleep(0.01)
    print("terminated" if terminated else "ready", time.monotonic(), file=times)
"""


def test_what_hangs_has_the_seconds_that_it_was_promised_and_is_ended_within_ten(small):
    """The deadlines count from the beginning of the stop, whatever the clock shows then."""
    promised = {"Producer A": 5, "Producer B": 5, "Consumer C": 5, "Kafka": 7, "ZooKeeper": 8}
    small.launch()
    for title in promised:
        if title not in small.tiles():
            small.tmux("split-window", "-t", small.tiles()["htop"].pane, "cat")
            small.tmux("set-option", "-p", "@title", title)
        program = (sys.executable, "-c", STUBBORN, small.home / title)
        small.tmux("respawn-pane", "-k", "-t", small.tiles()[title].pane, *program)
        times = small.home / title
        eventually(lambda t=times: t.exists() and t.read_text(), STARTUP, "the program in", title)
    assert small.launch("stop").stdout == "Stopped.\n"
    small.wait_for_nothing(1)
    noted = {title: terminated(small.home / title) for title in promised}
    begin = min(times[0] for times in noted.values())
    had = {title: times[-1] - begin for title, times in noted.items()}
    short = {title: had[title] for title in promised if had[title] < promised[title] - 0.05}
    assert not short, had
    assert max(had.values()) < 10


def terminated(times: Path) -> list[float]:
    """When a stubborn program noted that it had been told to end."""
    return [float(one) for one in re.findall(r"^terminated (.+)\n", times.read_text(), re.M)]


def test_stop_where_nothing_runs_says_so(sandbox):
    done = sandbox.launch("stop")
    assert (done.returncode, done.stdout, done.stderr) == (0, "Nothing is running.\n", "")


# Typed in the tiles themselves


def test_stop_typed_in_a_tile_stops_all_and_is_seen_to(sandbox):
    terminal = Terminal(sandbox, "sh", "-c", f"'{LAUNCHER}'; echo status $?; cat")
    eventually(lambda: sandbox.has_tiles() and sandbox.consumed(), STARTUP, "numbers in tile C")
    pane = sandbox.tiles()["Producer A"].pane
    sandbox.tmux("respawn-pane", "-k", "-t", pane, "bash", "--norc")
    sandbox.tmux("select-pane", "-t", pane)
    terminal.type(f"'{LAUNCHER}' stop", "Enter")
    terminal.shows("Stopped.", STARTUP)
    terminal.shows("status 0")
    assert not sandbox.has_tiles()
    terminal.close()
    sandbox.wait_for_nothing()


def test_stop_typed_in_a_new_window_of_the_tiles_stops_all_and_is_seen_to(small):
    terminal = Terminal(small, "sh", "-c", f"'{LAUNCHER}'; cat")
    terminal.shows_tiles()
    terminal.type("C-b", "c")
    eventually(lambda: "Consumer C" not in terminal.screen(), REDRAW, "a new window")
    terminal.type(f"'{LAUNCHER}' stop", "Enter")
    terminal.shows("Stopped.", STARTUP)
    terminal.close()
    small.wait_for_nothing()


def test_stop_typed_in_a_tile_that_no_terminal_shows_stops_all(sandbox):
    started(sandbox)
    pane = sandbox.tiles()["Producer A"].pane
    sandbox.tmux("respawn-pane", "-k", "-t", pane, "bash", "--norc")
    sandbox.tmux("send-keys", "-t", pane, f"'{LAUNCHER}' stop", "Enter")
    sandbox.wait_for_nothing()


# Killed


@pytest.mark.full
def test_kill_session_leaves_nothing_running(sandbox):
    started(sandbox)
    sandbox.tmux("kill-session", "-t", "=numbers")
    sandbox.wait_for_nothing()


@pytest.mark.full
def test_it_starts_again_after_kill_9_of_tmux_and_the_servers(sandbox):
    tiles = started(sandbox).tiles()
    server = int(sandbox.tmux("display-message", "-p", "#{pid}"))
    for pid in (server, tiles["Kafka"].pid, tiles["ZooKeeper"].pid):
        os.kill(pid, signal.SIGKILL)
    former = sandbox.processes()
    # No group: Kafka would wait for the member that was killed before it lets another one read.
    assert sandbox.launch(KAFKA_GROUP_ID="").returncode == 0
    sandbox.wait_for_numbers()
    assert not set(former) & set(sandbox.processes())


# Found, wherever it was started


def test_what_runs_is_found_after_its_socket_was_deleted(small):
    small.launch()
    (directory,) = small.home.glob("tmux-*")
    shutil.rmtree(directory)
    assert not small.has_tiles()
    assert "The system is running." in small.launch().stdout
    small.wait_for_numbers()
    shutil.rmtree(directory)
    assert small.launch("stop").stdout == "Stopped.\n"
    small.wait_for_nothing()


def test_what_was_started_with_another_tmux_directory_is_found_from_any_terminal(small):
    other = small.home / "other"
    other.mkdir()
    small.launch(TMUX_TMPDIR=str(other))
    assert not small.has_tiles()
    assert "The system is running." in small.launch().stdout
    terminal = Terminal(small, LAUNCHER, size=(120, 40))
    terminal.shows_tiles()
    terminal.close()
    assert small.launch("stop").stdout == "Stopped.\n"
    small.wait_for_nothing()


def test_what_runs_is_found_with_other_data_and_under_another_name(small):
    small.launch()
    small.tmux("rename-session", "theirs")
    small.tmux("rename-window", "theirs")
    done = small.launch("stop", BROKER_DATA=str(small.home / "elsewhere"))
    assert (done.stdout, done.stderr) == ("Stopped.\n", "")
    small.wait_for_nothing()


def test_a_stale_note_of_a_tmux_server_that_ended_does_not_matter(small):
    """Its process id may belong to another tmux by now."""
    small.tmux("new-session", "-d", "sleep", "1000", server=("-L", "mine"))
    another = small.tmux("display-message", "-p", "#{pid}", server=("-L", "mine")).strip()
    (small.home / "data").mkdir()
    note = f"{another} me {small.home}/gone/tmux-0/numbers\n"
    (small.home / "data" / "tmux").write_text(note)
    assert small.launch("stop").stdout == "Nothing is running.\n"
    assert small.tmux("list-sessions", server=("-L", "mine"))
    small.launch()
    assert small.has_tiles()


def test_stop_without_tmux_on_the_path_says_so(small, tmp_path):
    small.launch()
    for directory in reversed(os.environ["PATH"].split(os.pathsep)):
        for program in Path(directory).glob("*"):
            (tmp_path / program.name).unlink(missing_ok=True)
            (tmp_path / program.name).symlink_to(program)
    (tmp_path / "tmux").unlink()
    sentence = refused(small.launch("stop", PATH=str(tmp_path)))
    assert re.fullmatch(
        r"The tiles are running \(process \d+\), but tmux is not on the PATH\.\n", sentence
    )
    small.wait_for_numbers()


def test_another_user_is_told_who_started_it(small, another_user):
    small.launch()
    for arguments in ([], ["stop"]):
        sentence = refused(small.launch(*arguments, user=another_user))
        assert re.fullmatch(
            r"The tiles are running as root \(.*\): stop them as root\.\n", sentence
        )
    small.wait_for_numbers()
