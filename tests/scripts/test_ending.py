"""How each script ends: by Ctrl-C wherever it is, and when nobody reads its output any more."""

import array
import fcntl
import os
import pty
import re
import signal
import subprocess
import sys
import termios
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from tests.support.client import write
from tests.support.process import InTerminal, Running, eventually, free_ports, hold, settings_for
from tests.support.proxy import Proxy
from tests.support.trio import SCRIPTS

# Seconds within which a script ends, on a busy machine too.
END = 2


def test_a_reader_that_leaves_ends_each_quietly(session):
    first_lines = {name: rb"[AB]: [01]  \(partition 0, offset \d\)\n" for name in SCRIPTS[:2]}
    for name, first_line in (first_lines | {"consumer_c.py": rb"A: 0\n"}).items():
        reading, writing = os.pipe()
        one = session.run(name, stdout=writing)
        os.close(writing)
        shown = os.read(reading, 5 if name == "consumer_c.py" else 100)
        assert re.fullmatch(first_line, shown), one
        os.close(reading)
        if name == "consumer_c.py":
            write(session.servers, session.topic, 100)
        else:
            producer = one
        assert one.ended(5) == 0, one
        assert not one.find("Traceback|Cannot|Broken")
    assert re.fullmatch(r"[AB]: (\d+) sent, \1 acknowledged\.", producer.err[-1])


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here: only Linux has it")
def test_each_says_that_its_output_is_full(session):
    write(session.servers, session.topic, 100)
    with open("/dev/full", "wb") as full:
        scripts = [session.run(name, stdout=full) for name in SCRIPTS]
    for one in scripts:
        assert one.ended(20) == 1, one
        assert one.find(r"^Cannot write to standard output: No space left on device\.$")
        assert not one.find("Traceback")
    session.run("consumer_c.py").said("A: 100")  # it was not printed, so it was not committed


def without(session, redirection: str, *words: str, **settings: str) -> Running:
    """A script whose standard output or error is closed, as `>&-` or `2>&-` does."""
    command = ("sh", "-c", f'exec "$@" {redirection}', "sh", sys.executable, *words)
    env = settings_for(session.servers, session.topic)
    return session.add(Running(*command, env=env | session.settings | settings))


def test_a_closed_output_ends_each_with_a_sentence_and_commits_nothing(session):
    for number in range(20):
        write(session.servers, session.topic, number, key="A" if number % 2 else None)
    for name in SCRIPTS:
        one = without(session, ">&-", name)
        assert one.ended(10) == 1, one
        assert len(one.err) == 1 and one.err[0].startswith("Standard output is closed"), one
    again = session.run("consumer_c.py")
    again.said("A: 19")
    assert len(again.out) == 20, again


def test_without_standard_error_only_numbers_are_printed(session):
    nobody = f"127.0.0.1:{free_ports(1)[0]}"
    silent = [without(session, "2>&-", n, KAFKA_BOOTSTRAP_SERVERS=nobody) for n in SCRIPTS]
    a, c = (without(session, "2>&-", name) for name in ("producer_a.py", "consumer_c.py"))
    a.said("A: 2 ")
    c.said("A: 2")
    for one in (*silent, a, c):
        assert one.stop() == 0, one
    assert [one.out for one in silent] == [[]] * 3, silent
    assert all(re.match("A: ", line) for one in (a, c) for line in one.out)


def test_a_key_that_the_output_cannot_encode_is_printed_as_the_consumer_prints_it(session):
    code = "from producer_utils import produce; produce(0.2, key='Ä')"
    one = session.run("-c", arguments=(code,), PYTHONIOENCODING="ascii")
    one.said(r"^\\xc4: 2  \(")
    assert one.stop() == 0, one
    assert not one.find("Traceback")


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_file_that_was_full_has_each_number_on_a_line_after_a_restart(
    session, tmp_path, unbuffered
):
    write(session.servers, session.topic, *range(10_000, 10_200))
    env = settings_for(session.servers, session.topic) | {"PYTHONUNBUFFERED": unbuffered}
    file, shell = tmp_path / "numbers", ("bash", "-c", 'ulimit -f "$1"; exec "${@:2}"', "bash")
    for limit in ("1", "unlimited"):
        with open(file, "ab") as output:
            command = (*shell, limit, sys.executable, "consumer_c.py")
            one = session.add(Running(*command, env=env, stdout=output))
        if limit == "1":  # KiB
            assert one.ended() == 1, one
    eventually(lambda: "A: 10199\n" in file.read_text(), 20, one)
    shown = file.read_text().splitlines()
    assert set(shown) == {f"A: {number}" for number in range(10_000, 10_200)}


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("blocking", [True, False], ids=["blocking", "non-blocking"])
def test_an_output_that_nobody_reads_for_a_while_loses_no_number(session, blocking, unbuffered):
    write(session.servers, session.topic, *range(10**200, 10**200 + 500))  # more than a pipe holds
    reading, writing = os.pipe()
    os.set_blocking(writing, blocking)
    one = session.run("consumer_c.py", stdout=writing, PYTHONUNBUFFERED=unbuffered)
    os.close(writing)
    eventually(lambda: unread(reading) > 60_000, 20, one)
    hold(0.5)  # it is blocked now, or has ended
    one.send(signal.SIGTERM)
    one.read_from(os.fdopen(reading, "rb"), one.out)
    assert one.ended() == (0 if blocking else 1), one
    whole = [line for line in one.out if len(line) == len(f"A: {10**200}")]
    assert len(whole) >= max(session.committed(), 0), f"{session.committed()} committed, {one}"
    assert blocking or one.find("^Cannot write to standard output: ")


def unread(pipe: int) -> int:
    """How many bytes wait in a pipe."""
    waiting = array.array("i", [0])
    fcntl.ioctl(pipe, termios.FIONREAD, waiting)
    return waiting[0]


def test_a_terminal_that_is_gone_ends_each_with_a_sentence(session):
    write(session.servers, session.topic, 100)
    shown_by = {"producer_a.py": b"A: 0 ", "producer_b.py": b"B: 1 ", "consumer_c.py": b"A: 100"}
    for number, (name, shown) in enumerate(shown_by.items(), 101):
        keyboard, terminal = pty.openpty()
        one = session.run(name, stdout=terminal)
        os.close(terminal)
        seen = bytearray()
        eventually(lambda k=keyboard, s=seen, w=shown: s.extend(os.read(k, 99)) or w in s, 20, one)
        os.close(keyboard)
        write(session.servers, session.topic, number)
        assert one.ended(5) == 1, one
        assert one.find(r"^Cannot write to standard output: Input/output error\.$"), one
        assert not one.find("Traceback")
    session.run("consumer_c.py").said("A: 103")  # it was not printed, so it was not committed


def interrupt(scripts: list[InTerminal]) -> None:
    """Type Ctrl-C in each terminal: each script ends in time, without a traceback."""
    for one in scripts:
        one.type(b"\x03")
        assert one.ends_within(END) == 0, one
        assert one.find("Interrupted!") and not one.find("Traceback"), one


@pytest.mark.parametrize("name", SCRIPTS)
def test_ctrl_c_ends_each_that_is_starting(session, name):
    session.servers = f"127.0.0.1:{free_ports(1)[0]}"
    for later in range(0, 100, 20):  # milliseconds
        one = session.in_terminal(name, PYTHONPROFILEIMPORTTIME="1")  # Python names its imports
        one.said(r"\| +_ssl$", 10)
        hold(later / 1000)
        one.type(b"\x03")
        assert one.ends_within(3 * END) == 0, one  # all is loaded first
        assert not one.find("Traceback"), one


def test_ctrl_c_ends_each_that_waits_for_its_broker(session):
    session.servers = f"127.0.0.1:{free_ports(1)[0]}"
    scripts = [session.in_terminal(name) for name in SCRIPTS]
    for one in scripts:
        one.said("connection refused")
    interrupt(scripts)
    for one in scripts:
        assert len(one.out) == 2 and one.out[-1].endswith("Interrupted!"), one


def test_ctrl_c_ends_each_that_is_connecting(session):
    scripts = []
    with ExitStack() as stack:
        for name in SCRIPTS:
            silent = stack.enter_context(closing(Proxy()))
            silent.turn("mute")
            scripts.append(session.in_terminal(name, KAFKA_BOOTSTRAP_SERVERS=silent.address))
            eventually(lambda silent=silent: silent.links, 10, "a connection of", scripts[-1])
        interrupt(scripts)


WITH_RESOLVER = """
mount --bind "$1" /etc/resolv.conf && ip link set lo up && ip route add 192.0.2.1 dev lo || exit 77
shift; exec "$@"
"""


def test_ctrl_c_ends_each_that_resolves_a_name(session, tmp_path):
    resolver = tmp_path / "resolv.conf"
    resolver.write_text("nameserver 192.0.2.1\n")  # no answer, and no refusal
    isolated = ["unshare", "-rmn", "sh", "-c", WITH_RESOLVER, "sh", str(resolver)]
    try:
        possible = subprocess.run([*isolated, "true"], capture_output=True).returncode == 0
    except FileNotFoundError:
        possible = False
    if not possible:
        pytest.skip("no network namespaces here (unshare -rmn, ip)")
    scripts = []
    for name in SCRIPTS:
        env = {"KAFKA_BOOTSTRAP_SERVERS": "broker.example:9092"}
        one = session.add(InTerminal(name, env, *isolated))
        questions = Path(f"/proc/{one.process.pid}/net/udp")
        eventually(lambda q=questions: ":0035 " in q.read_text(), 10, "a question of", one)
        scripts.append(one)
    interrupt(scripts)


def test_ctrl_c_ends_each_that_runs(session):
    scripts = [session.in_terminal(name) for name in SCRIPTS]
    for one in scripts:
        one.said(r"[AB]: \d")
    interrupt(scripts)


def test_ctrl_c_ends_a_consumer_held_up_by_ctrl_s(session):
    session.run("producer_a.py")
    consumer = session.in_terminal("consumer_c.py")
    consumer.said("A: 0")
    consumer.type(b"\x13")
    hold(2)
    interrupt([consumer])


def test_ctrl_c_again_and_again_ends_each_that_is_stopping(session):
    scripts = [session.in_terminal(name) for name in SCRIPTS]
    for one in scripts:
        one.said(r"[AB]: \d")
        for _ in range(10):
            if one.alive:
                one.type(b"\x03")
                hold(0.03)
        # -2: Python itself was ending already
        assert one.ends_within(END) in (0, 1, -2), one
        assert not one.find("Traceback"), one


def test_ctrl_c_ends_each_whose_broker_was_just_killed(own_broker, session):
    own_broker.start()
    session.servers = own_broker.servers
    a, b, c = scripts = [session.in_terminal(name) for name in SCRIPTS]
    for one in scripts:
        one.said(r"[AB]: \d")
    own_broker.kafka.kill()
    c.type(b"\x03")
    # 1 where the broker was killed between a number that it printed and its commit
    assert c.ends_within(END) == bool(c.find("could not be committed")), c
    assert not c.find("Traceback"), c
    hold(4.1)  # each producer has a number that waits, on a busy machine too
    for one in (a, b):
        one.type(b"\x03")
    for one in (a, b):
        assert one.ended(5) == 1, one
        assert one.find("unacknowledged") and not one.find("Traceback"), one


def test_a_second_ctrl_c_ends_a_producer_at_once(own_broker, session):
    own_broker.start()
    session.servers = own_broker.servers
    one = session.in_terminal("producer_a.py")
    one.said("A: 0 ")
    own_broker.kafka.send(signal.SIGSTOP)
    hold(2.5)  # a number is on its way
    one.type(b"\x03")
    one.said("Interrupted!")
    hold(0.5)
    one.type(b"\x03")
    assert one.ends_within(1.5) == 1
