"""The two producers: what they write, when, and what they say of it."""

import re
import shutil
import signal
import subprocess
import sys
from itertools import pairwise

import pytest

from tests.support import trio
from tests.support.account import in_rhythm
from tests.support.process import PROJECT, environment, hold, records, script


def acknowledged(producer) -> list[tuple[str, int, int]]:
    """Key, number and offset of each line that a producer printed."""
    form = re.compile(r"([AB]): (\d+)  \(partition 0, offset (\d+)\)")
    lines = [form.fullmatch(line) for line in producer.out]
    assert all(lines), producer
    return [(key, int(number), int(offset)) for key, number, offset in (m.groups() for m in lines)]


def test_a_writes_even_numbers_every_second_and_b_odd_ones_every_two(run, broker, topic):
    run("producer_a.py"), run("producer_b.py")
    found = records(broker.servers, topic, 10)
    for key, first, step, least in ((b"A", 0, 1, 6), (b"B", 1, 2, 3)):
        mine = [record for record in found if record.key() == key]
        assert len(mine) >= least
        assert [m.value() for m in mine] == [b"%d" % (first + 2 * k) for k in range(len(mine))]
        in_rhythm(broker.servers, topic, key.decode(), step)


def test_a_number_is_printed_with_the_place_where_it_lies(run, broker, topic):
    producer = run("producer_a.py")
    producer.said(r"A: 4 ")
    assert producer.stop() == 0
    found = records(broker.servers, topic, 3)
    lies = [(m.key().decode(), int(m.value()), m.offset()) for m in found]
    assert acknowledged(producer) == lies


def test_kcat_reads_what_a_producer_wrote(run, broker, topic):
    if not shutil.which("kcat"):
        pytest.skip("kcat is not installed here")
    producer = run("producer_a.py")
    producer.said("A: 2 ")
    assert producer.stop() == 0
    to_the_end = ("-C", "-e", "-q", "-o", "beginning", "-f", "%k: %s\n")
    command = ["kcat", "-b", broker.servers, "-t", topic, *to_the_end]
    read = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert read.stdout.splitlines()[:2] == ["A: 0", "A: 2"]


def test_a_producer_that_starts_again_starts_from_its_first_number(run, broker, topic):
    for _ in range(2):
        producer = run("producer_b.py")
        producer.said("B: 1 ")
        producer.stop()
    assert [m.value() for m in records(broker.servers, topic, 2)] == [b"1", b"1"]


def test_a_stopped_producer_makes_no_burst_and_leaves_no_hole(run, broker, topic):
    producer = run("producer_a.py")
    producer.said("A: 2 ")
    producer.send(signal.SIGSTOP)
    hold(3.5)
    producer.send(signal.SIGCONT)
    found = records(broker.servers, topic, 5)
    assert [int(m.value()) for m in found[:5]] == [0, 2, 4, 6, 8]
    times = [m.timestamp()[1] for m in found]
    for when in times:
        off_grid = (when - times[0] + 500) % 1000 - 500
        assert abs(off_grid) < 350, times  # a quarter of a second late may be, and not much more
    assert all(later - earlier > 600 for earlier, later in pairwise(times))


def test_sleep_time_zero_means_as_fast_as_it_goes_and_accounts_for_each(broker, topic):
    code = "from producer_utils import produce; produce(sleep_time=0)"
    producer = script("-c", broker.servers, topic, arguments=(code,))
    try:
        producer.said(r"A: 20000 ")
        assert producer.stop() == 0
    finally:
        producer.kill()
    numbers = [number for _, number, _ in acknowledged(producer)]
    assert numbers == list(range(0, 2 * len(numbers), 2))
    assert f"A: {len(numbers)} sent, {len(numbers)} acknowledged." in producer.err
    found = records(broker.servers, topic, len(numbers))
    assert [int(m.value()) for m in found] == numbers


@pytest.mark.parametrize(
    "sleep_time", ["-1", "'1'", "None", "float('nan')", "float('inf')", "True"]
)
def test_a_sleep_time_that_is_none_is_a_value_error(sleep_time):
    code = (
        f"from producer_utils import produce\ntry: produce({sleep_time})\nexcept ValueError: pass"
    )
    subprocess.run([sys.executable, "-c", code], cwd=PROJECT, env=environment(), check=True)


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_each_signal_ends_a_producer_within_a_second_and_says_the_totals(run, name):
    producer = run("producer_a.py")
    producer.said("A: 0 ")
    assert producer.stop(getattr(signal, name), seconds=1) == 0
    sent = len(acknowledged(producer))
    assert producer.err[-2:] == ["Interrupted!", f"A: {sent} sent, {sent} acknowledged."]


def test_a_producer_whose_broker_is_dead_ends_within_five_seconds_and_counts(own_broker, topic):
    own_broker.start()
    producer = trio.producer(own_broker.servers, topic, sleep_time=0.2, even=True)
    try:
        producer.said("A: 20 ")
        own_broker.kafka.kill()
        producer.said("Connection to .* lost", 5)
        hold(2)  # time for ten numbers
        assert producer.stop(seconds=5) == 1
    finally:
        producer.kill()
    totals = re.search(r"A: (\d+) sent, (\d+) acknowledged\.", "\n".join(producer.err))
    sent, done = int(totals[1]), int(totals[2])
    assert done == len(acknowledged(producer))
    assert sent - done >= 2
    assert producer.err[-1].startswith(
        f"{sent - done} unacknowledged (may be stored): {2 * done} to "
    )
    assert "Traceback" not in "\n".join(producer.err)
