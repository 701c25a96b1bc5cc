"""The scripts killed, paused and held up: no number is lost, and they go on by themselves."""

import signal

import pytest

from tests.support.account import not_spinning
from tests.support.client import write
from tests.support.process import eventually, hold
from tests.support.secured import BOB, SESSION
from tests.support.session import goes_on

# Seconds until the session of a killed member expires and its partitions are reassigned.
TAKEN_OVER = 12

# Seconds within which a script ends, on a busy machine too.
END = 2


def test_a_consumer_killed_and_started_again_misses_nothing(session):
    session.run("producer_a.py"), session.run("producer_b.py")
    killed = session.run("consumer_c.py")
    killed.said("A: 2")
    eventually(lambda: session.committed() >= 2, 10, "a commit of", killed)
    killed.kill()
    again = session.run("consumer_c.py")
    again.said(r"[AB]: \d", TAKEN_OVER)
    goes_on(again, 5)
    session.settle(killed, again, twice_allowed=3)


@pytest.mark.parametrize("end", ["killed", "stopped"])
def test_of_two_consumers_one_stands_by_and_takes_over_when_the_other_ends(session, end):
    session.run("producer_a.py"), session.run("producer_b.py")
    pair = session.run("consumer_c.py"), session.run("consumer_c.py")
    idle = eventually(lambda: next((c for c in pair if c.find("Standing by")), None), 20, *pair)
    busy = pair[idle is pair[0]]
    goes_on(busy, 5)
    eventually(lambda: session.committed() >= 2, 10, "a commit of", busy)
    if end == "killed":
        busy.kill()
    else:
        assert busy.stop() == 0, busy
    goes_on(idle, TAKEN_OVER)
    session.settle(*pair, twice_allowed=3 if end == "killed" else 0)


def test_a_consumer_paused_for_longer_than_its_session_goes_on(session):
    session.run("producer_a.py"), session.run("producer_b.py")
    short = {} if session.full else {"KAFKA_SESSION_TIMEOUT_MS": "6000"}
    consumer = session.run("consumer_c.py", **short)
    consumer.said("A: 2")
    consumer.send(signal.SIGSTOP)
    hold(15 if session.full else 7)
    eventually(lambda: session.members() == 0, 5, "no member in the group of", consumer)
    consumer.send(signal.SIGCONT)
    goes_on(consumer, 5)
    with not_spinning(consumer):
        hold(10 if session.full else 4)
    goes_on(consumer, 5)
    session.settle(consumer)
    consumer.send(signal.SIGINT)
    assert consumer.ends_within(END) == 0


def test_a_consumer_whose_group_was_deleted_resumes_where_it_was(session):
    write(session.servers, session.topic, 100)
    consumer = session.run("consumer_c.py", KAFKA_SESSION_TIMEOUT_MS="6000")
    consumer.said("A: 100")
    eventually(lambda: session.committed() == 1, 10, "a commit of", consumer)
    consumer.send(signal.SIGSTOP)
    eventually(lambda: session.members() == 0, 20, "no member in the group of", consumer)
    session.admin.delete_consumer_groups([session.topic])[session.topic].result(10)
    consumer.send(signal.SIGCONT)
    eventually(lambda: session.members() == 1, 10, "a member again:", consumer)
    write(session.servers, session.topic, 102)
    consumer.said("A: 102")
    assert consumer.out == ["A: 100", "A: 102"]


def test_a_consumer_held_up_by_ctrl_s_for_longer_than_its_poll_interval_goes_on(session):
    session.run("producer_a.py"), session.run("producer_b.py")
    short = {"KAFKA_MAX_POLL_INTERVAL_MS": "11000" if session.full else "4000"}
    if not session.full:
        short["KAFKA_SESSION_TIMEOUT_MS"] = "6000"
    consumer = session.in_terminal("consumer_c.py", **short)
    consumer.said("A: 2")
    consumer.type(b"\x13")
    hold(20 if session.full else 7)
    eventually(lambda: session.members() == 0, 5, "no member in the group of", consumer)
    held = len(consumer.out)
    consumer.type(b"\x11")
    eventually(lambda: len(consumer.out) > held + 5, 10, consumer)
    session.settle(consumer)
    consumer.type(b"\x03")
    assert consumer.ends_within(END) == 0


def test_a_consumer_that_waits_for_one_held_up_to_join_the_group_waits_quietly(session):
    producer, _ = session.run("producer_a.py"), session.run("producer_b.py")
    first = session.in_terminal("consumer_c.py")
    first.said("A: 2")
    first.type(b"\x13")
    sent = len(producer.out)
    eventually(lambda: len(producer.out) > sent + 1, 5, producer)  # which `first` cannot print
    second = session.run("consumer_c.py")
    second.said("Reading topic")
    with not_spinning(second):
        hold(25 if session.full else 13)  # longer than its request timeout
    (_, said) = second.err
    assert said == "Waiting to join the group: a member has died, or is slow to rejoin.", second
    first.type(b"\x11")
    second.said("Standing by|Reading partition", 5)
    second.said("No longer waiting to join the group.", 5)
    session.settle(first, second)


@pytest.mark.full
def test_logins_that_expire_during_a_rebalance_of_35_seconds_lose_no_number(secured, session):
    session.servers = secured.servers
    session.settings |= secured.access("BRIEF", **BOB)  # logs in anew every 4 s
    session.settings["KAFKA_SESSION_TIMEOUT_MS"] = "60000"
    a, b = session.run("producer_a.py"), session.run("producer_b.py")
    consumers = [session.run("consumer_c.py"), held := session.run("consumer_c.py")]
    eventually(lambda: any(one.find("Standing by") for one in consumers), 20, *consumers)
    held.send(signal.SIGSTOP)
    before = len(a.out) + len(b.out)
    consumers.append(session.run("consumer_c.py"))
    waiting = [one for one in consumers if one is not held]
    for one in waiting:
        one.said("Waiting to join the group: .* slow to rejoin", 20)
    hold(35)
    count = sum(len(one.out) for one in consumers)
    meanwhile = len(a.out) + len(b.out) - before
    held.send(signal.SIGCONT)
    eventually(lambda: sum(len(one.out) for one in consumers) > count + 50, 20, *consumers)
    hold(2 * SESSION)
    assert not any(one.find("lost") for one in (a, b, *waiting)), session.all
    # One batch: before it knows that it has lost its place, `held` may fetch what came meanwhile.
    session.settle(*consumers, twice_allowed=meanwhile + 4)
