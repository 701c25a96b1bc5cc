"""Each script at its start: before its broker is up, and without what it needs."""

import re
import sys
import time

import pytest

from tests.support.process import InTerminal, Running, eventually, hold, script

# Each script and what it prints first.
FIRST = {"producer_a.py": r"A: 0 ", "producer_b.py": r"B: 1 ", "consumer_c.py": r"[AB]: \d"}


def test_started_before_the_broker_each_says_what_it_waits_for_and_goes_on(own_broker, add):
    scripts = {name: add(InTerminal(name, own_broker.env)) for name in FIRST}
    waiting = f"Waiting for Kafka at 127.0.0.1:{own_broker.port} (connection refused)."
    for one in scripts.values():
        eventually(lambda one=one: one.out == [waiting], 5, f"one line in {one}")
    own_broker.start()
    ready = time.monotonic()
    for name, first in FIRST.items():
        scripts[name].said(first, max(1, ready + 10 - time.monotonic()))
    for one in scripts.values():
        one.type(b"\x03")
        assert one.ends_within(4) == 0
        assert one.find("Interrupted!") and not one.find("Traceback")


def test_reasons_that_take_turns_are_said_once_each(run, proxy):
    proxy.turn("close")
    one = run("consumer_c.py", servers=proxy.address)
    one.said("closed the connection")
    for mode in ("http", "close", "http"):
        proxy.turn(mode)
        hold(2)
    one.said("not a Kafka broker")
    assert len(one.err) == 2, one


@pytest.mark.parametrize(
    ("protocol", "reason"),
    [("PLAINTEXT", "its answers are not those of a Kafka"), ("SSL", "this port does not use TLS")],
)
def test_a_port_that_echoes_is_no_kafka(run, proxy, protocol, reason):
    proxy.turn("echo")
    one = run("producer_b.py", servers=proxy.address, KAFKA_SECURITY_PROTOCOL=protocol)
    one.said(rf"^Waiting for Kafka at {proxy.address} \({reason}")


@pytest.mark.parametrize("name", FIRST)
def test_the_port_of_a_controller_is_named_and_the_script_ends(kraft, topic, add, name):
    said = add(script(name, kraft.at("CONTROLLER"), topic)).refused(4)
    wrong = r"Kafka at localhost:\d+ cannot be used: this is a KRaft controller's port: name"
    assert re.match(wrong, said), said


@pytest.mark.parametrize("name", FIRST)
def test_without_kafka_python_a_script_says_how_to_get_it(name, add):
    one = add(Running(sys.executable, "-S", name))  # a Python without the installed packages
    assert "pip install -r requirements.txt" in one.refused()


def test_a_topic_that_kafka_does_not_allow_is_named(run):
    said = run("producer_a.py", topic="my numbers").refused(10)
    assert 'not allow the topic name "my numbers"' in said and "KAFKA_TOPIC" in said
