"""Each workaround is still needed, and works: a script with all of them beside one without it.

A test where both do well says that kafka-python has been fixed: delete the workaround, and the
test with it.
"""

from collections.abc import Callable

import pytest

from tests.support.account import cpu
from tests.support.process import Running, eventually, hold, script

PRODUCE = "from producer_utils import produce; produce(0.2)"
CONSUME = "from consumer_c import consume; consume()"

# Makes client.workarounds.apply() find a module of this name that does nothing.
WITHOUT = "import sys; sys.modules['client.workarounds.{}'] = sys; {}"

Pair = tuple[Running, Running]


@pytest.fixture
def pair(request, topic, add) -> Callable[..., Pair]:
    """Starts code twice: with all workarounds, and without the one that the test is named after."""
    name = request.path.stem.removeprefix("test_")

    def pair(servers: str, code: str, **settings: str) -> Pair:
        started = []
        for way, run in (("with", code), ("without", WITHOUT.format(name, code))):
            own = {"KAFKA_GROUP_ID": f"{topic}-{way}"} | settings
            started.append(add(script("-c", servers, topic, arguments=(run,), **own)))
        return started[0], started[1]

    return pair


def busy(*scripts: Running, seconds: float) -> list[bool]:
    """Which of some processes take more than a twentieth of a core meanwhile."""
    before = [cpu(one) for one in scripts]
    hold(seconds)
    return [cpu(one) - then > 0.05 * seconds for one, then in zip(scripts, before, strict=True)]


@pytest.fixture
def only_one_spins(pair, proxy) -> Callable[[str], Pair]:
    """Asserts that in a mode of the proxy a producer spins only without the workaround."""

    def only_one_spins(mode: str) -> Pair:
        producers = pair(proxy.address, PRODUCE)
        for one in producers:
            one.said("A: 20 ")
        proxy.turn(mode)
        eventually(lambda: busy(producers[1], seconds=1)[0], 15, "one that spins:", producers)
        assert busy(*producers, seconds=5) == [False, True], producers
        return producers

    return only_one_spins
