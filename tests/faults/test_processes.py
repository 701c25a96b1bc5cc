"""What may happen to the scripts themselves: killed, stopped, held up, cut off, interrupted."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from uuid import uuid4

import pytest
from confluent_kafka import ConsumerGroupTopicPartitions, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from tests.scripts.test_scripts import InTerminal
from tests.support.account import account, calm, in_topic
from tests.support.process import Running, eventually, free_ports, hold, script
from tests.support.proxy import Proxy

pytestmark = pytest.mark.timeout(120)

SCRIPTS = ("producer_a.py", "producer_b.py", "consumer_c.py")

# Seconds: what Kafka takes to give up a member of the group that was killed, and some more.
TAKEN_OVER = 12

# Seconds within which a script is to end.
END = 1


class Play:
    """Scripts on a topic and in a group of their own."""

    def __init__(self, servers: str, name: str, full: bool, stack: ExitStack) -> None:
        self.servers, self.full, self.stack = servers, full, stack
        self.topic = f"{name[:60]}-{uuid4().hex[:6]}"
        self.settings = {"KAFKA_GROUP_ID": self.topic}
        self.all: list[Running] = []

    def run(self, name: str, **settings) -> Running:
        """A script, ended with the test."""
        return self.add(script(name, self.servers, self.topic, **self.settings | settings))

    def in_terminal(self, name: str, **settings: str) -> InTerminal:
        """A script in a terminal, ended with the test."""
        env = {"KAFKA_BOOTSTRAP_SERVERS": self.servers, "KAFKA_TOPIC": self.topic}
        return self.add(InTerminal(name, env | self.settings | settings))

    def add(self, one: Running) -> Running:
        self.all.append(one)
        self.stack.callback(one.kill)
        return one

    def members(self) -> int:
        """How many members the group has, as the broker sees it."""
        admin = AdminClient({"bootstrap.servers": self.servers})
        groups = admin.describe_consumer_groups([self.topic], request_timeout=10)
        return len(groups[self.topic].result().members)

    def committed(self) -> int:
        """The offset that the group has committed."""
        admin = AdminClient({"bootstrap.servers": self.servers})
        asked = ConsumerGroupTopicPartitions(self.topic, [TopicPartition(self.topic, 0)])
        answer = admin.list_consumer_group_offsets([asked], request_timeout=10)
        return answer[self.topic].result().topic_partitions[0].offset

    def delete_group(self) -> None:
        """Make Kafka forget the group, and with it what is committed."""
        admin = AdminClient({"bootstrap.servers": self.servers})
        admin.delete_consumer_groups([self.topic])[self.topic].result(10)

    def settle(self, *consumers: Running, twice_allowed: int = 0) -> None:
        """Stop the producers and account for every number."""
        producers = [one for one in self.all if one not in consumers]
        assert [one.stop(seconds=5) for one in producers] == [0] * len(producers), producers
        account(producers, list(consumers), self.servers, self.topic, twice_allowed)
        assert not any(one.find("Traceback") for one in self.all)


CASES: dict[str, Callable[[Play], None]] = {}


def at_once(case: Callable[[Play], None]) -> Callable:
    """Make a test of a case that mostly waits: it runs at the same time as the others of them."""
    CASES[case.__name__] = case

    def test(outcomes: dict[str, Future]) -> None:
        outcomes[case.__name__].result()

    return test


@pytest.fixture(scope="module")
def outcomes(request, broker, full) -> Iterator[dict[str, Future]]:
    """The outcome of every case that is wanted, all at the same time."""
    wanted = [item.name for item in request.session.items if item.module is request.module]
    with ExitStack() as stack, ThreadPoolExecutor(len(CASES)) as pool:
        yield {
            name: pool.submit(case, Play(broker.servers, name, full, stack))
            for name, case in CASES.items()
            if name in wanted
        }


@pytest.fixture
def play(request, broker, full) -> Iterator[Play]:
    """Scripts of a test that runs alone, against the shared broker."""
    with ExitStack() as stack:
        yield Play(broker.servers, request.node.name.partition("[")[0], full, stack)


def goes_on(one: Running, seconds: float) -> None:
    """The script prints something new before long."""
    count = len(one.out)
    eventually(lambda: len(one.out) > count, seconds, "something new from", one)


@at_once
def test_a_consumer_killed_and_started_again_misses_nothing(play):
    play.run("producer_a.py"), play.run("producer_b.py")
    killed = play.run("consumer_c.py")
    killed.said("A: 2")
    eventually(lambda: play.committed() >= 2, 10, "a commit of", killed)
    killed.kill()
    again = play.run("consumer_c.py")
    again.said(r"[AB]: \d", TAKEN_OVER)
    goes_on(again, 5)
    play.settle(killed, again, twice_allowed=3)


@at_once
def test_of_two_consumers_one_takes_over_when_the_other_is_killed(play):
    play.run("producer_a.py"), play.run("producer_b.py")
    pair = play.run("consumer_c.py"), play.run("consumer_c.py")
    idle = eventually(lambda: next((c for c in pair if c.find("standing by")), None), 20, *pair)
    busy = pair[idle is pair[0]]
    goes_on(busy, 5)
    eventually(lambda: play.committed() >= 2, 10, "a commit of", busy)
    busy.kill()
    goes_on(idle, TAKEN_OVER)
    play.settle(*pair, twice_allowed=3)


@at_once
def test_a_consumer_stopped_for_longer_than_its_session_goes_on(play):
    play.run("producer_a.py"), play.run("producer_b.py")
    short = {} if play.full else {"KAFKA_SESSION_TIMEOUT_MS": "6000"}
    consumer = play.run("consumer_c.py", **short)
    consumer.said("A: 2")
    consumer.send(signal.SIGSTOP)
    hold(15 if play.full else 7)
    eventually(lambda: play.members() == 0, 5, "no member in the group of", consumer)
    consumer.send(signal.SIGCONT)
    goes_on(consumer, 5)
    with calm(consumer):
        hold(10 if play.full else 4)
    goes_on(consumer, 5)
    play.settle(consumer)
    assert consumer.stop(seconds=END) == 0


@at_once
def test_a_consumer_whose_group_was_deleted_goes_on_where_it_was(play):
    write(play, 100)
    consumer = play.run("consumer_c.py", KAFKA_SESSION_TIMEOUT_MS="6000")
    consumer.said("A: 100")
    eventually(lambda: play.committed() == 1, 10, "a commit of", consumer)
    consumer.send(signal.SIGSTOP)
    eventually(lambda: play.members() == 0, 20, "no member in the group of", consumer)
    play.delete_group()
    consumer.send(signal.SIGCONT)
    eventually(lambda: play.members() == 1, 10, "a member again:", consumer)
    write(play, 102)
    consumer.said("A: 102")
    assert consumer.out == ["A: 100", "A: 102"]


@at_once
def test_a_consumer_held_up_by_ctrl_s_for_longer_than_its_poll_interval_goes_on(play):
    play.run("producer_a.py"), play.run("producer_b.py")
    short = {"KAFKA_MAX_POLL_INTERVAL_MS": "11000" if play.full else "4000"}
    if not play.full:
        short["KAFKA_SESSION_TIMEOUT_MS"] = "6000"
    consumer = play.in_terminal("consumer_c.py", **short)
    consumer.said("A: 2")
    consumer.type(b"\x13")
    hold(20 if play.full else 7)
    eventually(lambda: play.members() == 0, 5, "no member in the group of", consumer)
    held = len(consumer.out)
    consumer.type(b"\x11")
    eventually(lambda: len(consumer.out) > held + 5, 10, consumer)
    play.settle(consumer)
    consumer.type(b"\x03")
    assert consumer.ended(END) == 0


@at_once
def test_a_consumer_that_waits_for_one_held_up_to_join_the_group_waits_quietly(play):
    play.run("producer_a.py"), play.run("producer_b.py")
    first = play.in_terminal("consumer_c.py")
    first.said("A: 2")
    first.type(b"\x13")
    second = play.run("consumer_c.py")
    second.said("Reading topic")
    with calm(second):
        hold(25 if play.full else 13)  # longer than it waits for an answer
    assert len(second.err) == 1, second
    first.type(b"\x11")
    second.said("standing by|Reading partition", 5)
    play.settle(first, second)


@at_once
def test_producers_stopped_for_a_while_make_no_burst(play):
    producers = {"A": play.run("producer_a.py"), "B": play.run("producer_b.py")}
    for key, one in producers.items():
        one.said(rf"{key}: \d ")
        one.send(signal.SIGSTOP)
    hold(10 if play.full else 5)
    for one in producers.values():
        one.send(signal.SIGCONT)
    hold(5)
    play.settle()
    for key, step in (("A", 1), ("B", 2)):
        found = [m for m in in_topic(play.servers, play.topic) if m.key() == key.encode()]
        times = [m.timestamp()[1] / 1000 for m in found]
        assert min(later - earlier for earlier, later in pairwise(times)) > step / 2, times


@at_once
def test_a_reader_that_leaves_ends_producers_quietly(play):
    for name in SCRIPTS[:2]:
        reading, writing = os.pipe()
        one = play.run(name, stdout=writing)
        os.close(writing)
        assert re.fullmatch(rb"[AB]: [01]  \(partition 0, offset \d\)\n", os.read(reading, 100))
        os.close(reading)
        assert one.ended(5) == 0, one
        assert not one.find("Traceback|Cannot|Broken")
        assert re.fullmatch(r"[AB]: (\d+) sent, \1 acknowledged\.", one.err[-1])


@at_once
def test_producers_say_that_their_output_is_full(play):
    with open("/dev/full", "wb") as full:
        producers = [play.run(name, stdout=full) for name in SCRIPTS[:2]]
    for one in producers:
        assert one.ended(20) == 1, one
        assert one.find(r"^Cannot write to standard output: No space left on device\.$")
        assert not one.find("Traceback")


@at_once
def test_a_terminal_that_is_gone_ends_each_with_a_sentence(play):
    write(play, 100)
    shown_by = {"producer_a.py": b"A: 0 ", "producer_b.py": b"B: 1 ", "consumer_c.py": b"A: 100"}
    for number, (name, shown) in enumerate(shown_by.items(), 101):
        keyboard, terminal = pty.openpty()
        one = play.run(name, stdout=terminal)
        os.close(terminal)
        seen = bytearray()
        eventually(lambda k=keyboard, s=seen, w=shown: s.extend(os.read(k, 99)) or w in s, 20, one)
        os.close(keyboard)
        write(play, number)
        assert one.ended(5) == 1, one
        assert one.find(r"^Cannot write to standard output: Input/output error\.$"), one
        assert not one.find("Traceback")
    play.run("consumer_c.py").said("A: 103")  # it was not printed, so it was not committed


def write(play: Play, number: int) -> None:
    """Write a number with an independent client."""
    producer = Producer({"bootstrap.servers": play.servers})
    producer.produce(play.topic, str(number), "A")
    assert producer.flush(20) == 0


def interrupt(scripts: list[InTerminal]) -> None:
    """Type Ctrl-C in each terminal: each script ends in time, says so, and without a traceback."""
    for one in scripts:
        one.type(b"\x03")
        assert one.ended(END) == 0, one
        assert one.find("Interrupted!") and not one.find("Traceback"), one


@pytest.mark.parametrize("name", SCRIPTS)
def test_ctrl_c_ends_each_that_is_starting(play, name):
    play.servers = f"127.0.0.1:{free_ports(1)[0]}"
    for later in range(0, 100, 20):  # milliseconds
        one = play.in_terminal(name)
        loaded = Path(f"/proc/{one.process.pid}/maps")
        eventually(lambda p=loaded: "_ssl" in p.read_text(), 10, "imports in", one)
        hold(later / 1000)
        one.type(b"\x03")
        assert one.ended(3 * END) == 0, one  # all is loaded first
        assert not one.find("Traceback"), one


def test_ctrl_c_ends_each_that_waits_for_its_broker(play):
    play.servers = f"127.0.0.1:{free_ports(1)[0]}"
    scripts = [play.in_terminal(name) for name in SCRIPTS]
    for one in scripts:
        one.said("connection refused")
    interrupt(scripts)


def test_ctrl_c_ends_each_that_is_connecting(play):
    scripts = []
    for name in SCRIPTS:
        silent = Proxy()
        play.stack.callback(silent.close)
        silent.turn("mute")
        scripts.append(play.in_terminal(name, KAFKA_BOOTSTRAP_SERVERS=silent.address))
        eventually(lambda silent=silent: silent.links, 10, "a connection of", scripts[-1])
    interrupt(scripts)


NAMELESS = """
mount --bind "$1" /etc/resolv.conf && ip link set lo up && ip route add 192.0.2.1 dev lo || exit 77
shift; exec "$@"
"""


def test_ctrl_c_ends_each_that_looks_up_a_name(play, tmp_path):
    resolver = tmp_path / "resolv.conf"
    resolver.write_text("nameserver 192.0.2.1\n")  # nobody is there, and nobody says so
    without = ["unshare", "-rmn", "sh", "-c", NAMELESS, "sh", str(resolver)]
    try:
        possible = subprocess.run([*without, "true"], capture_output=True).returncode == 0
    except FileNotFoundError:
        possible = False
    if not possible:
        pytest.skip("a network of one's own (unshare -rmn, ip) is not allowed here")
    scripts = []
    for name in SCRIPTS:
        env = {"KAFKA_BOOTSTRAP_SERVERS": "broker.example:9092"}
        one = play.add(InTerminal(name, env, *without))
        questions = Path(f"/proc/{one.process.pid}/net/udp")
        eventually(lambda q=questions: ":0035 " in q.read_text(), 10, "a question of", one)
        scripts.append(one)
    interrupt(scripts)


def test_ctrl_c_ends_each_that_runs(play):
    scripts = [play.in_terminal(name) for name in SCRIPTS]
    for one in scripts:
        one.said(r"[AB]: \d")
    interrupt(scripts)


def test_ctrl_c_ends_a_consumer_held_up_by_ctrl_s(play):
    play.run("producer_a.py")
    consumer = play.in_terminal("consumer_c.py")
    consumer.said("A: 0")
    consumer.type(b"\x13")
    hold(2)
    interrupt([consumer])


# A signal at each place of the wait, one after the other, for as long as there is one more.
AT_EACH_PLACE = """
import os, signal, sys, threading
import kafka_utils

def trace(frame, *_):
    global places
    if frame.f_code.co_filename == threading.__file__:
        places += 1
        if places == target:
            os.kill(os.getpid(), signal.SIGTERM)
        return trace

kafka_utils.stop_on_signals()
target = places = 1
while target <= places:
    target, places = target + 1, 0
    kafka_utils.stop.clear()
    sys.settrace(trace)
    kafka_utils.stop.wait(0.001)
    sys.settrace(None)
print("heard at", target - 1)
"""


def test_a_signal_is_heard_at_each_place_of_a_wait(play):
    one = play.run("-c", arguments=(AT_EACH_PLACE,))
    assert one.ended(10) == 0, one
    assert int(one.said(r"heard at (\d+)")[1]) > 10, one


def test_ctrl_c_again_and_again_ends_each_that_is_stopping(play):
    scripts = [play.in_terminal(name) for name in SCRIPTS]
    for one in scripts:
        one.said(r"[AB]: \d")
        for _ in range(10):
            if one.process.poll() is None:
                one.type(b"\x03")
                hold(0.03)
        # -2: Python itself was ending already
        assert one.ended(END) in (0, 1, -2), one
        assert not one.find("Traceback"), one


def test_ctrl_c_ends_each_whose_broker_was_just_killed(own_broker, play):
    own_broker.start()
    play.servers = own_broker.servers
    a, b, c = scripts = [play.in_terminal(name) for name in SCRIPTS]
    for one in scripts:
        one.said(r"[AB]: \d")
    own_broker.kafka.kill()
    c.type(b"\x03")
    # 1 where the broker went between a number that it printed and its commit
    assert c.ended(END) == bool(c.find("could not be committed")), c
    assert not c.find("Traceback"), c
    hold(4.1)  # each producer has a number that waits, on a busy machine too
    for one in (a, b):
        one.type(b"\x03")
    for one in (a, b):
        assert one.ended(5) == 1, one
        assert one.find("unacknowledged") and not one.find("Traceback"), one
