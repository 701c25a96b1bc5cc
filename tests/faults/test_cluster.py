"""Three brokers, two of which must store a number: none is lost when one or two of them fail."""

import signal
from collections.abc import Iterator

import pytest

from tests.faults.soak import soak, table
from tests.support.account import not_spinning
from tests.support.cluster import Cluster
from tests.support.process import eventually, hold
from tests.support.trio import BACK, Trio

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture(scope="module")
def shared_cluster(tmp_path_factory, ours_to_stop) -> Iterator[Cluster]:
    """Three brokers for this file, which each test leaves running."""
    with Cluster(tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster


@pytest.fixture
def cluster(shared_cluster) -> Cluster:
    """The file's cluster, all three up and running."""
    return shared_cluster.start()


@pytest.fixture
def trio(cluster, topic) -> Iterator[Trio]:
    """The three scripts, with numbers flowing."""
    cluster.create(topic)
    with Trio(cluster.servers, topic) as trio:
        trio.flowing(20)
        cluster.settled(topic)
        yield trio


def test_the_leader_of_the_partition_killed_costs_nothing(cluster, trio, topic):
    leader = cluster.leader(topic)
    with not_spinning(*trio.all):
        cluster.node(leader).kill()
        hold(7)  # six seconds until it counts as dead
    trio.flowing(3 * BACK)  # it may have been the controller, too
    assert cluster.leader(topic) != leader
    cluster.start()
    trio.end()


def test_the_leader_moved_by_hand_costs_nothing(cluster, trio, topic, full):
    leader = cluster.leader(topic)
    for step in range(1, 7 if full else 3):
        cluster.move_leader(topic, 0, (leader + step) % 3)
        trio.flowing()
    trio.end()


@pytest.mark.full
def test_a_rolling_restart_costs_nothing(cluster, trio, topic):
    for _ in range(3):
        for number in range(3):
            cluster.node(number).stop(signal.SIGTERM, 30)  # it hands its partitions over first
            trio.flowing()
            cluster.start()
            cluster.settled(topic)
    trio.end()


# One of them coordinates the group; the third can be asked for another coordinator.
def test_two_of_three_killed_and_back_cost_nothing_and_nobody_spins(cluster, trio, topic, full):
    if cluster.leader(topic) == (coordinator := cluster.coordinator(topic)):
        cluster.move_leader(topic, 0, (coordinator + 1) % 3)
        trio.flowing()
    alive = cluster.leader(topic)
    dead = [number for number in range(3) if number != alive]
    with not_spinning(*trio.all):
        for number in dead:
            cluster.node(number).kill()
        hold(30 if full else 4)
    if full:  # the leader needs some seconds to notice
        for one in trio.producers:
            one.said("Waiting for the acknowledgement of .*: fewer replicas are in sync", 1)
            assert not one.find(f"localhost:{cluster.ports[alive]} lost"), one
    cluster.start()
    trio.end()


@pytest.mark.full
def test_a_partition_without_a_leader_is_named_and_costs_nothing_and_nobody_spins(cluster, topic):
    cluster.create(topic, replicas=1)
    with Trio(cluster.servers, topic) as trio:
        trio.flowing(20)
        leader = cluster.leader(topic)
        cluster.node(leader).kill()
        eventually(lambda: cluster.leader(topic) == -1, 20, "no leader")
        with not_spinning(*trio.all):
            hold(30)
        for one in trio.all:
            one.said("Waiting for .*: no leader of partition 0: its brokers are missing", 1)
        cluster.start()
        trio.end()


@pytest.mark.full
def test_the_coordinator_of_the_group_killed_costs_nothing(cluster, trio, topic):
    coordinator = cluster.coordinator(topic)
    cluster.node(coordinator).kill()
    hold(20)
    cluster.start()
    trio.end()
    assert not trio.consumer.find("could not be committed")


@pytest.mark.parametrize(
    "seconds",
    [
        pytest.param(50, id="a minute", marks=pytest.mark.full),
        pytest.param(600, id="ten minutes", marks=[pytest.mark.soak, pytest.mark.timeout(900)]),
    ],
)
def test_faults_drawn_at_random_cost_nothing(cluster, tmp_path, request, capsys, seconds):
    run = soak(cluster, seconds, request.config.getoption("--seed"), tmp_path)
    if seconds > 60:
        with capsys.disabled():
            print(f"\n{table(run)}\nThe output of each process is in {tmp_path}.")
    assert not run.wrong, table(run)
