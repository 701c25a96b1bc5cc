"""Settings from the environment: every kind of listener, and one sentence for each mistake."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable

import pytest

from tests.support.process import Running, eventually, script
from tests.support.secured import SECRETS, SecuredBroker
from tests.support.trio import SCRIPTS

pytestmark = pytest.mark.timeout(150)  # with the start of the broker

# Three seconds on a machine that has nothing else to do.
SOON = 4


@pytest.fixture
def start(topic, add) -> Callable[[str, dict[str, str]], Running]:
    """Starts scripts on the test's topic."""

    def start(name: str, env: dict[str, str]) -> Running:
        servers = env.get("KAFKA_BOOTSTRAP_SERVERS", "")
        return add(script(name, topic=topic, **({"servers": servers} | env)))

    return start


def ends(one: Running, pattern: str) -> None:
    """The script ends soon with status 1 and one sentence."""
    assert one.ended(SOON) == 1
    assert one.out == [] and len(one.err) == 1, one
    assert one.find(pattern), one


def waits(one: Running, pattern: str) -> None:
    """The script soon says what it waits for, and waits quietly until Ctrl-C."""
    one.said(pattern, SOON)
    assert one.process.poll() is None, one
    assert one.stop(seconds=1) == 0
    assert one.out == [] and one.err[-1] == "Interrupted!" and len(one.err) <= 3, one


LOGINS = {
    "no security": lambda secured: secured.access("OPEN"),
    "PLAIN over SASL_PLAINTEXT": lambda secured: secured.access("LOGIN"),
    "SCRAM over SASL_PLAINTEXT": lambda secured: secured.access("LOGIN", **secured.bob()),
    "TLS with a private authority": lambda secured: secured.access("TLS"),
    "TLS with a client certificate": lambda secured: secured.access("MUTUAL"),
    "SCRAM over TLS": lambda secured: secured.access("BOTH", **secured.bob()),
}


@pytest.mark.parametrize(
    "login",
    [
        pytest.param(login, marks=pytest.mark.full) if login.startswith("PLAIN") else login
        for login in LOGINS
    ],
)
def test_numbers_go_from_a_and_b_to_c_by_settings_alone_with(login, secured, start):
    env = LOGINS[login](secured)
    a, b, c = (start(name, env) for name in SCRIPTS)
    c.said("A: 0", 25)
    c.said("B: 1", 25)
    for one in (a, b, c):
        assert one.stop(seconds=6) == 0
    assert not c.find(r"lost|Waiting for Kafka at .*\((?!no answer)"), c  # a busy machine is slow


FINAL = {
    "a wrong password": (
        lambda secured: secured.access("LOGIN", SASL_PLAIN_PASSWORD=SECRETS["wrong"]),
        "KAFKA_SASL_PLAIN_",
    ),
    "a wrong password, SCRAM over TLS": (
        lambda secured: secured.access(
            "BOTH", **(secured.bob() | {"SASL_PLAIN_USERNAME": "alice"})
        ),
        "KAFKA_SASL_PLAIN_",
    ),
    "a mechanism that the broker does not have": (
        lambda secured: secured.access("LOGIN", SASL_MECHANISM="SCRAM-SHA-256"),
        "KAFKA_SASL_MECHANISM",
    ),
    "a login where none is wanted": (
        lambda secured: secured.access("OPEN", "SASL_PLAINTEXT"),
        "KAFKA_SECURITY_PROTOCOL",
    ),
    "an unknown authority": (
        lambda secured: secured.access("TLS", SSL_CAFILE=secured.stranger.file),
        "KAFKA_SSL_CAFILE",
    ),
    "a private authority that is not named": (
        lambda secured: secured.access("TLS", SSL_CAFILE=None),
        "KAFKA_SSL_CAFILE",
    ),
    "an expired certificate": (
        lambda secured: secured.access("EXPIRED"),
        "certificate has expired",
    ),
    "a certificate for another host": (
        lambda secured: secured.access("ELSEWHERE"),
        "certificate is for another host",
    ),
    "no client certificate where one is wanted": (
        lambda secured: secured.access("MUTUAL", SSL_CERTFILE=None, SSL_PASSWORD=None),
        "KAFKA_SSL_CERTFILE",
    ),
    "a stranger's client certificate": (
        lambda secured: secured.access(
            "MUTUAL", SSL_CERTFILE=secured.stranger.issue("client of another")
        ),
        "KAFKA_SSL_CERTFILE",
    ),
}


@pytest.mark.parametrize("case", FINAL)
def test_where_waiting_cannot_help_one_sentence_names_the_cause_and_it_ends(case, secured, start):
    env, pattern = FINAL[case]
    name = SCRIPTS[list(FINAL).index(case) % 3]
    ends(start(name, env(secured)), pattern)


HOPEFUL = {
    "an unknown host": (
        lambda secured: secured.access("OPEN", BOOTSTRAP_SERVERS="no-such-host.invalid:9092"),
        r"^Waiting for Kafka at no-such-host\.invalid:9092 \(unknown host\)\.",
    ),
    "a port without a listener": (
        lambda secured: secured.access("OPEN", BOOTSTRAP_SERVERS=f"localhost:{secured.closed}"),
        r"localhost:\d+ \(connection refused",
    ),
    "an advertised host that is unknown": (
        lambda secured: secured.access("UNKNOWN"),
        r"no-such-host\.invalid:9092 .*unknown host",
    ),
    "an advertised port without a listener": (
        lambda secured: secured.access("CLOSED"),
        r"localhost:\d+ .*connection refused",
    ),
    "an advertised port that is silent": (
        lambda secured: secured.access("SILENT"),
        r"localhost:\d+ .*no answer",
    ),
    "TLS against a plain port": (
        lambda secured: secured.access("OPEN", "SSL"),
        "KAFKA_SECURITY_PROTOCOL",
    ),
    "plain against a TLS port": (
        lambda secured: secured.access("TLS", "PLAINTEXT"),
        "KAFKA_SECURITY_PROTOCOL",
    ),
    "a login without TLS against a TLS port": (
        lambda secured: secured.access("BOTH", "SASL_PLAINTEXT"),
        "KAFKA_SECURITY_PROTOCOL",
    ),
    "TLS against a port that accepts and never answers": (
        lambda secured: secured.access(
            "TLS", BOOTSTRAP_SERVERS=f"localhost:{secured.mute.getsockname()[1]}"
        ),
        r"localhost:\d+ .*no answer",
    ),
    "no login where one is wanted": (
        lambda secured: secured.access("LOGIN", "PLAINTEXT"),
        "KAFKA_SECURITY_PROTOCOL",
    ),
    "no login where one is wanted, over TLS": (
        lambda secured: secured.access("BOTH", "SSL"),
        "KAFKA_SECURITY_PROTOCOL",
    ),
}


@pytest.mark.parametrize("case", HOPEFUL)
def test_where_waiting_may_help_one_sentence_names_the_cause_and_it_waits(case, secured, start):
    if "silent" in case and sys.platform != "linux":
        pytest.skip("only Linux drops a connection when the queue of a port is full")
    env, pattern = HOPEFUL[case]
    name = SCRIPTS[list(HOPEFUL).index(case) % 3]
    waits(start(name, env(secured)), pattern)


# Settings, and what the sentence must contain; nothing may connect to the listener.
REFUSED = {
    "protocol misspelt": ({"SECURITY_PROTOCOL": "SSLSASL"}, "SECURITY_PROTOCOL.*SASL_SSL"),
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
    "fraction for a number": ({"LINGER_MS": "0.5"}, "LINGER_MS.*whole number"),
    "number that is too small": ({"MAX_POLL_RECORDS": "0"}, "MAX_POLL_RECORDS.*from 1 "),
    "linger that would outlast the end": ({"LINGER_MS": "5000"}, "LINGER_MS.*to 1000"),
    "number that is too large": ({"BATCH_SIZE": "2147483648"}, "BATCH_SIZE.*to 2147483647"),
    "host with an empty part": ({"BOOTSTRAP_SERVERS": "a..b:9092"}, "BOOTSTRAP_SERVERS"),
    "port that does not exist": ({"BOOTSTRAP_SERVERS": "a:1,b:99999"}, "BOOTSTRAP_SERVERS"),
    "no server": ({"BOOTSTRAP_SERVERS": ","}, "BOOTSTRAP_SERVERS"),
    "servers as librdkafka calls them": (
        {"METADATA_BROKER_LIST": "x"},
        r".* mean KAFKA_BOOTSTRAP_SERVERS\?",
    ),
    "TLS without verification": (
        {"ENABLE_SSL_CERTIFICATE_VERIFICATION": "false"},
        "ENABLE_SSL_CERTIFICATE_VERIFICATION is no setting",
    ),
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
def test_a_wrong_setting_is_named_before_anything_is_connected(case, secured, start):
    settings, pattern = REFUSED[case]
    with socket.create_server(("127.0.0.1", 0)) as server:
        env = {"KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{server.getsockname()[1]}"}
        env |= {f"KAFKA_{k}": v.format(**vars_of(secured)) for k, v in settings.items()}
        name = SCRIPTS[list(REFUSED).index(case) % 3]
        ends(start(name, env), f"KAFKA_{pattern}")
        server.setblocking(False)
        with pytest.raises(BlockingIOError):
            server.accept()


def vars_of(secured: SecuredBroker) -> dict[str, object]:
    """The files that settings may name."""
    return vars(secured) | {"authority": secured.authority.file}


def test_variables_of_other_programs_do_no_harm(secured, start):
    others = {name: "x" for name in ("HOME", "HEAP_OPTS", "LOG4J_OPTS", "JMX_OPTS", "OPTS")}
    others |= {name: "x" for name in ("JVM_PERFORMANCE_OPTS", "GC_LOG_OPTS", "DEBUG", "JMX_PORT")}
    others |= {"PORT": "tcp://10.0.0.1:9092", "SERVICE_HOST": "10.0.0.1", "SERVICE_PORT": "9092"}
    others |= {"PORT_9092_TCP": "tcp://10.0.0.1:9092", "PORT_9092_TCP_PROTO": "tcp"}
    others |= {"PORT_9092_TCP_PORT": "9092", "PORT_9092_TCP_ADDR": "10.0.0.1"}
    others |= {"SERVICE_PORT_KAFKA": "9092", "LINGER_MS": "", "VERSION": "3.9.2", "CLUSTER_ID": "x"}
    env = secured.access("OPEN", **others)
    a, c = start("producer_a.py", env), start("consumer_c.py", env)
    c.said("A: 0")
    assert not a.find("KAFKA_") and not c.find("KAFKA_")


def test_values_are_taken_as_other_clients_write_them(secured, start):
    login = secured.access("LOGIN", **secured.bob())
    login["KAFKA_SECURITY_PROTOCOL"] = login["KAFKA_SECURITY_PROTOCOL"].lower()
    login["KAFKA_SASL_MECHANISM"] = login["KAFKA_SASL_MECHANISM"].lower() + " "
    login["KAFKA_BOOTSTRAP_SERVERS"] += ", "
    options = {"COMPRESSION_TYPE": "none", "CHECK_CRCS": "True", "SEND_BUFFER_BYTES": "-1"}
    options |= {"CONNECTIONS_MAX_IDLE_MS": "-1", "ISOLATION_LEVEL": "READ_COMMITTED"}
    env = login | {f"KAFKA_{name}": value for name, value in options.items()}
    start("producer_a.py", env)
    start("consumer_c.py", env).said("A: 2", 25)


def test_each_client_takes_the_options_it_knows_and_the_first_server_that_answers(secured, start):
    servers = f"localhost:{secured.closed}, {secured.at('OPEN')}"
    options = {"LINGER_MS": 5, "MAX_POLL_RECORDS": 7, "CHECK_CRCS": "false", "CLIENT_RACK": "r1"}
    options |= {"COMPRESSION_TYPE": "zstd", "FETCH_MIN_BYTES": 1, "SEND_BUFFER_BYTES": 65536}
    env = secured.access("OPEN", **options, BOOTSTRAP_SERVERS=servers)
    a, c = start("producer_a.py", env), start("consumer_c.py", env)
    c.said("A: 2", 25)
    eventually(lambda: a.find("A: 2 "), 10, a)
