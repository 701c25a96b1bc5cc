"""Each way round a fault of kafka-python is still needed: without it the fault is there.

A test that fails here says that the library has been mended, and that the way round can go.
"""

import signal
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from types import SimpleNamespace

import pytest
from kafka import KafkaConsumer, OffsetAndMetadata, TopicPartition
from kafka.net.selector import NetworkSelector
from kafka.net.transport import KafkaTCPTransport

from tests.support.account import cpu
from tests.support.client import administrator
from tests.support.client import try_create as made
from tests.support.cluster import Cluster
from tests.support.process import Running, eventually, hold, script
from tests.support.proxy import Proxy
from tests.support.servers import Broker

# Of interest when kafka-python changes, and that takes `--full` anyway.
pytestmark = [pytest.mark.full, pytest.mark.xdist_group("ways round")]

# The scripts, and what takes a way round away before they run.
PRODUCE = "from producer_utils import produce; produce(0.2)"
CONSUME = "from consumer_c import consume; consume()"
IMPATIENT = "import kafka_utils; del kafka_utils.PatientClient.connection_delay"
KEEP_CALM_BUT = """
import kafka_utils
keep_calm = kafka_utils.keep_calm
def keep_calm_but(consumer):
    keep_calm(consumer)
    del consumer._coordinator.{}
kafka_utils.keep_calm = keep_calm_but
"""
RESTLESS = KEEP_CALM_BUT.format("time_to_next_poll")
FORGETFUL = KEEP_CALM_BUT.format("need_rejoin")
HASTY = KEEP_CALM_BUT.format("_send_group_coordinator_request")
WAITING = "import kafka_utils; del kafka_utils.TellingManager.send"
HOPELESS = "import kafka_utils; del kafka_utils.TellingManager.get_connection"
INSISTENT = """
import kafka_utils
Manager = kafka_utils.TellingManager
Manager.request_update_once = lambda manager: manager.request_update()
"""
EAGER = "import kafka_utils; del kafka_utils.TellingManager.reset_backoff"
GIVING_UP = "import kafka_utils; del kafka_utils.PatientClient.send"
TRUSTING = "import kafka_utils; kafka_utils.WORDS.clear()"
ENDLESS = """
from kafka.net.transport import KafkaSSLTransport as Transport
handshake = Transport.handshake
import kafka_utils
Transport.handshake = handshake
"""


@pytest.fixture(scope="module")
def proxy() -> Iterator[Proxy]:
    """What stands between the broker of this file and the scripts."""
    proxy = Proxy()
    yield proxy
    proxy.close()


@pytest.fixture(scope="module")
def shared(proxy, tmp_path_factory, ours_to_stop) -> Iterator[Broker]:
    """A broker for this file, which each test leaves running."""
    advertised = {"advertised.listeners": f"PLAINTEXT://{proxy.address}"}
    by_hand = {"auto.create.topics.enable": "false"}  # a topic that goes is not to come by itself
    with Broker(tmp_path_factory.mktemp("ways round"), advertised | by_hand) as broker:
        proxy.target = broker.port
        yield broker.start()


@pytest.fixture
def broker(shared, proxy) -> Broker:
    """The file's broker, up and running, behind the proxy."""
    proxy.turn("pass")
    return shared


@pytest.fixture
def start(topic) -> Iterator[Callable[..., Running]]:
    """Starts a script, without a way round if there is one to take away."""
    with ExitStack() as stack:

        def start(servers: str, run: str, without: str = "", **settings: str) -> Running:
            code = f"{without}\n{run}"
            one = script("-c", servers, topic, arguments=(code,), **settings)
            stack.callback(one.kill)
            return one

        yield start


def busy(one: Running, seconds: float) -> bool:
    """Whether a process takes more than the five hundredths of a core that it may."""
    before = cpu(one)
    hold(seconds)
    return cpu(one) - before > 0.05 * seconds


def test_at_a_port_that_accepts_and_closes_a_producer_spins(broker, proxy, start):
    ways = start(proxy.address, PRODUCE, EAGER), start(proxy.address, PRODUCE, IMPATIENT)
    for one in ways:
        one.said("A: 20 ")
    proxy.turn("close")
    with ThreadPoolExecutor() as pool:
        assert all(pool.map(busy, ways, (5, 5))), ways


def test_where_the_leader_of_a_partition_is_nobody_a_producer_spins(broker, proxy, start):
    ways = start(proxy.address, PRODUCE, HOPELESS), start(proxy.address, PRODUCE, INSISTENT)
    for one in ways:
        one.said("A: 20 ")
    proxy.turn("rename")
    with ThreadPoolExecutor() as pool:
        assert all(pool.map(busy, ways, (5, 5))), ways
    proxy.turn("pass")
    hopeless, insistent = ways
    printed = len(hopeless.out)
    insistent.said("is back", 10)
    assert len(hopeless.out) == printed, hopeless


def test_a_producer_gives_up_a_first_request_without_an_answer(broker, proxy, start):
    proxy.turn("first")
    one = start(proxy.address, PRODUCE, GIVING_UP)
    assert one.ended(20) == 1, one
    assert one.find("Number 0 was not accepted"), one


def test_in_a_silent_network_some_members_of_groups_spin(broker, proxy, start):
    start(proxy.address, PRODUCE)
    restless = [
        start(proxy.address, CONSUME, RESTLESS, KAFKA_GROUP_ID=f"restless {k}") for k in range(4)
    ]
    for one in restless:
        one.said("A: 20")
    proxy.turn("cut")
    with ThreadPoolExecutor() as pool:
        assert any(pool.map(busy, restless, [6] * 4)), restless


def test_a_request_to_join_a_group_is_waited_for_when_the_network_swallowed_it(
    broker, proxy, start
):
    proxy.links.clear()  # those of other tests
    proxy.turn("join")
    asking, waiting = (
        start(proxy.address, CONSUME, way, KAFKA_GROUP_ID=name)
        for name, way in (("asking", ""), ("waiting", WAITING))
    )
    eventually(lambda: sum(link.dead for link in proxy.links) >= 2, 20, asking, waiting)
    proxy.turn("pass")
    asking.said("Reading partition", 15)
    hold(5)
    assert not waiting.find("Reading partition"), waiting


def test_a_commit_counts_as_done_when_only_the_coordinator_was_found(broker, topic):
    partition = TopicPartition(topic, 0)
    assert made(administrator(broker.servers), topic, 1), topic
    consumer = KafkaConsumer(
        topic, bootstrap_servers=broker.servers, group_id=topic, enable_auto_commit=False
    )

    def done() -> bool:
        # It never joined its group, so nothing can be committed in its name.
        answer = consumer.commit_async({partition: OffsetAndMetadata(1, "", -1)})
        eventually(lambda: answer.is_done, 10)
        return answer.succeeded()

    try:
        eventually(done, 10, "a coordinator, or send() in commit() is not needed any more")
        assert consumer.committed(partition) is None
    finally:
        consumer.close()


def test_a_join_that_is_not_needed_any_more_is_forgotten_half_done(broker, topic, start):
    admin = administrator(broker.servers)

    def state(group: str) -> str:
        return admin.describe_consumer_groups([group])[group].result(10).state.name

    def member(name: str, way: str) -> Running:
        settings = {"KAFKA_TOPIC": name, "KAFKA_GROUP_ID": name}
        one = start(broker.servers, CONSUME, way, **settings, KAFKA_METADATA_MAX_AGE_MS="300")
        one.said("Reading partition|standing by")
        return one

    # The name of a topic and of the group that reads it, and what the group comes to.
    ways = {f"{topic}-mended": ("", "STABLE"), f"{topic}-forgetful": (FORGETFUL, "EMPTY")}
    for name, (way, _) in ways.items():
        assert made(admin, name, 1), name
        member(name, way)
        # The other member is stopped, so that the first has to wait when it joins anew.
        member(name, "").send(signal.SIGSTOP)
        # The topic goes, so that there is a reason to join anew, and is there again.
        admin.delete_topics([name])[name].result(10)
        eventually(lambda name=name: state(name).startswith("PREPARING"), 10, name)
        eventually(lambda name=name: name not in admin.list_topics(timeout=5).topics, 10, name)
        eventually(lambda name=name: made(admin, name, 1), 10, name)
    # The stopped ones are given up after a session, those who do not join after two.
    eventually(lambda: state(f"{topic}-forgetful") == "EMPTY", 30)
    for name, (_, end) in ways.items():
        assert state(name) == end, name


def test_a_dead_coordinator_that_others_still_name_is_asked_for_without_a_pause(
    tmp_path, topic, start
):
    cluster = Cluster(tmp_path)
    try:
        cluster.start().create(topic)
        hasty = start(cluster.servers, CONSUME, HASTY, KAFKA_GROUP_ID=topic)
        hasty.said("Reading partition")
        cluster.kafkas[cluster.coordinator(topic)].kill()
        assert busy(hasty, 4), hasty  # another broker names it until its session is over
    finally:
        cluster.kill()


def test_a_handshake_that_is_not_answered_lasts_for_ever(proxy, start):
    proxy.turn("mute")
    settings = {"KAFKA_SECURITY_PROTOCOL": "SSL"}
    limited, endless = (start(proxy.address, PRODUCE, way, **settings) for way in ("", ENDLESS))
    limited.said("Waiting for Kafka", 10)
    hold(4)
    assert not endless.err, endless


def test_the_last_words_of_a_server_that_hangs_up_are_lost():
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.sendall(b"wrong password")
    theirs.close()
    net, heard = NetworkSelector(), []
    transport = KafkaTCPTransport(net, ours)
    protocol = SimpleNamespace(data_received=heard.append, connection_lost=heard.append)
    protocol._sensors = None
    transport.set_protocol(protocol)
    transport.resume_reading()
    eventually(lambda: net.poll(timeout_ms=10) or heard, 5)
    assert not isinstance(heard[0], bytes), "heard: receive_to_the_end is not needed any more"


def test_a_security_protocol_misspelt_connects_in_plain_text(broker, start):
    one = start(broker.servers, PRODUCE, TRUSTING, KAFKA_SECURITY_PROTOCOL="sasl-ssl")
    one.said("A: 0 ")
