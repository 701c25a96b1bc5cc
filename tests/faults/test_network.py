"""The scripts behind a failing network: no number is lost or doubled, and all soon go on."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.support.account import in_rhythm, not_spinning
from tests.support.process import eventually, hold
from tests.support.proxy import Proxy
from tests.support.trio import Trio

INTERVALS = {"A": 1, "B": 2}

# Seconds within which all go on once the network does.
BACK = {"cut": 10, "hold": 10, "mute": 10, "first": 10, "join": 15}


@pytest.fixture
def start(broker, proxy, topic) -> Iterator[Callable[[str], Trio]]:
    """Starts the three scripts behind the proxy in a mode."""
    broker.create(topic, partitions=2)
    settings = {"KAFKA_BOOTSTRAP_SERVERS": proxy.address}
    with ExitStack() as stack:

        def start(mode: str) -> Trio:
            proxy.turn(mode)
            # A request to join is sent again five seconds after this.
            short = {"KAFKA_MAX_POLL_INTERVAL_MS": "6000"} if mode == "join" else {}
            reader = settings | short
            trio = Trio(broker.servers, topic, None, writer=settings, reader=reader)
            return stack.enter_context(trio)

        yield start


def fail(trio: Trio, proxy: Proxy, fault: str, seconds: float) -> None:
    """Let the network fail for so long: nobody spins meanwhile, and all go on afterwards."""
    proxy.turn(fault)
    with not_spinning(*trio.all):
        hold(seconds)
    proxy.turn("pass")
    trio.flowing(BACK.get(fault, 5))


def settle(trio: Trio) -> None:
    """Account for every number, and for the time when each was sent."""
    trio.end()
    for key, interval in INTERVALS.items():
        in_rhythm(trio.servers, trio.topic, key, interval)


@pytest.mark.parametrize(("fault", "count"), [("first", 2), ("join", 1)])
def test_a_request_without_an_answer_stops_nobody_and_costs_no_number(start, proxy, fault, count):
    trio = start(fault)
    eventually(lambda: sum(link.dead for link in proxy.links) >= count, 20, trio.all)
    if fault == "first":  # a consumer repeats its request silently
        for one in trio.producers:
            one.said("lost: no answer. Reconnecting", 20)
    proxy.turn("pass")
    for _ in range(4):
        trio.flowing(BACK[fault])
    settle(trio)


def test_a_consumer_that_cannot_commit_prints_one_batch_and_costs_no_number(start, proxy, full):
    trio = start("commit")
    consumer = trio.consumer
    eventually(lambda: consumer.out, 20, consumer)
    hold(2)
    printed = len(consumer.out)  # what one poll() returned
    with not_spinning(*trio.all):
        hold(30 if full else 4)
    assert len(consumer.out) == printed, consumer
    proxy.turn("pass")
    trio.flowing()
    settle(trio)


@pytest.mark.parametrize("fault", ["cut", "hold", "reset", "rename"])
def test_an_interrupted_network_costs_no_number(start, proxy, fault, full):
    trio = start("pass")
    trio.flowing(20)
    fail(trio, proxy, fault, 30 if full else 4)
    settle(trio)


@pytest.mark.parametrize("fault", ["delay", "drip"])
def test_a_slow_network_stops_nobody(start, proxy, fault, full):
    trio = start("pass")
    trio.flowing(20)
    proxy.turn(fault)
    with not_spinning(*trio.all):
        for _ in range(6 if full else 2):
            trio.flowing()
    proxy.turn("pass")
    trio.flowing()
    settle(trio)


@pytest.mark.parametrize(
    "fault", ["mute", *(pytest.param(one, marks=pytest.mark.full) for one in ("close", "http"))]
)
def test_what_is_no_kafka_is_waited_out_and_nobody_spins(start, proxy, fault, full):
    trio = start(fault)
    for one in trio.all:
        one.said(f"Waiting for Kafka at {proxy.address}", 10)
    for _ in range(2):  # at the start, and while numbers flow
        fail(trio, proxy, fault, 30 if full else 4)
    settle(trio)
