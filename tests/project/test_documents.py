"""The documents, followed by a reader who types their commands and compares the output.

In README.md and docs/experiments.md a block `sh` is typed, line by line, and a block `text` after
it is what a screen shows from then on, figures aside; a line `>word` in it is typed at a program's
own prompt. All others are parts of files. A comment before a block says how else it is treated:

    <!-- each line in a terminal of its own -->
    <!-- repeated -->, until what follows is shown
    <!-- these figures -->
    <!-- Ctrl-C in each terminal, the last one first -->
    <!-- Ctrl-C in the last terminal -->, or: the last 4 terminals
    <!-- Ctrl-C in the terminals of producer_a.py and consumer_c.py -->
    <!-- write it to producer_d.py -->
    <!-- run by tests/project/test_launcher.py -->
    <!-- not run: the reason -->
"""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from functools import partial
from textwrap import dedent

import psutil
import pytest

from tests.support.process import PROJECT, eventually, free_ports
from tests.support.tmux import STARTUP, Sandbox, Terminal
from tests.support.trio import SCRIPTS

TYPED = ("README.md", "docs/experiments.md")
PAGES = (*TYPED, "docs/clusters.md", "docs/notes.md", "CONTRIBUTING.md", "tests/README.md")

# The lab's experiments that one reader does; others do the rest at the same time.
SHARES = ((1, 2, 3), (4, 5, 6, 7, 8, 9, 10, 11), (12,), (13,), (14,))

EXPERIMENT = re.compile(r"^## (\d+)\. ", re.M)
PART = re.compile(r"^ *<!-- (.*?) -->$|^( *)```(\w*)\n(.*?)^ *```$", re.M | re.S)

# These install and start a lot, for minutes.
ELSEWHERE = {"tests/run", ".venv/bin/python -m tests.benchmark"}


def parts(page: str, experiments: tuple[int, ...] = ()) -> Iterator[tuple[str, str, list[str]]]:
    """Comment, language and lines of each block; of a comment that stands alone, only that.

    With numbers of experiments: what precedes the first one, and these.
    """
    text = (PROJECT / page).read_text()
    if experiments:
        start, *numbered = EXPERIMENT.split(text)
        found = dict(zip(map(int, numbered[::2]), numbered[1::2], strict=True))
        text = start + "".join(found[number] for number in experiments)
    comment = ""
    for note, indent, language, body in PART.findall(text):
        if note:
            if comment:
                yield comment, "", []
            comment = note
            continue
        yield comment, language, [line.removeprefix(indent) for line in body.splitlines()]
        comment = ""
    if comment:
        yield comment, "", []


class Reader:
    """A reader in an empty directory, with as many terminals as needed."""

    def __init__(self) -> None:
        # The pages' ports may be taken on this machine.
        self.ports = dict(zip(("9093", "9094"), map(str, free_ports(2)), strict=True))
        own = {"BROKER_DATA": "", "CONTROLLER_PORT": self.ports["9093"], "HISTFILE": ""}
        self.sandbox = Sandbox(**own)
        self.ports["9092"] = str(self.sandbox.broker_port)
        (self.sandbox.home / ".gitconfig").write_text("[safe]\n\tdirectory = *\n")
        self.project = self.sandbox.home / "numbers"
        self.terminals: list[Terminal] = []
        self.typed: dict[Terminal, str] = {}  # the last line
        self.prompts: dict[Terminal, int] = {}  # shown when it was typed
        self.before: list[str] = []  # what the terminals showed then

    def open(self) -> Terminal:
        """A new terminal, in the project once it is cloned; its prompt shows the last status."""
        where = self.project if self.project.exists() else self.sandbox.home
        shell = f"cd {where} && exec env PS1='\\n[$?] ' bash --norc --noprofile"
        self.terminals.append(Terminal(self.sandbox, "sh", "-c", shell))
        eventually(lambda: statuses(self.terminals[-1]), STARTUP, "a prompt")
        return self.terminals[-1]

    def type(self, lines: list[str], each_alone: bool) -> None:
        """Type commands; return when the last one is under way."""
        for one in [one for one in self.terminals if self.at_prompt(one)]:
            one.close()
            self.terminals.remove(one)
        self.before = self.shown()
        terminal = None
        for line in lines:
            if terminal and not each_alone:
                self.succeeds(terminal)
            if not terminal or each_alone:
                terminal = self.open()
            if line.startswith("./") and not (self.project / ".venv").exists():
                self.install()
            self.enter(terminal, line.replace("<this repository>", f"'{PROJECT}'"))

    def write(self, name: str, lines: list[str]) -> None:
        """Write a file that a page shows."""
        (self.project / name).write_text(self.with_own_ports("\n".join(lines) + "\n"))

    def with_own_ports(self, text: str) -> str:
        """A text with its sandbox's ports in place of the pages'."""
        return re.sub(r"\b909[234]\b", lambda port: self.ports[port[0]], text)

    def enter(self, terminal: Terminal, line: str) -> None:
        """Type a line."""
        line = self.with_own_ports(line)
        self.typed[terminal], self.prompts[terminal] = line, len(statuses(terminal))
        terminal.type("-l", line)
        terminal.type("Enter")

    def install(self) -> None:
        """What a first start would fetch, as test_install.py shows; and uncommitted edits."""
        (self.project / ".kafka").mkdir()
        for installed in (".venv", ".kafka/jars"):
            (self.project / installed).symlink_to(PROJECT / installed)
        listed = ["git", "-C", str(PROJECT), "ls-files", "-z", "--modified", "--others"]
        edited = subprocess.run([*listed, "--exclude-standard"], check=True, capture_output=True)
        for name in filter(None, os.fsdecode(edited.stdout).split("\0")):
            if (PROJECT / name).is_file():
                (self.project / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(PROJECT / name, self.project / name)

    def sees(self, lines: list[str], any_figures: bool = True) -> None:
        """Return when each line is newly on a screen; type the lines that have a prompt."""
        for line in filter(None, lines):
            if line.startswith(">"):
                self.enter(self.prompting(), line[1:])
            else:
                pattern = as_pattern(line, any_figures)
                eventually(partial(self.on_screen, pattern), STARTUP, repr(line), "in", self)

    def repeat(self, commands: list[str], lines: list[str], any_figures: bool) -> None:
        """Type the commands until each line is shown."""
        patterns = [as_pattern(line, any_figures) for line in lines]

        def shown() -> bool:
            self.type(commands, False)
            self.succeeds(self.terminals[-1])
            return all(self.on_screen(pattern) for pattern in patterns)

        eventually(shown, STARTUP, lines, "in", self)

    def prompting(self) -> Terminal:
        """The terminal whose program asks for a line."""

        def asking() -> list[Terminal]:
            return [one for one in self.terminals if text(one).rstrip().endswith("\n>")]

        return eventually(asking, STARTUP, "a prompt > in", self)[0]

    def on_screen(self, pattern: re.Pattern) -> bool:
        """Whether a terminal shows a line that none showed before the last command."""
        now, then = (
            {match[0] for shown in screens for match in pattern.finditer(shown)}
            for screens in (self.shown(), self.before)
        )
        return bool(now - then)

    def shown(self) -> list[str]:
        """What each terminal shows, with single spaces."""
        return [re.sub(r"[ \t]+", " ", text(one)) for one in self.terminals]

    def at_prompt(self, terminal: Terminal) -> bool:
        """Whether what was typed last has ended, so that nothing runs in the terminal."""
        shown = statuses(terminal)  # among them `[1] 5726` of a background job: count and look
        waiting = re.search(r"^\[\d+\]\Z", text(terminal).rstrip(), re.M)
        return bool(waiting) and len(shown) > self.prompts.get(terminal, 0)

    def succeeds(self, terminal: Terminal) -> None:
        """Return when the command typed last has ended well."""
        eventually(lambda: self.at_prompt(terminal), STARTUP, "an end of", text(terminal))
        assert statuses(terminal)[-1] == "0", text(terminal)

    def interrupt(self, which: str) -> None:
        """Ctrl-C, the last first, in `each`, `the last 4` or `the terminals of A and B`."""
        self.before = self.shown()
        running = [one for one in reversed(self.terminals) if not self.at_prompt(one)]
        if which.startswith("the terminals of"):
            names = which.removeprefix("the terminals of").split(" and ")
            running = [one for one in running if any(n.strip() in self.typed[one] for n in names)]
        elif last := re.match(r"the last (\d*)", which):
            running = running[: int(last[1] or 1)]
        assert running, f"nothing runs in {which}: {self}"
        for one in running:
            # Python needs a moment before it can be interrupted without a traceback.
            eventually(partial(output, one), STARTUP, "some output in", self)
            one.type("C-c")
            eventually(partial(self.at_prompt, one), STARTUP, "an end of", self)
            assert "Traceback" not in text(one), text(one)

    def __repr__(self) -> str:
        return "\n=====\n".join(text(one).strip() for one in self.terminals)


def text(terminal: Terminal) -> str:
    """All that a terminal shows and has shown, but for the echo of Ctrl-C."""
    return terminal.outer_tmux("capture-pane", "-p", "-J", "-S", "-").replace("^C", "")


def statuses(terminal: Terminal) -> list[str]:
    """The exit statuses that its prompts tell, the last of which may still wait for a command."""
    return re.findall(r"^\[(\d+)\] ", text(terminal) + " ", re.M)


def output(terminal: Terminal) -> str:
    """What is shown below the line that was typed last."""
    return re.split(r"^\[\d+\] .*$", text(terminal), flags=re.M)[-1].strip()


def as_pattern(line: str, any_figures: bool = True) -> re.Pattern:
    """A line as a page shows it, or with other figures; `…` stands for anything."""
    line = re.escape(re.sub(r"[ \t]+", " ", line).strip()).replace("…", ".*")
    if any_figures:
        line = re.sub(r"\d+", r"\\d+", line)
    # A line of the screen or of a tile; the tile beside it may show the same.
    return re.compile(rf"(^|(?<=│)) ?{line} ?(?=$|│)", re.M)


@pytest.fixture
def reader() -> Iterator[Reader]:
    """A reader whose sandbox is gone after the test."""
    reader = Reader()
    with reader.sandbox:
        yield reader


def servers(reader: Reader) -> list[psutil.Process]:
    """ZooKeeper and the brokers that run in a reader's sandbox."""
    return [one for one in reader.sandbox.processes() if one.name() == "java"]


def left(reader: Reader) -> set[str]:
    """What the files in a reader's home are in."""
    home = reader.sandbox.home
    return {one.relative_to(home).parts[0] for one in home.rglob("*") if one.is_file()}


def read(reader: Reader, page: str, experiments: tuple[int, ...] = ()) -> None:
    """Do what a page says, from top to bottom, or only some experiments."""
    repeated: list[str] = []
    for comment, language, lines in parts(page, experiments):
        if comment.startswith("Ctrl-C in "):
            reader.interrupt(comment.removeprefix("Ctrl-C in "))
        if comment.startswith("write"):
            reader.write(comment.split()[-1], lines)
        if language == "text":
            any_figures = comment != "these figures"
            if repeated:
                reader.repeat(repeated, lines, any_figures)
            reader.sees(lines, any_figures)
            repeated = []
        if language != "sh" or "\n".join(lines) in ELSEWHERE:
            continue
        if comment.startswith(("not run", "run by")):
            continue
        if comment == "repeated":
            repeated = lines
            continue
        reader.type(lines, comment.startswith("each line"))
        assert "Traceback" not in repr(reader), reader
    reader.succeeds(reader.terminals[-1])


def test_what_a_reader_copies_works_and_shows_what_is_shown(reader, cloneable, ours_to_stop):
    read(reader, "README.md")
    assert left(reader) <= {"outer.conf", ".gitconfig"}
    eventually(lambda: not servers(reader), 10, "no server left")


@pytest.mark.parametrize("experiments", SHARES, ids=lambda share: f"{share[0]}-{share[-1]}")
def test_what_a_reader_copies_from_the_lab_works(reader, cloneable, experiments, ours_to_stop):
    (start, _), *_ = (lines for _, language, lines in parts("README.md") if language == "sh")
    reader.type([start], False)
    reader.succeeds(reader.terminals[-1])
    read(reader, "docs/experiments.md", experiments)
    if servers(reader):
        reader.type(["./launch_tmux.sh stop"], False)
        reader.sees(["Stopped."])
    assert left(reader) <= {"outer.conf", ".gitconfig", "numbers"}
    eventually(lambda: not servers(reader), 10, "no server left")


@pytest.mark.parametrize("page", PAGES)
def test_each_block_says_what_it_is(page):
    known = r"not run: .+|run by tests/\S+|each line in a terminal|repeated$|these figures$|write"
    known += r"|Ctrl-C in (each|the last|the terminals of)"
    for comment, language, lines in parts(page):
        assert language or not lines, f"a block without a language: {lines}"
        assert not comment or re.match(known, comment), comment
        typed = page in TYPED or comment.startswith(("not run", "run by"))
        assert typed or language != "sh" or "\n".join(lines) in ELSEWHERE, lines
        # zsh, the shell of macOS, takes a comment for arguments.
        assert language != "sh" or not re.search(r"(^|\s)# ", "\n".join(lines)), lines


NOT_TYPED = [c for page in PAGES for c, _, _ in parts(page) if c.startswith(("not", "run"))]


@pytest.mark.parametrize("comment", NOT_TYPED)
def test_a_block_that_is_not_typed_is_run_elsewhere_or_says_why(comment):
    where, _, reason = comment.partition(": ")
    if where == "not run":
        pytest.skip(reason)
    assert (PROJECT / where.removeprefix("run by ")).is_file()


def test_the_code_shown_is_the_code_of_the_scripts():
    shown = [lines for _, language, lines in parts("README.md") if language == "python"]
    names = (*SCRIPTS, "producer_utils.py", "kafka_utils.py")
    files = {name: (PROJECT / name).read_text().splitlines() for name in names}
    assert len(shown) == 5
    assert shown[0] == files["producer_a.py"]
    for code in shown:
        assert any(is_part(code, lines) for lines in files.values()), code


def is_part(code: list[str], lines: list[str]) -> bool:
    """Whether code stands in a file, line for line, however far it is indented there.

    What precedes the call of a constructor there, as in `return`, is left out.
    """
    starts = range(len(lines) - len(code) + 1)
    there = (dedent("\n".join(lines[start : start + len(code)])) for start in starts)
    return any(text.removeprefix("return ") == "\n".join(code) for text in there)


@pytest.mark.parametrize("page", PAGES)
def test_each_link_inside_the_project_resolves(page):
    links = re.findall(r"\]\(([^)\s]+)\)", (PROJECT / page).read_text())
    inside = [link.split("#")[0] for link in links if not re.match(r"\w+://", link)]
    broken = [link for link in inside if not ((PROJECT / page).parent / link).exists()]
    assert not broken
