"""The scripts behind a network that fails them: nothing lost, nothing doubled, and soon back."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from uuid import uuid4

import pytest

from tests.support.account import account, calm, in_rhythm
from tests.support.process import (
    Broker,
    Running,
    administrator,
    eventually,
    free_ports,
    hold,
    made,
    script,
)
from tests.support.proxy import Proxy

pytestmark = pytest.mark.timeout(180)

SCRIPTS = ("producer_a.py", "producer_b.py", "consumer_c.py")
STEPS = {"A": 1, "B": 2}

# Faults that are tested at the same time.
TOGETHER = 4

# Seconds within which each script goes on when the network does.
BACK = {"cut": 10, "hold": 10, "mute": 10, "first": 10, "join": 15}


@pytest.fixture(scope="module")
def proxied(tmp_path_factory, request) -> Iterator[dict[str, Proxy]]:
    """A broker that each fault has a listener of its own at, behind a proxy."""
    faults = [*STARTS, *INTERRUPTIONS, *NUISANCES, *NOT_KAFKA]
    proxies = {fault: Proxy() for fault in faults}
    broker = Broker(tmp_path_factory.mktemp("broker behind proxies"))
    for proxy, port in zip(proxies.values(), free_ports(len(faults)), strict=True):
        proxy.target = port
    inside = [f"{fault.upper()}://127.0.0.1:{proxy.target}" for fault, proxy in proxies.items()]
    outside = [f"{fault.upper()}://{proxy.address}" for fault, proxy in proxies.items()]
    direct = f"PLAINTEXT://127.0.0.1:{broker.port}"
    protocols = [f"{name.upper()}:PLAINTEXT" for name in ("plaintext", *faults)]
    try:
        broker.start(
            *("--override", "listeners=" + ",".join([direct, *inside])),
            *("--override", "advertised.listeners=" + ",".join([direct, *outside])),
            *("--override", "listener.security.protocol.map=" + ",".join(protocols)),
        )
        proxies[""] = broker
        yield proxies
    finally:
        for fault in faults:
            proxies[fault].close()
        broker.kill()


class Trio:
    """The three scripts on a topic of their own behind a proxy, and what must hold for them."""

    def __init__(self, proxy: Proxy, servers: str, fault: str, stack: ExitStack) -> None:
        self.proxy, self.servers, self.fault = proxy, servers, fault
        self.topic = f"{fault}-{uuid4().hex[:6]}"
        assert made(administrator(servers), self.topic, 2), self.topic
        self.all: list[Running] = []
        settings = {"KAFKA_GROUP_ID": self.topic}
        if fault == "join":  # a request to join is sent again five seconds after this
            settings["KAFKA_MAX_POLL_INTERVAL_MS"] = "6000"
        for name in SCRIPTS:
            self.all.append(script(name, proxy.address, self.topic, **settings))
            stack.callback(self.all[-1].kill)

    def go_on(self, seconds: float) -> None:
        """Each of the three prints something new before long."""
        deadline = time.monotonic() + seconds
        counts = [(one, len(one.out)) for one in self.all]
        for one, count in counts:
            left = deadline - time.monotonic()
            eventually(lambda one=one, n=count: len(one.out) > n, left, f"{self.fault}: {one}")

    def fail(self, seconds: float) -> None:
        """Let the network fail for so long; all stay calm meanwhile, and go on afterwards."""
        self.proxy.turn(self.fault)
        with calm(*self.all):
            hold(seconds)
        self.proxy.turn("pass")
        self.go_on(BACK.get(self.fault, 5))

    def settle(self) -> None:
        """Stop the producers, account for every number, stop the consumer."""
        a, b, c = self.all
        assert [one.stop(seconds=5) for one in (a, b)] == [0, 0], [a, b]
        account([a, b], [c], self.servers, self.topic)
        assert c.stop(seconds=5) == 0, c
        assert not any(one.find("Traceback") for one in self.all)
        for key, step in STEPS.items():
            in_rhythm(self.servers, self.topic, key, step)


def interrupted(trio: Trio, full: bool) -> None:
    """The network fails while all goes well."""
    trio.go_on(20)
    trio.fail(30 if full else 4)
    trio.settle()


def worse(trio: Trio, full: bool) -> None:
    """The network gets worse, but something gets through: all go on meanwhile."""
    trio.go_on(20)
    trio.proxy.turn(trio.fault)
    with calm(*trio.all):
        for _ in range(6 if full else 2):
            trio.go_on(5)
    trio.proxy.turn("pass")
    trio.go_on(5)
    trio.settle()


def nobody_there(trio: Trio, full: bool) -> None:
    """Something that is no Kafka answers at the port: first at the start, then once more."""
    for one in trio.all:
        one.said(f"Waiting for Kafka at {trio.proxy.address}", 10)
    trio.fail(30 if full else 4)
    trio.fail(30 if full else 4)
    trio.settle()


def unanswered(trio: Trio, full: bool) -> None:
    """The network fails at a request that each process sends once, which is not answered."""
    count = {"first": 2, "join": 1}[trio.fault]
    eventually(lambda: sum(link.dead for link in trio.proxy.links) >= count, 20, trio.all)
    for one in trio.all[:2] if trio.fault == "first" else []:  # a group is asked again in silence
        one.said("lost: no answer. Trying", 20)
    trio.proxy.turn("pass")
    for _ in range(4):
        trio.go_on(BACK[trio.fault])
    trio.settle()


def uncommitted(trio: Trio, full: bool) -> None:
    """The network fails whenever the consumer commits: it prints a batch of each partition."""
    *_, c = trio.all
    eventually(lambda: {line[0] for line in c.out} == {"A", "B"}, 20, c)
    hold(2)
    shown = len(c.out)
    with calm(*trio.all):
        hold(30 if full else 4)
    assert len(c.out) == shown, c
    trio.proxy.turn("pass")
    trio.go_on(5)
    trio.settle()


STARTS = dict.fromkeys(("first", "join"), unanswered) | {"commit": uncommitted}
INTERRUPTIONS = dict.fromkeys(("cut", "hold", "reset", "rename"), interrupted)
NUISANCES = dict.fromkeys(("delay", "drip"), worse)
NOT_KAFKA = dict.fromkeys(("close", "mute", "http"), nobody_there)


@pytest.fixture(scope="module")
def outcome(request, proxied, full) -> Iterator[dict[str, Future]]:
    """The outcome of every fault that is to be tested, some at the same time."""
    cases = STARTS | INTERRUPTIONS | NUISANCES | NOT_KAFKA
    wanted = [
        item.callspec.params["fault"]
        for item in request.session.items
        if item.module is request.module
    ]
    with ExitStack() as stack, ThreadPoolExecutor(TOGETHER) as pool:

        def run(fault: str) -> None:
            proxied[fault].turn(fault if fault in STARTS | NOT_KAFKA else "pass")
            cases[fault](Trio(proxied[fault], proxied[""].servers, fault, stack), full)

        yield {fault: pool.submit(run, fault) for fault in cases if fault in wanted}


@pytest.mark.parametrize("fault", STARTS)
def test_a_request_without_an_answer_stops_nobody_and_costs_no_number(outcome, fault):
    outcome[fault].result()


@pytest.mark.parametrize("fault", INTERRUPTIONS)
def test_an_interrupted_network_costs_no_number(outcome, fault):
    outcome[fault].result()


@pytest.mark.parametrize("fault", NUISANCES)
def test_a_bad_network_stops_nobody(outcome, fault):
    outcome[fault].result()


@pytest.mark.parametrize("fault", NOT_KAFKA)
def test_what_is_no_kafka_is_waited_out_calmly(outcome, fault):
    outcome[fault].result()
