"""Settings from the environment: every kind of listener, and one sentence for what is wrong."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka.admin import (
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

from tests.support.certificates import Authority
from tests.support.process import Broker, Running, administrator, eventually, free_ports, script

SCRIPTS = ["producer_a.py", "producer_b.py", "consumer_c.py"]

# Three seconds on a machine that has nothing else to do.
SOON = 4

SECRETS = {"alice": "alices-secret", "bob": "bobs-secret", "key": "keys-secret", "wrong": "hunter2"}

# The listeners, what they speak, and what they present or give as their address where that
# differs from `localhost` and the port.
LISTENERS = {
    "OPEN": "PLAINTEXT",
    "LOGIN": "SASL_PLAINTEXT",
    "TLS": "SSL",
    "MUTUAL": "SSL",
    "BOTH": "SASL_SSL",
    "EXPIRED": "SSL",
    "ELSEWHERE": "SSL",
    "UNKNOWN": "PLAINTEXT",
    "CLOSED": "PLAINTEXT",
    "SILENT": "PLAINTEXT",
}
LOGIN_MODULE = "org.apache.kafka.common.security.{} required"


class Fortress:
    """A Kafka with many listeners, and the keys to them."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.broker = Broker(directory / "data")
        self.ports = dict(zip(LISTENERS, free_ports(len(LISTENERS)), strict=True))
        self.closed, self.silence = free_ports(1)[0], Silence()
        self.mute = socket.create_server(("127.0.0.1", 0))  # the kernel accepts, and nobody reads
        self.authority = Authority(directory)
        self.stranger = Authority(directory, "stranger")
        self.client = self.authority.issue("client", password=SECRETS["key"])
        self.password = directory / "password"
        self.password.write_text(SECRETS["bob"] + "\n")
        self.rubbish = directory / "rubbish.pem"
        self.rubbish.write_text("no certificate\n")

    def start(self) -> None:
        overrides = [f"{name}={value}" for name, value in self.settings()]
        self.broker.start(*(word for one in overrides for word in ("--override", one)))
        mechanism = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096)
        bob = UserScramCredentialUpsertion("bob", mechanism, SECRETS["bob"].encode())
        admin = administrator(self.at("OPEN"))
        admin.alter_user_scram_credentials([bob])["bob"].result(20)

    def settings(self) -> Iterator[tuple[str, object]]:
        """Kafka's own settings for the listeners."""
        given = {"UNKNOWN": "no-such-host.invalid:9092", "CLOSED": f"localhost:{self.closed}"}
        given["SILENT"] = f"localhost:{self.silence.port}"
        listeners = {name: f"{name}://127.0.0.1:{port}" for name, port in self.ports.items()}
        advertised = {name: f"{name}://{given.get(name, self.at(name))}" for name in LISTENERS}
        yield "listeners", ",".join(listeners.values())
        yield "advertised.listeners", ",".join(advertised.values())
        yield "listener.security.protocol.map", ",".join(map(":".join, LISTENERS.items()))
        yield "inter.broker.listener.name", "OPEN"
        yield "num.network.threads", 1
        yield "sasl.enabled.mechanisms", "PLAIN,SCRAM-SHA-512"
        for name in ("login", "both"):
            plain = LOGIN_MODULE.format("plain.PlainLoginModule")
            scram = LOGIN_MODULE.format("scram.ScramLoginModule")
            start = f"listener.name.{name}"
            yield f"{start}.plain.sasl.jaas.config", f'{plain} user_alice="{SECRETS["alice"]}";'
            yield f"{start}.scram-sha-512.sasl.jaas.config", f"{scram};"
        good = self.authority.issue("good", "localhost", "127.0.0.1")
        files = dict.fromkeys(("tls", "mutual", "both"), good)
        files["expired"] = self.authority.issue("expired", "localhost", days=-1)
        files["elsewhere"] = self.authority.issue("elsewhere", "kafka.example.org")
        for name, file in files.items():
            for store, path in (("keystore", file), ("truststore", self.authority.file)):
                yield f"listener.name.{name}.ssl.{store}.type", "PEM"
                yield f"listener.name.{name}.ssl.{store}.location", path
        yield "listener.name.mutual.ssl.client.auth", "required"

    def at(self, listener: str) -> str:
        """The address of a listener."""
        return f"localhost:{self.ports[listener]}"

    def env(self, listener: str, protocol: str = "", **changes: object) -> dict[str, str]:
        """The environment of a client that may use a listener, with changes; None takes away."""
        protocol = protocol or LISTENERS[listener]
        env: dict = {"BOOTSTRAP_SERVERS": self.at(listener), "SECURITY_PROTOCOL": protocol}
        if "SASL" in protocol:
            env |= {"SASL_MECHANISM": "PLAIN", "SASL_PLAIN_USERNAME": "alice"}
            env["SASL_PLAIN_PASSWORD"] = SECRETS["alice"]
        if protocol.endswith("SSL"):
            env["SSL_CAFILE"] = self.authority.file
        if listener == "MUTUAL":
            env |= {"SSL_CERTFILE": self.client, "SSL_PASSWORD": SECRETS["key"]}
        return {f"KAFKA_{k}": str(v) for k, v in (env | changes).items() if v is not None}

    def bob(self) -> dict[str, object]:
        """A login by SCRAM, the password in a file."""
        login = {"SASL_MECHANISM": "SCRAM-SHA-512", "SASL_PLAIN_USERNAME": "bob"}
        return login | {"SASL_PLAIN_PASSWORD": None, "SASL_PLAIN_PASSWORD_FILE": self.password}


class Silence:
    """A port whose queue is full: who connects hears nothing, not even that he is refused."""

    def __init__(self) -> None:
        self.sockets = [socket.create_server(("127.0.0.1", 0), backlog=0)]
        self.port = self.sockets[0].getsockname()[1]
        for _ in range(4):
            self.sockets.append(socket.socket())
            self.sockets[-1].setblocking(False)
            self.sockets[-1].connect_ex(("127.0.0.1", self.port))

    def end(self) -> None:
        for one in self.sockets:
            one.close()


@pytest.fixture(scope="module")
def kafka(tmp_path_factory) -> Iterator[Fortress]:
    """One Kafka with all listeners for all tests here."""
    if os.environ.get("KAFKA_BOOTSTRAP_SERVERS"):
        pytest.skip("KAFKA_BOOTSTRAP_SERVERS names a broker whose listeners are not ours to set")
    fortress = Fortress(tmp_path_factory.mktemp("fortress"))
    try:
        fortress.start()
        yield fortress
        fortress.broker.stop()
    finally:
        fortress.broker.kill()
        fortress.silence.end()
        fortress.mute.close()


@pytest.fixture
def start(topic) -> Iterator:
    """Starts scripts on the test's topic; in the end none of them has shown a secret."""
    started: list[Running] = []

    def start(name: str, env: dict[str, str]) -> Running:
        servers = env.get("KAFKA_BOOTSTRAP_SERVERS", "")
        started.append(script(name, topic=topic, **({"servers": servers} | env)))
        return started[-1]

    yield start
    for one in started:
        one.kill()
        for reader in one.readers:
            reader.join(5)
        assert not [s for s in SECRETS.values() if any(s in line for line in one.out + one.err)]


def ends(one: Running, pattern: str) -> None:
    """The script ends soon, with status 1, and one sentence is all that it said."""
    assert one.ended(SOON) == 1
    assert one.out == [] and len(one.err) == 1, one
    assert one.find(pattern), one


def waits(one: Running, pattern: str) -> None:
    """The script says soon what it waits for, and waits, quietly, until Ctrl-C."""
    one.said(pattern, SOON)
    assert one.process.poll() is None, one
    assert one.stop(seconds=2) == 0
    assert one.out == [] and one.err[-1] == "Interrupted!" and len(one.err) <= 3, one


WAYS = {
    "no security": lambda kafka: kafka.env("OPEN"),
    "PLAIN over SASL_PLAINTEXT": lambda kafka: kafka.env("LOGIN"),
    "SCRAM over SASL_PLAINTEXT": lambda kafka: kafka.env("LOGIN", **kafka.bob()),
    "TLS with a private authority": lambda kafka: kafka.env("TLS"),
    "TLS with a client certificate": lambda kafka: kafka.env("MUTUAL"),
    "SCRAM over TLS": lambda kafka: kafka.env("BOTH", **kafka.bob()),
}


@pytest.mark.parametrize("way", WAYS)
def test_numbers_go_from_a_and_b_to_c_by_settings_alone_with(way, kafka, start):
    env = WAYS[way](kafka)
    a, b, c = (start(name, env) for name in SCRIPTS)
    c.said("A: 0", 25)
    c.said("B: 1", 25)
    for one in (a, b, c):
        assert one.stop(seconds=6) == 0
    assert not c.find("Waiting|lost"), c


FINAL = {
    "a wrong password": (
        lambda kafka: kafka.env("LOGIN", SASL_PLAIN_PASSWORD=SECRETS["wrong"]),
        "KAFKA_SASL_PLAIN_",
    ),
    "a wrong password, SCRAM over TLS": (
        lambda kafka: kafka.env("BOTH", **(kafka.bob() | {"SASL_PLAIN_USERNAME": "alice"})),
        "KAFKA_SASL_PLAIN_",
    ),
    "a mechanism that the broker does not have": (
        lambda kafka: kafka.env("LOGIN", SASL_MECHANISM="SCRAM-SHA-256"),
        "KAFKA_SASL_MECHANISM",
    ),
    "a login where none is wanted": (
        lambda kafka: kafka.env("OPEN", "SASL_PLAINTEXT"),
        "KAFKA_SECURITY_PROTOCOL",
    ),
    "an authority that nobody has heard of": (
        lambda kafka: kafka.env("TLS", SSL_CAFILE=kafka.stranger.file),
        "KAFKA_SSL_CAFILE",
    ),
    "a private authority that is not named": (
        lambda kafka: kafka.env("TLS", SSL_CAFILE=None),
        "KAFKA_SSL_CAFILE",
    ),
    "an expired certificate": (lambda kafka: kafka.env("EXPIRED"), "certificate has expired"),
    "a certificate for another host": (
        lambda kafka: kafka.env("ELSEWHERE"),
        "certificate is for another host",
    ),
    "no client certificate where one is wanted": (
        lambda kafka: kafka.env("MUTUAL", SSL_CERTFILE=None, SSL_PASSWORD=None),
        "KAFKA_SSL_CERTFILE",
    ),
    "a stranger's client certificate": (
        lambda kafka: kafka.env("MUTUAL", SSL_CERTFILE=kafka.stranger.issue("client of another")),
        "KAFKA_SSL_CERTFILE",
    ),
}


@pytest.mark.parametrize("case", FINAL)
def test_where_waiting_cannot_help_one_sentence_names_the_cause_and_it_ends(case, kafka, start):
    env, pattern = FINAL[case]
    name = SCRIPTS[list(FINAL).index(case) % 3]
    ends(start(name, env(kafka)), pattern)


HOPEFUL = {
    "an unknown host": (
        lambda kafka: kafka.env("OPEN", BOOTSTRAP_SERVERS="no-such-host.invalid:9092"),
        r"no-such-host\.invalid:9092 \(unknown host",
    ),
    "nobody listening": (
        lambda kafka: kafka.env("OPEN", BOOTSTRAP_SERVERS=f"localhost:{kafka.closed}"),
        r"localhost:\d+ \(connection refused",
    ),
    "an advertised host that is unknown": (
        lambda kafka: kafka.env("UNKNOWN"),
        r"no-such-host\.invalid:9092 .*unknown host",
    ),
    "an advertised port where nobody listens": (
        lambda kafka: kafka.env("CLOSED"),
        r"localhost:\d+ .*connection refused",
    ),
    "an advertised port that is silent": (
        lambda kafka: kafka.env("SILENT"),
        r"localhost:\d+ .*no answer",
    ),
    "TLS against a plain port": (
        lambda kafka: kafka.env("OPEN", "SSL"),
        "KAFKA_SECURITY_PROTOCOL",
    ),
    "plain against a TLS port": (
        lambda kafka: kafka.env("TLS", "PLAINTEXT"),
        "KAFKA_SECURITY_PROTOCOL",
    ),
    "a login without TLS against a TLS port": (
        lambda kafka: kafka.env("BOTH", "SASL_PLAINTEXT"),
        "KAFKA_SECURITY_PROTOCOL",
    ),
    "TLS against a port that accepts and says nothing": (
        lambda kafka: kafka.env(
            "TLS", BOOTSTRAP_SERVERS=f"localhost:{kafka.mute.getsockname()[1]}"
        ),
        r"localhost:\d+ .*no answer",
    ),
    "no login where one is wanted": (
        lambda kafka: kafka.env("LOGIN", "PLAINTEXT"),
        "KAFKA_SECURITY_PROTOCOL",
    ),
    "no login where one is wanted, over TLS": (
        lambda kafka: kafka.env("BOTH", "SSL"),
        "KAFKA_SECURITY_PROTOCOL",
    ),
}


@pytest.mark.parametrize("case", HOPEFUL)
def test_where_waiting_may_help_one_sentence_names_the_cause_and_it_waits(case, kafka, start):
    if "silent" in case and sys.platform != "linux":
        pytest.skip("only Linux says nothing when the queue of a port is full")
    env, pattern = HOPEFUL[case]
    name = SCRIPTS[list(HOPEFUL).index(case) % 3]
    waits(start(name, env(kafka)), pattern)


# Settings, where in what is said they have to stand; each with a listener nobody may connect to.
REFUSED = {
    "protocol in small letters": ({"SECURITY_PROTOCOL": "sasl_ssl"}, "SECURITY_PROTOCOL.*SASL_SSL"),
    "protocol misspelt": ({"SECURITY_PROTOCOL": "SSLSASL"}, "SECURITY_PROTOCOL.*SASL_SSL"),
    "mechanism in small letters": (
        {"SECURITY_PROTOCOL": "SASL_SSL", "SASL_MECHANISM": "plain"},
        "SASL_MECHANISM.*PLAIN",
    ),
    "login without mechanism": ({"SECURITY_PROTOCOL": "SASL_SSL"}, "SASL_MECHANISM"),
    "login without name": (
        {"SECURITY_PROTOCOL": "SASL_SSL", "SASL_MECHANISM": "PLAIN"},
        "SASL_PLAIN_USERNAME",
    ),
    "password without login": ({"SASL_PLAIN_PASSWORD": SECRETS["wrong"]}, "SECURITY_PROTOCOL"),
    "authority without TLS": ({"SSL_CAFILE": "{authority}"}, "SECURITY_PROTOCOL"),
    "option that is close to one": (
        {"BOOTSTRAP_SERVER": "x"},
        r".* mean KAFKA_BOOTSTRAP_SERVERS\?",
    ),
    "topic that is close": ({"TOPICS": "x"}, r".* mean KAFKA_TOPIC\?"),
    "user as librdkafka calls it": ({"SASL_USERNAME": "x"}, r".* mean KAFKA_SASL_PLAIN_USERNAME\?"),
    "password as librdkafka calls it": (
        {"SASL_PASSWORD": SECRETS["wrong"]},
        r".* mean KAFKA_SASL_PLAIN_PASSWORD\?",
    ),
    "TLS that is no setting": ({"SSL_TRUSTSTORE_TYPE": "JKS"}, "SSL_TRUSTSTORE_TYPE is no setting"),
    "word for a number": ({"FETCH_MAX_WAIT_MS": "long"}, "FETCH_MAX_WAIT_MS.*number"),
    "word for a switch": ({"CHECK_CRCS": "perhaps"}, "CHECK_CRCS.*true"),
    "unknown compression": ({"COMPRESSION_TYPE": "rar"}, "COMPRESSION_TYPE.*zstd"),
    "word for a port": ({"BOOTSTRAP_SERVERS": "localhost:kafka"}, "BOOTSTRAP_SERVERS"),
    "address of a web page": ({"BOOTSTRAP_SERVERS": "http://localhost:1"}, "BOOTSTRAP_SERVERS"),
    "acks": ({"ACKS": "1"}, "ACKS.*delivery guarantee"),
    "idempotence": ({"ENABLE_IDEMPOTENCE": "false"}, "ENABLE_IDEMPOTENCE.*delivery guarantee"),
    "auto-commit": ({"ENABLE_AUTO_COMMIT": "true"}, "ENABLE_AUTO_COMMIT"),
    "delivery time": ({"DELIVERY_TIMEOUT_MS": "1000"}, "DELIVERY_TIMEOUT_MS.*delivery guarantee"),
    "Python object": ({"VALUE_DESERIALIZER": "int"}, "VALUE_DESERIALIZER"),
    "authority that is no file": (
        {"SECURITY_PROTOCOL": "SSL", "SSL_CAFILE": "/no/such/file"},
        "SSL_CAFILE.*No such file",
    ),
    "authority that is no certificate": (
        {"SECURITY_PROTOCOL": "SSL", "SSL_CAFILE": "{rubbish}"},
        "SSL_CAFILE",
    ),
    "certificate without its password": (
        {"SECURITY_PROTOCOL": "SSL", "SSL_CERTFILE": "{client}"},
        "SSL_CERTFILE",
    ),
    "certificate with a wrong password": (
        {"SECURITY_PROTOCOL": "SSL", "SSL_CERTFILE": "{client}", "SSL_PASSWORD": SECRETS["wrong"]},
        "SSL_(CERTFILE|PASSWORD)",
    ),
    "password file that is none": (
        {"SASL_PLAIN_PASSWORD_FILE": SECRETS["wrong"]},
        "SASL_PLAIN_PASSWORD_FILE",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_wrong_setting_is_named_before_anything_is_connected(case, kafka, start):
    settings, pattern = REFUSED[case]
    with socket.create_server(("127.0.0.1", 0)) as server:
        env = {"KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{server.getsockname()[1]}"}
        env |= {f"KAFKA_{k}": v.format(**vars_of(kafka)) for k, v in settings.items()}
        name = SCRIPTS[list(REFUSED).index(case) % 3]
        ends(start(name, env), f"KAFKA_{pattern}")
        server.setblocking(False)
        with pytest.raises(BlockingIOError):
            server.accept()


def vars_of(kafka: Fortress) -> dict[str, object]:
    """The files that settings may name."""
    return vars(kafka) | {"authority": kafka.authority.file}


def test_what_other_programs_keep_in_the_environment_does_no_harm(kafka, start):
    others = {name: "x" for name in ("HOME", "HEAP_OPTS", "LOG4J_OPTS", "JMX_OPTS", "OPTS")}
    others |= {name: "x" for name in ("JVM_PERFORMANCE_OPTS", "GC_LOG_OPTS", "DEBUG", "JMX_PORT")}
    others |= {"PORT": "tcp://10.0.0.1:9092", "SERVICE_HOST": "10.0.0.1", "SERVICE_PORT": "9092"}
    others |= {"PORT_9092_TCP": "tcp://10.0.0.1:9092", "PORT_9092_TCP_PROTO": "tcp"}
    others |= {"PORT_9092_TCP_PORT": "9092", "PORT_9092_TCP_ADDR": "10.0.0.1"}
    others |= {"SERVICE_PORT_KAFKA": "9092", "LINGER_MS": "", "VERSION": "3.9.2", "CLUSTER_ID": "x"}
    env = kafka.env("OPEN", **others)
    a, c = start("producer_a.py", env), start("consumer_c.py", env)
    c.said("A: 0")
    assert not a.find("KAFKA_") and not c.find("KAFKA_")


def test_each_client_takes_the_options_it_knows_and_the_first_server_that_answers(kafka, start):
    servers = f"localhost:{kafka.closed}, {kafka.at('OPEN')}"
    options = {"LINGER_MS": 5, "MAX_POLL_RECORDS": 7, "CHECK_CRCS": "false", "CLIENT_RACK": "r1"}
    options |= {"COMPRESSION_TYPE": "zstd", "FETCH_MIN_BYTES": 1, "SEND_BUFFER_BYTES": 65536}
    env = kafka.env("OPEN", **options, BOOTSTRAP_SERVERS=servers)
    a, c = start("producer_a.py", env), start("consumer_c.py", env)
    c.said("A: 2", 25)
    eventually(lambda: a.find("A: 2 "), 10, a)
