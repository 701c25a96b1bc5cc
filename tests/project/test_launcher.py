"""The launcher as a user meets it: in terminals, with a broker of its own."""

import os
import re
import signal
import subprocess
from collections.abc import Iterator

import psutil
import pytest

from tests.support.process import eventually
from tests.support.tmux import (
    LAUNCHER,
    PERSON,
    REDRAW,
    STARTUP,
    TITLES,
    TRIO,
    Sandbox,
    Terminal,
)


@pytest.fixture(scope="module")
def started() -> Iterator[tuple[Sandbox, Terminal]]:
    """A sandbox where the launcher was started in a terminal of 80 columns and 24 rows."""
    with Sandbox(COLUMNS="200", LINES="50") as sandbox:  # of the terminal where pytest runs
        terminal = Terminal(sandbox, LAUNCHER, size=(80, 24))
        terminal.shows_tiles()
        eventually(lambda: sandbox.consumed() >= {"A: 0", "B: 1"}, STARTUP, "numbers in tile C")
        yield sandbox, terminal


# What is on the screen


def test_tiles_are_three_by_two_and_titled_on_their_borders(started):
    sandbox, terminal = started
    tiles = sandbox.tiles()
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
    sandbox, terminal = started
    terminal.resize(*size)
    eventually(lambda: equal_and_filling(sandbox, *size), REDRAW, f"equal tiles that fill {size}")


def equal_and_filling(sandbox: Sandbox, columns: int, rows: int) -> bool:
    """Whether six equal tiles fill a terminal of this size."""
    tiles = sandbox.tiles()
    widths = [tiles[title].width for title in TITLES]
    heights = [tiles[title].height for title in TITLES]
    # Beside the tiles: two lines between columns, two rows of titles, the status line.
    filling = sum(widths[:3]) + 2 == columns and heights[0] + heights[3] + 3 == rows
    return filling and max(widths) - min(widths) <= 1 and max(heights) - min(heights) <= 1


def test_an_enlarged_tile_stays_enlarged_at_a_new_size_and_shrinks_to_equal_tiles(started):
    sandbox, terminal = started
    terminal.type("C-b", "z")
    eventually(lambda: shown(sandbox, "window_zoomed_flag") == "1", REDRAW, "an enlarged tile")
    terminal.resize(150, 45)
    eventually(lambda: shown(sandbox, "window_width") == "150", REDRAW, "the new size")
    assert shown(sandbox, "window_zoomed_flag") == "1"
    terminal.type("C-b", "z")
    eventually(lambda: equal_and_filling(sandbox, 150, 45), REDRAW, "equal tiles")


def shown(sandbox: Sandbox, name: str) -> str:
    """The value of a variable of tmux, for the active tile."""
    return sandbox.tmux("display-message", "-p", "-t", "numbers:numbers", f"#{{{name}}}").strip()


def test_numbers_arrive_in_tile_c(started):
    sandbox, _ = started
    sandbox.wait_for_numbers()


def test_each_tile_is_the_program_itself(started):
    sandbox, _ = started
    names = [psutil.Process(tile.pid).name() for tile in sandbox.tiles().values()]
    assert names[:3] == ["java", "java", "htop"]
    assert all(name.lower().startswith("python") for name in names[3:])  # Python on macOS


def test_htop_shows_the_programs_of_the_tiles_by_name(started):
    sandbox, terminal = started
    terminal.resize(120, 120)  # room for others of such names
    scripts = [f"python -E {name}" for name in ("consumer_c.py", "producer_b.py", "producer_a.py")]

    def all_listed() -> bool:
        shown = sandbox.tmux("capture-pane", "-p", "-t", sandbox.tiles()["htop"].pane)
        programs = [*scripts, "zookeeper -", "kafka -"]
        return all(re.search(rf"^ *\d+\.\d {one}", shown, re.M) for one in programs)

    eventually(all_listed, REDRAW, "all programs in htop's tile")


def test_a_click_selects_a_tile_and_the_wheel_scrolls_it(started):
    sandbox, terminal = started
    kafka = sandbox.tiles()["Kafka"]
    place = kafka.left + 3, kafka.top + 3
    terminal.click(*place)
    eventually(lambda: shown(sandbox, "@title") == "Kafka", REDRAW, "the tile that was clicked")
    terminal.click(*place, button=64)
    eventually(lambda: shown(sandbox, "pane_in_mode") == "1", REDRAW, "a tile that scrolls")
    terminal.click(*place, button=64)
    eventually(lambda: shown(sandbox, "scroll_position") not in ("", "0"), REDRAW, "older lines")
    terminal.type("q")
    eventually(lambda: shown(sandbox, "pane_in_mode") == "0", REDRAW, "the newest lines")


def test_a_tile_says_how_to_start_its_program_again_and_that_works(started):
    sandbox, terminal = started
    terminal.resize(120, 40)
    former = sandbox.tiles()["Producer B"].pid
    os.kill(former, signal.SIGKILL)
    terminal.shows("C-b :respawnp -t .4")
    assert sandbox.tiles()["Producer B"].dead
    assert "B: 1 " in sandbox.text("Producer B")
    terminal.type("C-b", ":")
    eventually(lambda: re.search(r"^:", terminal.screen(), re.M), REDRAW, "tmux's prompt")
    terminal.type("respawnp -t .4", "Enter")
    eventually(lambda: not sandbox.tiles()["Producer B"].dead, REDRAW, "the producer to run again")
    assert sandbox.tiles()["Producer B"].pid != former
    sandbox.wait_for_numbers()


# Started again


def test_second_start_attaches_and_a_closed_terminal_only_detaches(started):
    sandbox, _ = started
    before = sandbox.tiles()
    second = Terminal(sandbox, LAUNCHER, size=(100, 30))
    eventually(lambda: sandbox.clients() == 2, REDRAW, "a second terminal")
    second.shows_tiles()
    second.close()
    eventually(lambda: sandbox.clients() == 1, REDRAW, "one attached terminal")
    assert [t.pid for t in sandbox.tiles().values()] == [t.pid for t in before.values()]
    sandbox.wait_for_numbers()


def test_ctrl_b_d_leaves_the_tiles_running(started):
    sandbox, _ = started
    terminal = Terminal(sandbox, "sh", "-c", f"'{LAUNCHER}'; echo status $?; cat")
    terminal.shows_tiles()
    terminal.type("C-b", "d")
    terminal.shows("status 0")
    assert "[detached" in terminal.screen()
    terminal.close()
    sandbox.wait_for_numbers()


@pytest.mark.parametrize("term", ["screen", "no-such-terminal"])
def test_inside_tmux_the_tiles_come_in_place_and_say_which_prefix_reaches_them(started, term):
    sandbox, _ = started
    terminal = Terminal(sandbox, "tmux", "new-session", "-s", "mine", "env", "sh", size=(120, 40))
    eventually(lambda: sandbox.clients(PERSON) == 1, REDRAW, "a terminal in their own session")
    terminal.type(f"TERM={term} '{LAUNCHER}'", "Enter")
    terminal.shows_tiles()
    terminal.shows("C-b C-b: tiles")
    windows = sandbox.tmux("list-panes", "-a", server=PERSON)
    assert len(windows.splitlines()) == 1
    terminal.type("C-b", "C-b", "d")
    eventually(lambda: sandbox.clients() == 1, REDRAW, "the tiles left")
    assert sandbox.clients(PERSON) == 1
    sandbox.end_tmux(PERSON)
    terminal.close()


def test_inside_tmux_with_another_prefix_one_prefix_is_enough(started):
    sandbox, _ = started
    (sandbox.home / ".tmux.conf").write_text("set -g prefix C-a\n")
    terminal = Terminal(sandbox, "tmux", "new-session", "-s", "mine", "env", "sh", size=(120, 40))
    eventually(lambda: sandbox.clients(PERSON) == 1, REDRAW, "a terminal in their own session")
    terminal.type(f"'{LAUNCHER}'", "Enter")
    terminal.shows_tiles()
    terminal.shows("C-b d leaves")
    terminal.type("C-b", "d")
    eventually(lambda: sandbox.clients() == 1, REDRAW, "the tiles left")
    sandbox.end_tmux(PERSON)
    terminal.close()


def test_start_without_terminal_says_how_to_see_and_to_stop_it(started):
    sandbox, _ = started
    done = sandbox.launch()
    assert (done.returncode, done.stderr) == (0, "")
    quoted = str(LAUNCHER).replace(" ", "\\ ")
    assert re.search(rf"To see it, in a terminal: {re.escape(quoted)}$", done.stdout, re.M)
    assert f"{quoted} stop\n" in done.stdout


def test_a_terminal_that_cannot_show_tiles_is_told_how_to_see_them(started):
    sandbox, _ = started
    terminal = Terminal(sandbox, LAUNCHER, TERM="dumb")
    terminal.shows("To stop it")
    terminal.close()


@pytest.mark.parametrize("term", ["xterm-ghostty", "no-such-terminal"])
def test_a_terminal_of_a_type_that_the_machine_does_not_know_shows_the_tiles(started, term):
    sandbox, _ = started
    terminal = Terminal(sandbox, LAUNCHER, TERM=term)
    terminal.shows_tiles()
    terminal.close()


def test_stale_tmux_variables_do_not_matter(started):
    sandbox, _ = started
    stale = {"TMUX": f"{sandbox.home}/gone/default,1,0", "TMUX_PANE": "%77"}
    inherited = {"TMUX": f"{sandbox.home}/tmux-{os.getuid()}/numbers,1,0", "TMUX_PANE": "%0"}
    for variables in (stale, inherited):
        terminal = Terminal(sandbox, LAUNCHER, **variables)
        terminal.shows_tiles()
        terminal.close()


def test_typed_in_a_tile_it_says_that_the_system_is_running(started):
    sandbox, terminal = started
    sandbox.tmux("new-window", "-t", "numbers:", "sh")
    terminal.type(f"'{LAUNCHER}'", "Enter")
    terminal.shows("The system is running.")
    sandbox.tmux("kill-window")
    terminal.shows_tiles()


def test_two_starts_at_once_make_one_set_of_tiles(small):
    command = dict(env=small.env, stdin=subprocess.DEVNULL, text=True, stdout=subprocess.PIPE)
    both = [subprocess.Popen([LAUNCHER], **command) for _ in range(2)]
    said = [one.communicate(timeout=STARTUP)[0] for one in both]
    assert all("The system is running." in text for text in said)
    assert [one.returncode for one in both] == [0, 0]
    assert list(small.tiles()) == ["htop", *TRIO]


def test_unknown_arguments_show_the_usage_and_status_2(sandbox):
    usage = sandbox.launch("--help")
    assert (usage.returncode, usage.stderr) == (0, "")
    for arguments in (["start"], ["stop", "now"], ["-x"]):
        done = sandbox.launch(*arguments)
        assert (done.returncode, done.stdout, done.stderr) == (2, "", usage.stdout)
