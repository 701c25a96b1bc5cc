"""The two producers: what they write, when, and what they report."""

import math
import signal

import pytest

from producer_utils import produce
from tests.support.account import account, acknowledged, in_rhythm, stored, totals
from tests.support.client import records
from tests.support.process import hold, producer


def test_a_writes_even_numbers_every_second_and_b_odd_ones_every_two(run, broker, topic):
    run("producer_a.py"), run("producer_b.py")
    found = records(broker.servers, topic, 10)
    for key, first, step, least in ((b"A", 0, 1, 6), (b"B", 1, 2, 3)):
        mine = [record for record in found if record.key() == key]
        assert len(mine) >= least
        assert [m.value() for m in mine] == [b"%d" % (first + 2 * k) for k in range(len(mine))]
        in_rhythm(broker.servers, topic, key.decode(), step)


def test_a_number_is_printed_with_its_partition_and_offset(run, broker, topic):
    one = run("producer_a.py")
    one.said(r"A: 4 ")
    assert one.stop() == 0
    assert len(one.out) >= 3
    assert acknowledged(one) == list(stored(broker.servers, topic))
    account([one], [], broker.servers, topic)


def test_a_producer_that_starts_again_starts_from_its_first_number(run, broker, topic):
    for _ in range(2):
        one = run("producer_b.py")
        one.said("B: 1 ")
        one.stop()
    assert [m.value() for m in records(broker.servers, topic, 2)] == [b"1", b"1"]


def test_paused_producers_make_no_burst_and_leave_no_hole(session):
    producers = {"A": session.run("producer_a.py"), "B": session.run("producer_b.py")}
    for key, one in producers.items():
        one.said(f"{key}: [23] ")
        one.send(signal.SIGSTOP)
    pause = 10 if session.full else 3.5
    hold(pause)
    for one in producers.values():
        one.send(signal.SIGCONT)
    producers["A"].said("A: 8 ")
    producers["B"].said("B: 7 ")
    session.settle()
    for key, step in (("A", 1), ("B", 2)):
        in_rhythm(session.servers, session.topic, key, step, pause)


def test_sleep_time_zero_means_as_fast_as_it_goes_and_accounts_for_each(broker, topic, add):
    one = add(producer(broker.servers, topic, sleep_time=0))
    one.said(r"A: 20000 ")
    account([one], [], broker.servers, topic)


@pytest.mark.parametrize("sleep_time", [-1, "1", None, math.nan, math.inf, True], ids=repr)
def test_an_invalid_sleep_time_is_a_value_error(sleep_time):
    with pytest.raises(ValueError, match="is not a number of seconds"):
        produce(sleep_time)


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_each_signal_ends_a_producer_within_two_seconds_with_its_totals(run, name):
    one = run("producer_a.py")
    one.said("A: 0 ")
    one.send(getattr(signal, name))
    assert one.ends_within(2) == 0
    sent = len(acknowledged(one))
    assert one.err[-2:] == ["Interrupted!", f"A: {sent} sent, {sent} acknowledged."]


def test_a_producer_whose_broker_is_dead_ends_within_eight_seconds_and_counts(
    own_broker, topic, add
):
    own_broker.start()
    one = add(producer(own_broker.servers, topic, sleep_time=0.2))
    one.said("A: 20 ")
    own_broker.kafka.kill()
    one.said("Connection to .* lost", 5)
    hold(2)  # time for ten numbers
    one.send(signal.SIGINT)
    assert one.ends_within(8) == 1
    sent, done = totals(one)
    assert done == len(acknowledged(one))
    assert sent - done >= 2
    assert one.err[-1].startswith(f"{sent - done} unacknowledged (may be stored): {2 * done} to ")
    assert not one.find("Traceback"), one
