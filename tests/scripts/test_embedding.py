"""The scripts' modules in somebody else's program: no side effect, no mix-up with its clients."""

import json
import signal
import subprocess
import sys

import pytest

from tests.support.process import Running, eventually, free_ports, hold, settings_for
from tests.support.secured import SECRETS
from tests.support.session import goes_on


class Program(Running):
    """A program that runs code, and goes on where it reads a line whenever it is told to."""

    def __init__(self, code: str, servers: str, topic: str, *arguments: str) -> None:
        command = (sys.executable, "-c", code, *arguments)
        super().__init__(*command, env=settings_for(servers, topic), stdin=subprocess.PIPE)

    def go_on(self) -> None:
        """Send it a line."""
        self.write(b"\n")


# Prints what a program could find changed by an import.
STATE = """
import json, logging, signal, sys

def state():
    names = ["", "kafka", *logging.root.manager.loggerDict]
    loggers = [logging.getLogger(name) for name in names]
    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    return [
        [str(signal.getsignal(number)) for number in signals],
        sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])),
        str(sys.excepthook),
        [(one.name, one.level, len(one.filters)) for one in loggers if one.level or one.filters],
    ]

import kafka  # which has loggers of its own
before = state()
import kafka_utils, producer_utils, consumer_c
print(json.dumps([before, state()]), flush=True)
"""


def test_importing_the_modules_changes_nothing_in_a_program(run):
    one = run("-c", arguments=(STATE,))
    assert one.ended() == 0, one
    before, after = json.loads(one.out[0])
    assert before == after


# Runs produce() twice on the main thread; Ctrl-C ends each, and is the program's own in between.
TWICE = f"""{STATE}
import time
for key in "DE":
    producer_utils.produce(0.1, key=key)
    print(json.dumps([before, state()]), flush=True)
    try:
        print("on its own", flush=True)
        time.sleep(60)
    except KeyboardInterrupt:
        print("its own Ctrl-C", flush=True)
"""


def test_what_produce_changes_in_a_program_is_undone_when_it_returns(broker, topic, add):
    one = add(Program(TWICE, broker.servers, topic))
    for key in "DE":
        one.said(f"^{key}: 4 ")
        one.send(signal.SIGINT)
        eventually(lambda: one.out[-1] == "on its own", 20, one)
        before, after = json.loads(one.out[-2])
        assert before == after
        hold(0.2)  # else it would be the same Ctrl-C
        one.send(signal.SIGINT)
        eventually(lambda: one.out[-1] == "its own Ctrl-C" or not one.alive, 20, one)
    assert one.ended() == 0, one


# Consumes in a thread, in a program that has a log of its own.
LOGGING = """
import logging, logging.config, threading
{configuration}
from consumer_c import consume
from kafka_utils import stop
{later}
thread = threading.Thread(target=consume)
thread.start()
input()
stop.set()
thread.join()
"""


def test_no_line_of_the_librarys_log_reaches_a_program_that_did_not_ask_for_it(broker, topic, add):
    configuration = "logging.basicConfig(level=logging.WARNING, format='LOG %(message)s')"
    code = LOGGING.format(configuration=configuration, later="")
    one = add(Program(code, broker.servers, topic))
    one.said("Reading partition 0")
    hold(2)  # heartbeats
    one.go_on()
    assert one.ended() == 0, one
    assert not one.find("^LOG "), one


def test_a_program_that_disables_the_librarys_log_is_told_what_is_awaited(add, topic):
    code = LOGGING.format(configuration="", later='logging.config.dictConfig({"version": 1})')
    one = add(Program(code, f"127.0.0.1:{free_ports(1)[0]}", topic))
    one.said("Waiting for Kafka")
    one.go_on()
    assert one.ended() == 0, one


# An output that is no file, as notebooks have, but has all that a file has.
TEE = """
import sys
class Tee:
    def write(self, text):
        return sys.__stdout__.write(text.replace("A", "Through"))
    def __getattr__(self, name):
        return getattr(sys.__stdout__, name)
sys.stdout = Tee()
import producer_utils
producer_utils.produce(0.1)
"""


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_numbers_are_printed_to_what_a_program_has_made_its_output(run, unbuffered):
    one = run("-c", arguments=(TEE,), PYTHONUNBUFFERED=unbuffered)
    one.said("^Through: 4 ")
    assert one.stop() == 0, one


# Outputs that fail, and what is said of them. The last one is closed when it is told to.
FAILING = {
    "no file": (
        """
class Full:
    def write(self, text):
        raise OSError("the recorder is full")
    def flush(self):
        pass
sys.stdout = Full()
""",
        "Cannot write to standard output: the recorder is full.",
    ),
    "closed": (
        "sys.stdout.close()",
        "Standard output is closed, so numbers cannot be printed: open it.",
    ),
    "closed later": (
        "threading.Thread(target=lambda: sys.stdin.readline() and sys.stdout.close()).start()",
        "Cannot write to standard output: it is closed.",
    ),
}


@pytest.mark.parametrize("call", ["producer_utils.produce(0.1)", "consumer_c.consume()"])
@pytest.mark.parametrize(("output", "said"), FAILING.values(), ids=FAILING)
def test_an_output_that_fails_ends_each_with_a_sentence(
    run, broker, topic, add, call, output, said
):
    feeder = run("producer_a.py")
    feeder.said("^A: 0 ")
    code = f"import sys, threading, producer_utils, consumer_c\n{output}\n{call}"
    one = add(Program(code, broker.servers, topic))
    if "Thread" in output:
        one.said("^A: 0")
        one.go_on()
    assert one.ended() == 1, one
    assert said in one.err and not one.find("Traceback"), one


def test_a_program_that_closed_its_standard_error_gets_its_numbers(run):
    one = run(
        "-c", arguments=("import sys, producer_utils as p\nsys.stderr.close()\np.produce(0.1)",)
    )
    one.said("^A: 4 ")
    assert one.stop() == 0, one


# Runs where no thread can be started, as in a container with too few processes.
NO_THREADS = """
import threading
from producer_utils import produce
threading.stack_size(2**47)
produce()
"""


def test_a_machine_that_allows_no_more_threads_is_told_in_a_sentence(run):
    one = run("-c", arguments=(NO_THREADS,))
    assert one.refused() == (
        "Cannot start (can't start new thread): this machine or container allows no more threads."
    )


# A program's own producer, connected before produce() runs in a thread; a number for each line.
BESIDE = """
import os, sys, threading
from kafka import KafkaProducer
own = KafkaProducer(bootstrap_servers=sys.argv[1], request_timeout_ms=2000)
from producer_utils import produce
threading.Thread(target=produce, args=[0.2], daemon=True).start()
while sys.stdin.readline():
    own.send(os.environ["KAFKA_TOPIC"], b"0", b"own").get(60)
    print("own number stored", flush=True)
"""


def test_connections_of_a_programs_own_clients_are_left_to_them(broker, topic, proxy, add):
    one = add(Program(BESIDE, broker.servers, topic, proxy.address))

    def own_number() -> None:
        stored = one.out.count("own number stored")
        one.go_on()
        eventually(lambda: one.out.count("own number stored") > stored, 20, "one more", one)

    one.said("A: 4 ")
    own_number()
    proxy.turn("close")  # the present connections, too
    hold(2)
    proxy.turn("pass")
    own_number()
    assert not one.find(proxy.address), one
    assert not one.find("Traceback|lost"), one


# Two threads, of which the second one's settings have a wrong password; the first one goes on.
TWO_THREADS = """
import json, os, sys, threading, time
from kafka_utils import stop
from producer_utils import produce

def run(key):
    try:
        produce(0.2, key=key)
    except SystemExit as end:
        print(key, "ended:", end, flush=True)

first = threading.Thread(target=run, args="A", daemon=True)
first.start()
sys.stdin.readline()
os.environ |= json.loads(sys.argv[1])
second = threading.Thread(target=run, args="B", daemon=True)
second.start()
sys.stdin.readline()
stop.set()
for one in (first, second):
    one.join()
print("both ended", flush=True)
"""


def test_each_of_two_threads_has_the_outcome_of_its_own_connection(secured, topic, add):
    wrong = secured.access("LOGIN", SASL_PLAIN_PASSWORD=SECRETS["wrong"])
    one = add(Program(TWO_THREADS, secured.servers, topic, json.dumps(wrong)))
    one.said("A: 4 ")
    one.go_on()
    one.said(f"B ended: Kafka at {secured.at('LOGIN')} cannot be used: .*(authentication|refuses)")
    goes_on(one, 5)
    one.go_on()
    one.said("both ended")
    assert not one.find("lost"), one


# A stop that was asked for before another thread starts counts for both.
STOP_TWICE = """
import threading
from kafka_utils import stop
from producer_utils import produce
first = threading.Thread(target=produce, args=[0.1])
first.start()
import sys
sys.stdin.readline()
stop.set()
produce(0.1, key="D")
first.join()
print("both ended", flush=True)
"""


def test_a_stop_that_was_asked_for_is_not_undone_by_another_thread(broker, topic, add):
    one = add(Program(STOP_TWICE, broker.servers, topic))
    one.said("A: 4 ")
    one.go_on()
    one.said("both ended")


# Asks for partitions in vain three times, by an error that is transient but not retriable.
IN_VAIN = """
import sys
import psutil
from kafka import KafkaProducer
from kafka.errors import KafkaProtocolError
from client.connecting import connect

made = []

def new(**settings):
    made.append(KafkaProducer(**settings))
    return made[-1]

def partitions(producer, topic):
    if len(made) <= 3:
        raise KafkaProtocolError("not now")
    return producer.partitions_for(topic)

connect(KafkaProducer, new, partitions)
print(len(made), len(psutil.Process().net_connections()), flush=True)
"""


def test_what_is_connected_in_vain_is_closed(run):
    one = run("-c", arguments=(IN_VAIN,))
    made, connections = map(int, one.said(r"^(\d+) (\d+)$").groups())
    assert made == 4
    assert connections <= 3, one  # of one client, and of the administrator while it closes


# Stops while it cannot connect, and waits until no thread of it is left.
GIVEN_UP = """
import sys, threading, time
from kafka_utils import stop
from producer_utils import produce

thread = threading.Thread(target=produce)
thread.start()
sys.stdin.readline()
stop.set()
thread.join()
while threading.active_count() > 1:
    time.sleep(0.1)
print("nothing left", flush=True)
"""


def test_what_cannot_connect_leaves_no_thread_behind_when_it_is_stopped(proxy, topic, add):
    proxy.turn("close")
    one = add(Program(GIVEN_UP, proxy.address, topic))
    one.said("Waiting for Kafka")
    one.go_on()
    one.said("nothing left", 10)
