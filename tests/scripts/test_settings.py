"""Settings from the environment: every kind of listener, and one sentence for each refusal."""

import re
import sys

import pytest

from tests.support.account import account
from tests.support.client import create_logins
from tests.support.process import eventually, hold
from tests.support.secured import BOB, SECRETS, SESSION
from tests.support.session import goes_on
from tests.support.trio import SCRIPTS

# Three seconds on a machine that has nothing else to do.
SOON = 4

PROTOCOL, CERTFILE = "KAFKA_SECURITY_PROTOCOL", "KAFKA_SSL_CERTFILE"
UNTRUSTED = "its certificate is not trusted: see KAFKA_SSL_CAFILE"


# A listener, and changes to the settings for it.
LOGINS: dict[str, tuple[str, dict]] = {
    "PLAIN over SASL_PLAINTEXT": ("LOGIN", {}),
    "SCRAM over SASL_PLAINTEXT": ("LOGIN", BOB),
    "TLS with a private authority": ("TLS", {}),
    "TLS with a client certificate": ("MUTUAL", {}),
    "SCRAM over TLS": ("BOTH", BOB),
}


@pytest.mark.parametrize("login", LOGINS)
def test_numbers_go_from_a_and_b_to_c_by_settings_alone_with(login, secured, run):
    listener, changes = LOGINS[login]
    a, b, c = (run(name, **secured.access(listener, **changes)) for name in SCRIPTS)
    c.said("A: 0", 25)
    c.said("B: 1", 25)
    for one in (a, b, c):
        assert one.stop(seconds=6) == 0
    assert not c.find(r"lost|Waiting for Kafka at .*\((?!no answer)"), c  # a busy machine is slow


def test_a_password_that_was_rotated_under_a_running_script_is_read_again(
    secured, run, topic, tmp_path
):
    file = tmp_path / "password"
    file.write_text(SECRETS["alice"] + "\n")
    create_logins(secured.admin, {"carol": SECRETS["alice"]})
    login = {"SASL_MECHANISM": "SCRAM-SHA-512", "SASL_PLAIN_USERNAME": "carol"}
    login |= {"SASL_PLAIN_PASSWORD": None, "SASL_PLAIN_PASSWORD_FILE": file}
    env = secured.access("BRIEF", **login)
    a, c = run("producer_a.py", **env), run("consumer_c.py", **env)
    c.said("A: 0", 25)
    hold(3 * SESSION)  # logged in again by the same password, several times
    assert not a.find("lost") and not c.find("lost"), (a, c)
    create_logins(secured.admin, {"carol": SECRETS["bob"]})
    for one in (a, c):
        one.said("Connection to .* lost: authentication failed", 2 * SESSION)
    file.write_text(SECRETS["bob"] + "\n")
    hold(2 * SESSION)  # each of their connections has to log in again meanwhile
    for one in (a, c):
        goes_on(one, 10)
    account([a], [c], secured.servers, topic, twice_allowed=2)
    assert c.stop(seconds=6) == 0


# The same, and what the script says.
FINAL: dict[str, tuple[str, dict, str]] = {
    "a wrong password": ("LOGIN", {"SASL_PLAIN_PASSWORD": SECRETS["wrong"]}, "KAFKA_SASL_PLAIN_"),
    "a wrong password, SCRAM over TLS": (
        "BOTH",
        BOB | {"SASL_PLAIN_USERNAME": "alice"},
        "KAFKA_SASL_PLAIN_",
    ),
    "an unknown mechanism": ("LOGIN", {"SASL_MECHANISM": "SCRAM-SHA-256"}, "KAFKA_SASL_MECHANISM"),
    "a login where none is wanted": ("OPEN", {"SECURITY_PROTOCOL": "SASL_PLAINTEXT"}, PROTOCOL),
    "an unknown authority": ("TLS", {"SSL_CAFILE": "{stranger.file}"}, UNTRUSTED),
    "a private authority that is not named": ("TLS", {"SSL_CAFILE": None}, UNTRUSTED),
    "an expired certificate": ("EXPIRED", {}, "certificate has expired"),
    "a certificate not valid yet": ("EARLY", {}, "is not valid yet: check this machine's clock"),
    "a CRL that is missing": ("TLS", {"SSL_CRLFILE": "{authority.file}"}, "KAFKA_SSL_CRLFILE"),
    "a certificate for another host": ("ELSEWHERE", {}, "certificate is for another host"),
    "no client certificate": ("MUTUAL", {"SSL_CERTFILE": None, "SSL_PASSWORD": None}, CERTFILE),
    "a stranger's client certificate": ("MUTUAL", {"SSL_CERTFILE": "{strangers_client}"}, CERTFILE),
}


@pytest.mark.parametrize("case", FINAL)
def test_where_waiting_cannot_help_one_sentence_names_the_cause_and_it_ends(case, secured, run):
    listener, changes, pattern = FINAL[case]
    one = run(SCRIPTS[list(FINAL).index(case) % 3], **secured.access(listener, **changes))
    assert re.search(pattern, one.refused(SOON))


ADVERTISED = r"\. localhost:\d+ answered with that address: set advertised\.listeners"

HOPEFUL: dict[str, tuple[str, dict, str]] = {
    "an unknown host": (
        "OPEN",
        {"BOOTSTRAP_SERVERS": "no-such-host.invalid:9092"},
        r"^Waiting for Kafka at no-such-host\.invalid:9092 \(unknown host\)\.$",
    ),
    "a port without a listener": (
        "OPEN",
        {"BOOTSTRAP_SERVERS": "localhost:{closed}"},
        r"localhost:\d+ \(connection refused\)\.$",
    ),
    "an address of IPv6": (
        "OPEN",
        {"BOOTSTRAP_SERVERS": "[::1]:{closed}"},
        r"^Waiting for Kafka at \[::1\]:\d+ \(",
    ),
    "a proxy that does not run": (
        "OPEN",
        {"PROXY_URL": "socks5://localhost:{closed}"},
        r"^Waiting for Kafka through KAFKA_PROXY_URL at localhost:\d+ \(connection refused\)\.$",
    ),
    "an advertised host that is unknown": (
        "UNKNOWN",
        {},
        r"no-such-host\.invalid:9092 \(unknown host\)" + ADVERTISED,
    ),
    "an advertised port without a listener": (
        "CLOSED",
        {},
        r"localhost:\d+ \(connection refused\)" + ADVERTISED,
    ),
    "an advertised port that is silent": (
        "SILENT",
        {},
        r"localhost:\d+ \(no answer\)" + ADVERTISED,
    ),
    "TLS against a plain port": ("OPEN", {"SECURITY_PROTOCOL": "SSL"}, PROTOCOL),
    "plain against a TLS port": ("TLS", {"SECURITY_PROTOCOL": "PLAINTEXT"}, PROTOCOL),
    "a login without TLS": ("BOTH", {"SECURITY_PROTOCOL": "SASL_PLAINTEXT"}, PROTOCOL),
    "TLS against a port that accepts and never answers": (
        "TLS",
        {"BOOTSTRAP_SERVERS": "localhost:{mute_port}"},
        r"localhost:\d+ \(no answer to a TLS handshake: .*see KAFKA_SECURITY_PROTOCOL\)\.$",
    ),
    "the port of ZooKeeper": (
        "OPEN",
        {"BOOTSTRAP_SERVERS": "localhost:{zookeeper_port}"},
        r"localhost:\d+ \(this is ZooKeeper's port: name a broker's, usually 9092\)\.$",
    ),
    "no login where one is wanted": ("LOGIN", {"SECURITY_PROTOCOL": "PLAINTEXT"}, PROTOCOL),
    "no login where one is wanted, over TLS": ("BOTH", {"SECURITY_PROTOCOL": "SSL"}, PROTOCOL),
}


@pytest.mark.parametrize("case", HOPEFUL)
def test_where_waiting_may_help_one_sentence_names_the_cause_and_it_waits(case, secured, run):
    if "silent" in case and sys.platform != "linux":
        pytest.skip("only Linux drops a connection when the queue of a port is full")
    listener, changes, pattern = HOPEFUL[case]
    env = secured.access(listener, **changes) | {"ZOOKEEPER_PORT": str(secured.zookeeper_port)}
    one = run(SCRIPTS[list(HOPEFUL).index(case) % 3], **env)
    one.said(pattern, SOON)
    assert one.alive, one
    assert one.stop(seconds=1) == 0
    assert one.out == [] and one.err[-1] == "Interrupted!" and len(one.err) <= 3, one


def test_variables_of_other_programs_do_no_harm(secured, run):
    others = {name: "x" for name in ("HOME", "HEAP_OPTS", "LOG4J_OPTS", "JMX_OPTS", "OPTS")}
    others |= {name: "x" for name in ("JVM_PERFORMANCE_OPTS", "GC_LOG_OPTS", "DEBUG", "JMX_PORT")}
    others |= {"PORT": "tcp://10.0.0.1:9092", "SERVICE_HOST": "10.0.0.1", "SERVICE_PORT": "9092"}
    others |= {"PORT_9092_TCP": "tcp://10.0.0.1:9092", "PORT_9092_TCP_PROTO": "tcp"}
    others |= {"PORT_9092_TCP_PORT": "9092", "PORT_9092_TCP_ADDR": "10.0.0.1"}
    others |= {"SERVICE_PORT_KAFKA": "9092", "LINGER_MS": "", "VERSION": "3.9.2", "CLUSTER_ID": "x"}
    env = secured.access("OPEN", **others)
    a, c = run("producer_a.py", **env), run("consumer_c.py", **env)
    c.said("A: 0")
    assert not a.find("KAFKA_") and not c.find("KAFKA_")


def test_values_are_taken_as_other_clients_write_them(secured, run):
    login = secured.access("LOGIN", **BOB)
    login["KAFKA_SECURITY_PROTOCOL"] = login["KAFKA_SECURITY_PROTOCOL"].lower()
    login["KAFKA_SASL_MECHANISM"] = login["KAFKA_SASL_MECHANISM"].lower() + " "
    login["KAFKA_BOOTSTRAP_SERVERS"] += ", "
    options = {"COMPRESSION_TYPE": "none", "CHECK_CRCS": "True", "SEND_BUFFER_BYTES": "-1"}
    options |= {"CONNECTIONS_MAX_IDLE_MS": "-1", "ISOLATION_LEVEL": "READ_COMMITTED"}
    env = login | {f"KAFKA_{name}": value for name, value in options.items()}
    run("producer_a.py", **env)
    run("consumer_c.py", **env).said("A: 2", 25)


def test_each_client_takes_the_options_it_knows_and_the_first_server_that_answers(secured, run):
    servers = f"localhost:{secured.closed}, {secured.at('OPEN')}"
    options = {"LINGER_MS": 5, "MAX_POLL_RECORDS": 7, "CHECK_CRCS": "false", "CLIENT_RACK": "r1"}
    options |= {"COMPRESSION_TYPE": "zstd", "FETCH_MIN_BYTES": 1, "SEND_BUFFER_BYTES": 65536}
    env = secured.access("OPEN", **options, BOOTSTRAP_SERVERS=servers)
    a, c = run("producer_a.py", **env), run("consumer_c.py", **env)
    c.said("A: 2", 25)
    eventually(lambda: a.find("A: 2 "), 10, a)
