"""The launcher as a user meets it: in terminals, with a tmux server and a broker of its own."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest

from tests.support.process import PROJECT, eventually
from tests.support.tmux import LAUNCHER, REDRAW, SESSION, STARTUP, Machine, Terminal

TITLES = ["ZooKeeper", "Kafka", "htop", "Producer A", "Producer B", "Consumer C"]
TRIO = TITLES[3:]

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def new_machine() -> Iterator[Callable[..., Machine]]:
    """Makes machines that are gone after the test, with all that runs on them."""
    with ExitStack() as stack:
        yield lambda **settings: stack.enter_context(Machine(**settings))


@pytest.fixture
def machine(new_machine) -> Machine:
    """A machine with default settings."""
    return new_machine()


@pytest.fixture(scope="module")
def started() -> Iterator[tuple[Machine, Terminal]]:
    """A machine where the launcher was started in a terminal of 80 columns and 24 rows."""
    with Machine() as machine:
        terminal = Terminal(machine, LAUNCHER, size=(80, 24))
        eventually(lambda: "Consumer C" in terminal.screen(), STARTUP, "six tiles in the terminal")
        eventually(lambda: machine.consumed() >= {"A: 0", "B: 1"}, STARTUP, "numbers in tile C")
        yield machine, terminal


# What is on the screen


def test_tiles_are_three_by_two_and_titled_on_their_borders(started):
    machine, terminal = started
    tiles = machine.tiles()
    assert list(tiles) == TITLES
    assert sorted(tiles, key=lambda title: (tiles[title].top, tiles[title].left)) == TITLES
    assert len({tile.top for tile in tiles.values()}) == 2
    assert len({tile.left for tile in tiles.values()}) == 3
    above = next(line for line in terminal.screen().splitlines() if "ZooKeeper" in line)
    below = next(line for line in terminal.screen().splitlines() if "Producer A" in line)
    shown = re.findall(r"[A-Z]\w+(?: [ABC])?|htop", above + below)
    assert shown == TITLES


@pytest.mark.parametrize("size", [(120, 40), (200, 50), (213, 57), (82, 25), (80, 24)])
def test_tiles_are_equal_at_every_size_of_the_terminal(started, size):
    machine, terminal = started
    terminal.resize(*size)

    def equal_and_filling() -> bool:
        tiles = machine.tiles()
        widths = [tiles[title].width for title in TITLES]
        heights = [tiles[title].height for title in TITLES]
        # Beside the tiles: two lines between columns, two rows of titles, the status line.
        filling = sum(widths[:3]) + 2 == size[0] and heights[0] + heights[3] + 3 == size[1]
        return filling and max(widths) - min(widths) <= 1 and max(heights) - min(heights) <= 1

    eventually(equal_and_filling, REDRAW, f"equal tiles that fill {size}")


def test_numbers_arrive_in_tile_c(started):
    machine, _ = started
    machine.wait_for_numbers()


def test_each_tile_is_the_program_itself(started):
    machine, _ = started
    names = [psutil.Process(tile.pid).name() for tile in machine.tiles().values()]
    assert names[:3] == ["java", "java", "htop"]
    assert all(name.startswith("python") for name in names[3:])


# Another Kafka


def other_kafka(started: tuple[Machine, Terminal]) -> dict[str, str]:
    """Settings for the broker of the started machine, without a group."""
    servers = f"127.0.0.1:{started[0].broker_port}"
    return {"KAFKA_BOOTSTRAP_SERVERS": servers, "KAFKA_GROUP_ID": ""}


# Started again


def test_second_start_attaches_and_a_closed_terminal_only_detaches(started):
    machine, _ = started
    before = machine.tiles()
    second = Terminal(machine, LAUNCHER, size=(100, 30))
    eventually(lambda: machine.clients() == [SESSION, SESSION], REDRAW, "a second terminal")
    eventually(lambda: "Consumer C" in second.screen(), REDRAW, "the tiles in the second terminal")
    second.close()
    eventually(lambda: machine.clients() == [SESSION], REDRAW, "one attached terminal")
    assert [t.pid for t in machine.tiles().values()] == [t.pid for t in before.values()]
    machine.wait_for_numbers()


def test_start_inside_tmux_switches_the_client(started):
    machine, _ = started
    machine.tmux("new-session", "-d", "-s", "mine", "env", "sh")
    terminal = Terminal(machine, "tmux", "attach-session", "-t", "mine")
    eventually(lambda: "mine" in machine.clients(), REDRAW, "a terminal in their own session")
    terminal.type(f"'{LAUNCHER}'", "Enter")
    eventually(lambda: machine.clients() == [SESSION, SESSION], REDRAW, "the client to switch")
    terminal.close()
    machine.tmux("kill-session", "-t", "=mine")


def test_start_without_terminal_says_how_to_attach_and_stop(started):
    machine, _ = started
    done = machine.launch()
    assert (done.returncode, done.stderr) == (0, "")
    assert f"tmux attach-session -t {SESSION}\n" in done.stdout
    quoted = str(LAUNCHER).replace(" ", "\\ ")
    assert f"{quoted} stop\n" in done.stdout


@pytest.mark.parametrize("term", ["dumb", "no-such-terminal"])
def test_a_terminal_that_cannot_show_tiles_is_told_how_to_attach(started, term):
    machine, _ = started
    terminal = Terminal(machine, LAUNCHER, TERM=term)
    eventually(lambda: "attach-session" in terminal.screen(), REDRAW, "a text instead of tiles")
    terminal.close()


def test_stale_tmux_variables_do_not_matter(started):
    machine, _ = started
    stale = {"TMUX": f"{machine.home}/gone/default,1,0", "TMUX_PANE": "%77"}
    terminal = Terminal(machine, LAUNCHER, **stale)
    eventually(lambda: machine.clients() == [SESSION, SESSION], REDRAW, "a second terminal")
    terminal.close()
    inherited = {"TMUX": f"{machine.home}/tmux-{os.getuid()}/default,1,0", "TMUX_PANE": "%0"}
    terminal = Terminal(machine, LAUNCHER, **inherited)
    eventually(lambda: "Consumer C" in terminal.screen(), REDRAW, "the tiles in the terminal")
    terminal.close()


def test_two_starts_at_once_make_one_session(started, new_machine):
    machine = new_machine(**other_kafka(started))
    command = dict(env=machine.env, stdin=subprocess.DEVNULL, text=True, stdout=subprocess.PIPE)
    both = [subprocess.Popen([LAUNCHER], **command) for _ in range(2)]
    assert ["attach-session" in one.communicate(timeout=STARTUP)[0] for one in both] == [
        True,
        True,
    ]
    assert [one.returncode for one in both] == [0, 0]
    eventually(lambda: list(machine.tiles()) == ["htop", *TRIO], STARTUP, "four tiles")


# Stopped and killed


def test_stop_leaves_no_process_port_or_session(machine):
    assert machine.launch().returncode == 0
    eventually(lambda: machine.consumed(), STARTUP, "numbers in tile C")
    begin = time.monotonic()
    assert machine.launch("stop").returncode == 0
    assert not machine.has_session()
    machine.wait_for_nothing(1)
    assert time.monotonic() - begin < 10
    assert not (machine.home / ".config").exists()  # where htop keeps its settings


def test_stop_ends_in_ten_seconds_what_hangs_or_is_dead(machine):
    assert machine.launch().returncode == 0
    eventually(lambda: machine.consumed(), STARTUP, "numbers in tile C")
    tiles = machine.tiles()
    os.kill(tiles["Producer B"].pid, signal.SIGKILL)
    for title in set(TITLES) - {"Producer B"}:
        os.kill(tiles[title].pid, signal.SIGSTOP)
    begin = time.monotonic()
    assert machine.launch("stop").returncode == 0
    assert not machine.has_session()
    machine.wait_for_nothing(1)
    assert time.monotonic() - begin < 10


def test_stop_where_nothing_runs_says_so(machine):
    done = machine.launch("stop")
    assert (done.returncode, done.stdout, done.stderr) == (0, "Nothing is running.\n", "")


@pytest.mark.full
def test_kill_session_leaves_nothing_running(machine):
    assert machine.launch().returncode == 0
    eventually(lambda: machine.consumed(), STARTUP, "numbers in tile C")
    machine.tmux("kill-session", "-t", f"={SESSION}")
    machine.wait_for_nothing()


@pytest.mark.full
def test_it_starts_again_after_kill_9_of_tmux_and_the_servers(machine):
    assert machine.launch().returncode == 0
    eventually(lambda: machine.consumed(), STARTUP, "numbers in tile C")
    tiles = machine.tiles()
    server = int(machine.tmux("display-message", "-p", "#{pid}"))
    for pid in (server, tiles["Kafka"].pid, tiles["ZooKeeper"].pid):
        os.kill(pid, signal.SIGKILL)
    former = machine.processes()
    # No group: Kafka would wait for the member that was killed before it lets another one read.
    assert machine.launch(KAFKA_GROUP_ID="").returncode == 0
    machine.wait_for_numbers()
    assert not set(former) & set(machine.processes())


# What people have in ~/.tmux.conf


OWN_SETTINGS = {
    "exits unattached": "set -s exit-unattached on\nset -g destroy-unattached on\n",
    "sizes by hand": "setw -g window-size manual\nsetw -g aggressive-resize on\n",
    "types everywhere": "setw -g synchronize-panes on\nset -g history-limit 0\nset -g status off\n",
    "has a broken line": "set -g no-such-option on\nbind\nno-such-command\n",
    "has hooks": "set-hook -g after-new-session split-window\n"
    "set-hook -g session-created new-window\n"
    "set-hook -g after-new-window split-window\n"
    "set-hook -g after-split-window 'select-layout tiled'\n"
    "set-hook -g client-attached split-window\n"
    "set-hook -g window-layout-changed 'set -g status off'\n"
    "set-hook -g pane-died kill-pane\n",
}


@pytest.mark.parametrize(
    "kind",
    [
        kind if "hooks" in kind else pytest.param(kind, marks=pytest.mark.full)
        for kind in OWN_SETTINGS
    ],
)
def test_the_tiles_are_the_same_for_a_person_whose_tmux(started, new_machine, kind):
    machine = new_machine(**other_kafka(started))
    (machine.home / ".tmux.conf").write_text(OWN_SETTINGS[kind])
    done = machine.launch()
    assert (done.returncode, done.stderr) == (0, "")
    assert list(machine.tiles()) == ["htop", *TRIO]
    terminal = Terminal(machine, LAUNCHER, size=(120, 40))
    eventually(lambda: machine.clients() == [SESSION], REDRAW, "a terminal")
    machine.wait_for_numbers()
    typed_to_all = machine.tmux("list-panes", "-s", "-t", SESSION, "-F", "#{pane_synchronized}")
    assert "1" not in typed_to_all
    terminal.close()
    eventually(lambda: not machine.clients(), REDRAW, "no terminal")
    assert list(machine.tiles()) == ["htop", *TRIO]
    os.kill(machine.tiles()["Producer B"].pid, signal.SIGKILL)
    eventually(lambda: machine.tiles()["Producer B"].dead, REDRAW, "its tile keeps its output")
    assert machine.launch("stop").stdout == "Stopped.\n"
    machine.wait_for_nothing()


def test_what_runs_is_found_after_its_socket_was_deleted(started, new_machine):
    machine = new_machine(**other_kafka(started))
    machine.launch()
    (directory,) = machine.home.glob("tmux-*")
    shutil.rmtree(directory)
    assert not machine.has_session()
    assert "attach-session" in machine.launch().stdout
    machine.wait_for_numbers()
    shutil.rmtree(directory)
    assert machine.launch("stop").stdout == "Stopped.\n"
    machine.wait_for_nothing()


def test_what_was_started_in_another_tmux_server_is_found_from_any_terminal(started, new_machine):
    machine = new_machine(**other_kafka(started))
    machine.tmux("-L", "work", "new-session", "-d", "-s", "mine", "sh", "-c", f"'{LAUNCHER}'; cat")
    panes = ("-L", "work", "list-panes", "-a", "-F", "#{@title}")
    eventually(lambda: TITLES[5] in machine.tmux(*panes), STARTUP, "the tiles there")
    done = machine.launch()
    assert done.returncode == 0, done
    socket = re.search(r"tmux -S (\S+) attach-session", done.stdout)
    assert socket and Path(socket[1]).name == "work", done.stdout
    terminal = Terminal(machine, LAUNCHER, size=(120, 40))
    eventually(lambda: "Consumer C" in terminal.screen(), REDRAW, "the tiles in the terminal")
    assert machine.launch("stop").stdout == "Stopped.\n"


# What belongs to others is left alone


def test_session_of_the_same_name_that_is_not_ours_is_left_alone(machine):
    machine.tmux("new-session", "-d", "-s", SESSION, "env", "sleep", "1000")
    before = machine.tmux("list-panes", "-a", "-F", "#{pane_pid} #{pane_dead} #{window_layout}")
    for arguments in ([], ["stop"]):
        done = machine.launch(*arguments)
        assert (done.returncode, done.stdout) == (1, "")
        assert len(done.stderr.splitlines()) == 1
        assert SESSION in done.stderr
    after = machine.tmux("list-panes", "-a", "-F", "#{pane_pid} #{pane_dead} #{window_layout}")
    assert after == before


@pytest.mark.parametrize("name", ["BROKER_PORT", "ZOOKEEPER_PORT"])
def test_taken_port_is_named_with_its_owner_and_nothing_is_started(machine, name):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        done = machine.launch(**{name: port})
    assert (done.returncode, done.stdout) == (1, "")
    assert len(done.stderr.splitlines()) == 1
    assert port in done.stderr
    assert str(os.getpid()) in done.stderr
    assert "KAFKA_BOOTSTRAP_SERVERS=localhost:" in done.stderr
    assert not machine.processes()


def test_own_tmux_and_its_options_stay_as_they_were(started, new_machine):
    """They have base-index 1, another prefix, and a shell that cannot run anything."""
    machine = new_machine(**other_kafka(started))
    (machine.home / ".tmux.conf").write_text(
        "set -g base-index 1\n"
        "set -g pane-base-index 1\n"
        "set -g prefix C-a\n"
        "set -g default-shell /usr/bin/false\n"
        "set -g default-command 'exec false'\n"
        "set -g remain-on-exit off\n"
        "set -g status-position top\n"
        "set -g pane-border-status bottom\n"
        "set -g pane-border-format theirs\n"
    )
    machine.tmux("new-session", "-d", "-s", "mine", "env", "sleep", "1000")
    Terminal(machine, "tmux", "attach-session", "-t", "mine", size=(90, 30))
    eventually(lambda: machine.clients() == ["mine"], REDRAW, "a terminal in their own session")

    def theirs() -> list[str]:
        form = "#{session_name} #{pane_pid} #{window_layout}"
        return [
            machine.tmux("show-options", "-s"),
            machine.tmux("show-options", "-g"),
            machine.tmux("show-options", "-gw"),
            machine.tmux("show-hooks", "-g"),
            machine.tmux("show-environment", "-g"),
            machine.tmux("list-keys"),
            machine.tmux("list-panes", "-s", "-t", "=mine:", "-F", form),
            machine.tmux("show-options", "-t", "=mine:"),
            machine.tmux("show-options", "-w", "-t", "=mine:"),
        ]

    before = theirs()
    terminal = Terminal(machine, LAUNCHER, size=(120, 40))
    eventually(lambda: "Consumer C" in terminal.screen(), STARTUP, "the tiles in the terminal")
    machine.wait_for_numbers()
    widths = {machine.tiles()[title].width for title in TRIO}
    assert max(widths) - min(widths) <= 1
    assert sum(machine.tiles()[title].width for title in TRIO) + 2 == 120
    assert theirs() == before

    # A tile whose program ended says how to start it again, and that works.
    eventually(lambda: "B: 1 " in machine.text("Producer B"), STARTUP, "its first number")
    former = machine.tiles()["Producer B"].pid
    os.kill(former, signal.SIGKILL)
    eventually(
        lambda: "C-a :respawnp -t .2" in terminal.screen(), REDRAW, "the way to start it again"
    )
    assert machine.tiles()["Producer B"].dead
    assert "B: 1 " in machine.text("Producer B")
    terminal.type("C-a", ":")
    eventually(lambda: re.search(r"^:", terminal.screen(), re.M), REDRAW, "tmux's prompt")
    terminal.type("respawnp -t .2", "Enter")
    eventually(lambda: not machine.tiles()["Producer B"].dead, REDRAW, "the producer to run again")
    assert machine.tiles()["Producer B"].pid != former
    machine.wait_for_numbers()

    assert machine.launch("stop").returncode == 0
    assert theirs() == before


def test_settings_reach_the_trio_and_secrets_show_nowhere(started, new_machine, tmp_path):
    secret = "confidential'\"  $HOME ~ #{pid} #(id) ;\\n \\\n  # {é} %if\t&"
    machine = new_machine(NUMBERS_LOG=str(tmp_path / "commands"))
    real = shutil.which("tmux")
    (tmp_path / "tmux").write_text(f'#!/bin/sh\necho "$@" >>"$NUMBERS_LOG"\nexec {real} "$@"\n')
    (tmp_path / "tmux").chmod(0o755)
    settings = other_kafka(started) | {
        "KAFKA_OPTS": secret,
        "PATH": f"{tmp_path}:{machine.env['PATH']}",
    }
    # A tmux server has been running before, with other settings.
    old = {"KAFKA_TOPIC": "of-before", "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"}
    machine.run("tmux", "new-session", "-d", "-s", "mine", "env", "sleep", "1000", **old)

    done = machine.launch(**settings)
    assert done.returncode == 0, done.stderr
    machine.wait_for_numbers()

    tiles = machine.tiles()
    assert list(tiles) == ["htop", *TRIO]
    assert tiles["htop"].width == tiles["Consumer C"].left + tiles["Consumer C"].width
    for title in TRIO:
        environment = psutil.Process(tiles[title].pid).environ()
        got = {k: v for k, v in environment.items() if k.startswith("KAFKA_")}
        assert got == {k: v for k, v in settings.items() if k.startswith("KAFKA_")}
    lines = [" ".join(process.cmdline()) for process in machine.processes()]
    seen = [done.stdout, done.stderr, *lines, *map(machine.text, tiles)]
    seen.append((tmp_path / "commands").read_text())
    assert not [text for text in seen if "confidential" in text]


# Where it is started from


# Every kind of character that a directory's name may have, but for a colon, which venv refuses.
ODD_NAME = 'it\'s "a" #{pid} $HOME %s *? \n~;,=!ü#(id)\\ `x` [a]'

# What other programs may have set for Java, Python and the shell.
ODD_SETTINGS = {
    "LC_ALL": "C",
    "JAVA_TOOL_OPTIONS": "-XX:+UseG1GC",
    "_JAVA_OPTIONS": "-XX:+UseZGC",
    "POSIXLY_CORRECT": "1",
    "PYTHONSAFEPATH": "1",
    "PYTHONPATH": "/no/such/directory",
    "PYTHONHOME": "/no/such/directory",
    "PYTHONWARNINGS": "error",
    "CDPATH": "/tmp:/",
    "CLASSPATH": "/no/such/directory",
}


@pytest.mark.full
@pytest.mark.parametrize(
    ("name", "settings"), [("two  words", {}), (ODD_NAME, ODD_SETTINGS)], ids=["spaces", "odd"]
)
def test_it_runs_through_a_link_in_a_directory_of_any_name(new_machine, name, settings):
    machine = new_machine(**settings)
    project = machine.home / name / "my project"
    private = shutil.ignore_patterns(".git", ".venv", ".kafka", ".*_cache", "__pycache__")
    shutil.copytree(PROJECT, project, ignore=private)
    (project / ".kafka").mkdir()
    for installed in (".venv", ".kafka/jars"):
        (project / installed).symlink_to(PROJECT / installed)
    (machine.home / "first").symlink_to(project / "launch_tmux.sh")
    (machine.home / "second").symlink_to("first")
    terminal = Terminal(machine, "./second")
    eventually(lambda: "Consumer C" in terminal.screen(), STARTUP, "the tiles in the terminal")
    eventually(lambda: machine.consumed(), STARTUP, "numbers in tile C")
    topics = machine.run(project / "broker" / "kafka-topics", "--list")
    assert "numbers" in topics.stdout.split(), topics
    assert machine.run(machine.home / "second", "stop").stdout == "Stopped.\n"
    terminal.close()
    machine.wait_for_nothing()


def test_unknown_arguments_show_the_usage_and_status_2(machine):
    usage = machine.launch("--help")
    assert (usage.returncode, usage.stderr) == (0, "")
    for arguments in (["start"], ["stop", "now"], ["-x"]):
        done = machine.launch(*arguments)
        assert (done.returncode, done.stdout, done.stderr) == (2, "", usage.stdout)
