"""Each script in a terminal of its own, before and after its broker is up."""

import fcntl
import os
import pty
import signal
import subprocess
import sys
import termios
import time

import pytest

from tests.support.process import PROJECT, Running, environment, eventually, hold

SCRIPTS = {"producer_a.py": r"A: 0 ", "producer_b.py": r"B: 1 ", "consumer_c.py": r"[AB]: \d"}


class InTerminal(Running):
    """A script whose output and input are a terminal, as a person runs it."""

    def __init__(self, name: str, env: dict[str, str], *wrapper: object) -> None:
        self.keyboard, terminal = pty.openpty()
        screen = {"stdin": terminal, "stdout": terminal, "preexec_fn": own_terminal}
        super().__init__(*wrapper, sys.executable, name, env=env, stderr=terminal, **screen)
        os.close(terminal)
        self.read_from(os.fdopen(os.dup(self.keyboard), "rb"), self.out)

    def type(self, keys: bytes) -> None:
        os.write(self.keyboard, keys)


def own_terminal() -> None:
    """Make standard input the controlling terminal, so that Ctrl-C means a signal."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


@pytest.fixture
def terminals(own_broker):
    started = []

    def start(name):
        started.append(InTerminal(name, own_broker.env))
        return started[-1]

    yield start
    for one in started:
        one.kill()


def test_started_before_the_broker_each_says_what_it_waits_for_and_goes_on(own_broker, terminals):
    scripts = {name: terminals(name) for name in SCRIPTS}
    waiting = f"Waiting for Kafka at localhost:{own_broker.port} (connection refused)."
    for one in scripts.values():
        eventually(lambda one=one: one.out == [waiting], 5, f"one line in {one}")
    own_broker.start()
    ready = time.monotonic()
    for name, first in SCRIPTS.items():
        scripts[name].said(first, ready + 5 - time.monotonic())
    for one in scripts.values():
        one.type(b"\x03")
        assert one.ended(1.5) == 0
        assert one.find("Interrupted!") and not one.find("Traceback")


@pytest.mark.parametrize("name", SCRIPTS)
def test_ctrl_c_ends_a_script_that_waits_for_its_broker(name, own_broker, terminals):
    one = terminals(name)
    one.said("connection refused")
    one.type(b"\x03")
    assert one.ended(1.5) == 0
    assert one.out[-1].endswith("Interrupted!")
    assert len(one.out) == 2, one


def test_an_unknown_host_is_named_as_the_reason():
    env = {"KAFKA_BOOTSTRAP_SERVERS": "no-such-host.invalid:9092"}
    one = Running(sys.executable, "producer_a.py", env=env)
    try:
        one.said(r"Waiting for Kafka at no-such-host\.invalid:9092 \(unknown host\)\.", 30)
        assert one.stop(seconds=1) == 0
    finally:
        one.kill()


@pytest.mark.parametrize("name", SCRIPTS)
def test_without_kafka_python_a_script_says_how_to_get_it(name):
    # -S: a Python that knows none of the installed packages
    command = [sys.executable, "-S", name]
    told = subprocess.run(command, cwd=PROJECT, env=environment(), capture_output=True, text=True)
    assert told.returncode == 1
    assert told.stderr.count("\n") == 1
    assert "pip install -r requirements.txt" in told.stderr


def test_a_second_ctrl_c_ends_a_producer_at_once(own_broker, terminals):
    own_broker.start()
    one = terminals("producer_a.py")
    one.said("A: 0 ")
    own_broker.kafka.send(signal.SIGSTOP)
    hold(2.5)  # a number is on its way
    one.type(b"\x03")
    one.said("Interrupted!")
    hold(0.5)
    one.type(b"\x03")
    assert one.ended(0.5) == 1


def test_a_topic_that_kafka_does_not_allow_is_named(run):
    one = run("producer_a.py", topic="my numbers")
    assert one.ended(10) == 1
    (said,) = one.err
    assert 'no topic of the name "my numbers"' in said and "KAFKA_TOPIC" in said
