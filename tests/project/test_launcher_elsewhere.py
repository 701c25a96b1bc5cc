"""The launcher among what others have set, started and installed."""

import os
import shutil
import socket
import subprocess
import sys

import psutil
import pytest

from tests.project.conftest import copy_of_project
from tests.support.process import PROJECT, eventually, small_disk
from tests.support.tmux import LAUNCHER, PERSON, REDRAW, STARTUP, TRIO, Sandbox, Terminal, refused

# A person's own tmux


# Each line changes, breaks or ends a person's own sessions.
OWN_SETTINGS = """
set -s exit-unattached on
set -s command-alias[200] split-window=kill-server
set -g destroy-unattached on
set -g base-index 1
set -g pane-base-index 1
set -g prefix C-a
set -g default-shell /usr/bin/false
set -g default-command 'exec false'
set -g default-terminal no-such-terminal
set -g history-limit 0
set -g status off
set -g window-size manual
set -g synchronize-panes on
set -g remain-on-exit off
set -g pane-border-status bottom
set -g pane-border-format theirs
set-hook -g session-created new-window
set-hook -g after-new-window split-window
set-hook -g after-split-window 'select-layout tiled'
set-hook -g client-attached split-window
set-hook -g window-layout-changed 'set -g status off'
set-hook -g pane-died kill-pane
unbind -a
"""


@pytest.mark.parametrize("broken", ["", "bind\nno-such-command\nset -g no-such-option on\n"])
def test_nothing_that_a_person_has_set_reaches_the_tiles(small, new_sandbox, broken):
    plain = new_sandbox()
    (small.home / ".tmux.conf").write_text(broken + OWN_SETTINGS)
    for sandbox in (plain, small):
        done = sandbox.launch(**small.settings)
        assert (done.returncode, done.stderr) == (0, "")
    assert everything_set(small) == everything_set(plain)
    assert list(small.tiles()) == ["htop", *TRIO]
    small.wait_for_numbers()


def everything_set(sandbox: Sandbox) -> list[str]:
    """All options, hooks and keys of the tiles' tmux server."""
    shown = ["show-options -s", "show-options -g", "show-options -gw", "show-options -w"]
    shown += ["show-hooks -g", "show-hooks -gw", "show-hooks -w", "list-keys"]
    return [sandbox.tmux(*command.split()) for command in shown]


def test_own_tmux_and_its_options_stay_as_they_were(small):
    # Without those that end their own session at once, hooks among them (and sizes in tmux 3.3).
    ending = ("-hook", "unattached", "default-", "window-size")
    kept = [line for line in OWN_SETTINGS.splitlines() if not any(word in line for word in ending)]
    (small.home / ".tmux.conf").write_text("\n".join(kept))
    terminal = Terminal(small, "tmux", "new-session", "-s", "mine", "env", "sh", size=(90, 30))
    eventually(lambda: small.clients(PERSON) == 1, REDRAW, "a terminal in their own session")

    def theirs() -> list[str]:
        shown = ["show-options -s", "show-options -g", "show-options -gw", "show-options"]
        shown += ["show-options -w", "show-hooks -g", "show-environment -g", "list-keys"]
        shown += ["list-panes -aF #{session_name}:#{pane_pid}:#{window_layout}"]
        return [small.tmux(*command.split(), server=PERSON) for command in shown]

    before = theirs()
    terminal.type(f"'{LAUNCHER}'", "Enter")
    terminal.shows_tiles()
    assert theirs() == before
    assert small.launch("stop").stdout == "Stopped.\n"
    assert theirs() == before


def test_a_monitor_that_cannot_start_takes_nothing_with_it(small, tmp_path):
    (tmp_path / "htop").write_text("#!/bin/sh\necho no terminal of this type; exit 3\n")
    (tmp_path / "htop").chmod(0o755)
    done = small.launch(PATH=f"{tmp_path}:{small.env['PATH']}")
    assert (done.returncode, done.stderr) == (0, "")
    small.wait_for_numbers()
    assert small.tiles()["htop"].dead
    assert "ended with status 3" in small.text("htop")  # tmux may lose what it said last


def test_a_tmux_that_fails_ends_the_start_with_a_sentence(small, tmp_path):
    silent, file = tmp_path / "tmux", tmp_path / "file"
    silent.write_text('#!/bin/sh\n[ "$1" != -V ] || { echo tmux 3.5; exit; }; exit 1\n')
    silent.chmod(0o755)
    file.touch()
    for broken in ({"PATH": f"{tmp_path}:{small.env['PATH']}"}, {"TMUX_TMPDIR": str(file)}):
        done = small.launch(**broken)
        said = "tmux could not start the tiles. TMUX_TMPDIR selects another place for its socket."
        assert (done.returncode, done.stderr.splitlines()[-1:]) == (1, [said]), done


def test_a_tile_that_was_closed_leaves_the_others_as_wide_as_they_are(small):
    terminal = Terminal(small, LAUNCHER, size=(120, 40))
    terminal.shows_tiles()
    eventually(lambda: widths(small)["htop"] == 120, REDRAW, "tiles that fill the terminal")
    small.tmux("kill-pane", "-t", small.tiles()["Producer B"].pane)
    before = widths(small)
    terminal.resize(180, 40)
    eventually(lambda: widths(small)["htop"] == 180, REDRAW, "tiles that fill the new size")
    assert all(width >= before[title] for title, width in widths(small).items()), before


def widths(sandbox: Sandbox) -> dict[str, int]:
    """The width of each tile."""
    return {title: tile.width for title, tile in sandbox.tiles().items()}


# What belongs to others is left alone


def test_a_tmux_server_of_the_same_name_that_is_not_ours_is_left_alone(sandbox):
    sandbox.tmux("new-session", "-d", "env", "sleep", "1000")
    before = sandbox.tmux("list-panes", "-a", "-F", "#{pane_pid} #{pane_dead} #{window_layout}")
    for arguments in ([], ["stop"]):
        assert "tmux -L numbers kill-server" in refused(sandbox.launch(*arguments))
    after = sandbox.tmux("list-panes", "-a", "-F", "#{pane_pid} #{pane_dead} #{window_layout}")
    assert after == before


@pytest.mark.parametrize("name", ["BROKER_PORT", "ZOOKEEPER_PORT"])
def test_taken_port_is_named_with_its_owner_and_nothing_is_started(sandbox, name):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        sentence = refused(sandbox.launch(**{name: port}))
    for part in (port, str(os.getpid()), "KAFKA_BOOTSTRAP_SERVERS=127.0.0.1:"):
        assert part in sentence
    assert not sandbox.processes()


def test_a_data_directory_that_cannot_be_used_is_named_and_nothing_is_started(small):
    file = small.home / "file"
    file.write_text("")
    for data in (file, file / "data"):
        assert str(data) in refused(small.launch(BROKER_DATA=str(data)))
    assert not small.processes()


# What the launcher asks first. (The user might not be allowed to start this Python.)
CHECK_AS_NOBODY = """
import os, pwd, runpy, sys
import broker.__main__
del sys.modules["broker.__main__"]
os.setgid(65534)
os.setuid(65534)
sys.argv = ["broker", "check"]
runpy.run_module("broker", run_name="__main__", alter_sys=True)
"""


def test_what_sudo_left_to_root_is_named_with_its_owner(small, another_user):
    # The user might not be allowed to start the Python that was named for the tests, either.
    assert "belongs to root" in refused(small.launch(user=another_user, PYTHON=""))
    (small.home / "data" / "kafka").mkdir(parents=True)
    os.chown(small.home / "data", another_user, another_user)
    sentence = refused(small.run(sys.executable, "-c", CHECK_AS_NOBODY, PYTHONPATH=str(PROJECT)))
    assert f"{small.home}/data/kafka belongs to root" in sentence
    assert not small.processes()


def test_a_full_disk_is_named_and_nothing_is_started(small):
    with small_disk(small.home / "disk", "64k") as disk:
        with pytest.raises(OSError):
            (disk / "filling").write_bytes(bytes(100_000))
        sentence = refused(small.launch(BROKER_DATA=str(disk / "data")))
    assert "No space left on device" in sentence
    assert not small.processes()


# A second copy of the project


def test_another_copy_of_the_project_says_whose_tiles_are_running(small):
    copy = copy_of_project(small.home / "a copy") / "launch_tmux.sh"
    small.launch()
    quoted = f"{PROJECT}/".replace(" ", "\\ ")
    pids = [tile.pid for tile in small.tiles().values()]
    for arguments in ([], ["stop"]):
        sentence = refused(small.run(copy, *arguments))
        assert f"The tiles of {quoted} are running." in sentence
        assert f"{quoted}launch_tmux.sh stop\n" in sentence
    assert [tile.pid for tile in small.tiles().values()] == pids


def test_two_copies_started_at_once_make_one_set_of_tiles(small):
    copy = copy_of_project(small.home / "copy") / "launch_tmux.sh"
    pipes = dict(stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    both = [subprocess.Popen([one], env=small.env, text=True, **pipes) for one in (LAUNCHER, copy)]
    said = [one.communicate(timeout=STARTUP) for one in both]
    assert sorted(one.returncode for one in both) == [0, 1], said
    (sentence,) = [err for _, err in said if err]
    assert "are running. Stop them first: " in sentence and len(sentence.splitlines()) == 1
    assert list(small.tiles()) == ["htop", *TRIO]


# Settings


def test_settings_reach_the_trio_and_secrets_show_nowhere(small, tmp_path):
    secret = "confidential'\"  $HOME ~ #{pid} #(id) ;\\n \\\n  # {é} %if\t&"
    real = shutil.which("tmux")
    (tmp_path / "tmux").write_text(f'#!/bin/sh\necho "$@" >>"$NUMBERS_LOG"\nexec {real} "$@"\n')
    (tmp_path / "tmux").chmod(0o755)
    settings = {"KAFKA_OPTS": secret, "NUMBERS_LOG": str(tmp_path / "commands")}
    done = small.launch(PATH=f"{tmp_path}:{small.env['PATH']}", **settings)
    assert done.returncode == 0, done.stderr
    small.wait_for_numbers()

    tiles = small.tiles()
    assert list(tiles) == ["htop", *TRIO]
    assert tiles["htop"].width == tiles["Consumer C"].left + tiles["Consumer C"].width
    wanted = {k: v for k, v in (small.env | settings).items() if k.startswith("KAFKA_")}
    for title in TRIO:
        environment = psutil.Process(tiles[title].pid).environ()
        assert {k: v for k, v in environment.items() if k.startswith("KAFKA_")} == wanted
    lines = [" ".join(process.cmdline()) for process in small.processes()]
    seen = [done.stdout, done.stderr, *lines, *map(small.text, tiles)]
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
def test_it_runs_through_a_link_in_a_directory_of_any_name(new_sandbox, name, settings):
    sandbox = new_sandbox(**settings)
    project = copy_of_project(sandbox.home / name / "my project")
    (sandbox.home / "first").symlink_to(project / "launch_tmux.sh")
    (sandbox.home / "second").symlink_to("first")
    terminal = Terminal(sandbox, "./second")
    terminal.shows_tiles()
    eventually(lambda: sandbox.consumed(), STARTUP, "numbers in tile C")
    topics = sandbox.run(project / "broker" / "kafka-topics", "--list")
    assert "numbers" in topics.stdout.split(), topics
    assert sandbox.run(sandbox.home / "second", "stop").stdout == "Stopped.\n"
    terminal.close()
    sandbox.wait_for_nothing()


def test_files_without_run_bits_start_with_bash_and_through_a_link(small):
    project = copy_of_project(small.home / "from an archive")
    for path in project.rglob("*"):
        if path.is_file() and not path.is_symlink():
            path.chmod(0o644)
    done = small.run("bash", project / "launch_tmux.sh")
    assert (done.returncode, done.stderr) == (0, "")
    small.wait_for_numbers()
    assert not small.tiles()["htop"].dead, small.text("htop")
    assert small.run("bash", project / "launch_tmux.sh", "stop").stdout == "Stopped.\n"
    install, link = project / "broker" / "install", small.home / "link"
    install.write_text('readlink -f "$0"; exit 3')
    commands = [path for path in project.glob("broker/*-*") if not path.suffix]
    others = [project / name for name in ("tests/run", "docs/record", ".ci/run", ".ci/lock")]
    for script in (*commands, *others):
        link.symlink_to(script)
        done = small.run("bash", link)
        link.unlink()
        assert (done.returncode, done.stdout, done.stderr) == (3, f"{install}\n", ""), script
