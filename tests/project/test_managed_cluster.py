"""What docs/clusters.md says, tried on a Kafka 4 with logins, TLS and ACLs."""

import re
import shutil
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from confluent_kafka import Consumer
from confluent_kafka.admin import AclOperation, ResourceType
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import pkcs12

from client.settings import OPTIONS
from tests.support.account import key_of_record
from tests.support.client import number_of, records, write
from tests.support.kraft import (
    BACK,
    CERTIFIED,
    CREATE,
    JOIN,
    KEY_PASSWORD,
    PASSWORDS,
    READ,
    WRITE,
    Kraft,
    shows_secret,
)
from tests.support.process import PROJECT, eventually, script
from tests.support.tmux import TRIO, Sandbox


def section(title: str) -> str:
    """The text below a headline of docs/clusters.md, up to the next headline of any depth."""
    text = (PROJECT / "docs" / "clusters.md").read_text()
    found = re.search(rf"^#+ {title}\n(.*?)^#", text, re.M | re.S)
    assert found, f"no headline: {title}"
    return found[1]


def blocks(title: str) -> list[str]:
    """The shell commands of a section."""
    return re.findall(r"```sh\n(.*?)```", section(title), re.S)


def rows(title: str) -> list[list[str]]:
    """The cells of the table in a section, without its head."""
    table = [line for line in section(title).splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table[2:]]


EXAMPLES = {"9092": "INSIDE", "9093": "LOGIN", "9094": "MUTUAL"}

# Besides what the examples set: the same secrets in the environment, from where they could leak.
SECRETS = {
    "9092": {},
    "9093": {"KAFKA_SASL_PLAIN_PASSWORD": PASSWORDS["alice"]},
    "9094": {"KAFKA_SSL_PASSWORD": KEY_PASSWORD},
}


@pytest.mark.parametrize(
    "port", ["9093", *(pytest.param(one, marks=pytest.mark.full) for one in ("9092", "9094"))]
)
def test_the_example_shows_numbers_in_tmux_and_no_secret(port, kraft, sandbox):
    (example,) = [block for block in blocks("On a cluster") if port in block]
    servers = kraft.at(EXAMPLES[port])
    block = re.sub(rf"(kafka\d:{port},?)+", servers, example)
    assert block != example
    for user in ("alice", CERTIFIED):
        kraft.allow(user, "numbers", READ, WRITE, CREATE, JOIN)
    done = sandbox.run("bash", "-euc", f"cd '{PROJECT}'\n{block}", **SECRETS[port])
    assert done.returncode == 0, done
    sandbox.wait_for_numbers()
    tiles = sandbox.tiles()
    exported = {*SECRETS[port], *re.findall(r"^export (KAFKA_\w+)=", block, re.M)}
    for title in TRIO:
        environment = psutil.Process(tiles[title].pid).environ()
        assert {name for name in environment if name.startswith("KAFKA_")} == exported
        assert environment["KAFKA_BOOTSTRAP_SERVERS"] == servers
    seen = [" ".join(one.cmdline()) for one in sandbox.processes()]
    seen += [done.stdout, done.stderr, *map(sandbox.text, tiles)]
    assert not [text for text in seen if shows_secret(text)]
    assert sandbox.launch("stop").returncode == 0


@pytest.fixture
def sandbox(kraft) -> Iterator[Sandbox]:
    """A sandbox with the files in its home that the examples name."""
    with Sandbox() as sandbox:
        files = sandbox.home / "kafka"
        files.mkdir()
        shutil.copy(kraft.authority.file, files / "ca.pem")
        key, certificate = kraft.certificate.read_text().split("-----BEGIN CERTIFICATE-----", 1)
        (files / "client.key").write_text(key)
        (files / "client.pem").write_text("-----BEGIN CERTIFICATE-----" + certificate)
        (files / "password").write_text(PASSWORDS["alice"] + "\n")
        (files / "key-password").write_text(KEY_PASSWORD + "\n")
        yield sandbox


def values(kraft: Kraft, listener: str, topic: str) -> dict[str, str]:
    """What to fill in for each variable of the table that a client of a listener needs."""
    common = {"KAFKA_SSL_CAFILE": str(kraft.authority.file), "KAFKA_GROUP_ID": topic}
    common["KAFKA_COMPRESSION_TYPE"] = "lz4"
    if listener == "LOGIN":
        return common | kraft.as_user("alice")
    return common | {
        # Not as the certificate names them: that works only without the check of host names.
        "KAFKA_BOOTSTRAP_SERVERS": kraft.at("MUTUAL").replace("localhost", "127.0.0.1"),
        "KAFKA_SSL_CHECK_HOSTNAME": "false",
        "KAFKA_SECURITY_PROTOCOL": "SSL",
        "KAFKA_SSL_CERTFILE": str(kraft.certificate),
        "KAFKA_SSL_KEYFILE": str(kraft.certificate),
        "KAFKA_SSL_PASSWORD": KEY_PASSWORD,
        "KAFKA_CLIENT_ID": "dora",
        "KAFKA_SESSION_TIMEOUT_MS": "10000",
    }


def table() -> list[tuple[str, str, str]]:
    """Line for Java, line for librdkafka and variable of each row: the first code in each cell."""
    cells = rows("From a client.properties")
    return [(code(java), code(librdkafka), code(ours)) for java, librdkafka, ours in cells]


def code(cell: str) -> str:
    found = re.search("`([^`]+)`", cell)
    assert found, f"no code in {cell}"
    return found[1]


def lines(values: dict[str, str], column: int) -> dict[str, str]:
    """The lines for Java (0) or librdkafka (1) that the table has for variables with values."""
    found = {}
    for row in table():
        line, fixed, value = row[column].partition("=")
        variable = row[2].partition("=")[0]
        if variable in values:
            found[line] = value if fixed and "…" not in value else values[variable]
    return found


def for_java(values: dict[str, str]) -> dict[str, str]:
    """What Java needs: user and password in one line, and that the files are PEM."""
    found = lines(values, 0)
    login = [f'{name}="{found.pop(name)}"' for name in ("username", "password") if name in found]
    if login:
        module = "org.apache.kafka.common.security.scram.ScramLoginModule required"
        found["sasl.jaas.config"] = f"{module} {' '.join(login)};"
    return found | {"ssl.truststore.type": "PEM", "ssl.keystore.type": "PEM"}


def written(directory: Path, name: str, found: dict[str, str]) -> Path:
    """A file of lines."""
    file = directory / name
    file.write_text("".join(f"{key}={value}\n" for key, value in found.items()))
    return file


def test_every_row_of_the_table_is_tried(kraft):
    tried = values(kraft, "LOGIN", "") | values(kraft, "MUTUAL", "")
    assert {variable.partition("=")[0] for _, _, variable in table()} == set(tried)


def test_a_line_only_put_in_upper_case_is_answered_with_its_variable(add):
    meant: dict[str, set[str]] = {}
    for *known, variable in table():
        for line in known:
            name = "sasl.jaas.config" if "…" in line else line.partition("=")[0]
            option = "KAFKA_" + name.upper().replace(".", "_")
            meant.setdefault(option, set()).add(variable.partition("=")[0])
    wrong = {option: right for option, right in meant.items() if option not in right}
    answers = {
        option: add(script("producer_a.py", "localhost:1", "numbers", **{option: "x"}))
        for option in wrong
    }
    for option, one in answers.items():
        answer = one.refused(BACK)
        assert re.search(r"did you mean (\w+)\?$", answer)[1] in wrong[option], answer
        assert answer.startswith(option)


@pytest.mark.parametrize("listener", ["LOGIN", pytest.param("MUTUAL", marks=pytest.mark.full)])
def test_java_and_librdkafka_by_their_lines_and_ours_by_variables_read_and_write_the_same(
    listener, kraft, topic, run, add, tmp_path
):
    ours, java, librdkafka = (f"{topic}-{name}" for name in ("ours", "java", "librdkafka"))
    given = values(kraft, listener, ours)
    kraft.create(topic, partitions=4)
    groups = [(ResourceType.GROUP, AclOperation.READ, name) for name in (ours, java, librdkafka)]
    kraft.allow("alice" if listener == "LOGIN" else CERTIFIED, topic, READ, WRITE, *groups)

    file = str(written(tmp_path, "java", for_java(given | {"KAFKA_GROUP_ID": java})))
    to = ("--bootstrap-server", given["KAFKA_BOOTSTRAP_SERVERS"], "--topic", topic)
    to = (*to, "--command-config", file)
    form = ("--formatter-property", "print.key=true", "--formatter-property", "key.separator=: ")
    name = "org.apache.kafka.tools.consumer.ConsoleConsumer"
    console = add(kraft.java(name, *to, *form, "--from-beginning"))
    (tmp_path / "numbers").write_text("A: 100\nB: 101\n")
    form = ("--reader-property", "parse.key=true", "--reader-property", "key.separator=: ")
    with (tmp_path / "numbers").open() as numbers:
        name = "org.apache.kafka.tools.ConsoleProducer"
        java_writes = add(kraft.java(name, *to, *form, stdin=numbers))

    c = run("consumer_c.py", **given)
    for name, key in (("producer_a.py", "A"), ("producer_b.py", "B")):
        one = run(name, **given)
        one.said(f"{key}: [01] ", BACK)
        assert one.stop() == 0

    settings = lines(given | {"KAFKA_GROUP_ID": librdkafka}, 1) | {"log_level": 0}
    as_java = settings | {"partitioner": "murmur2_random"}  # its own is not Java's
    for key, number in (("A", 102), ("B", 103)):
        write(given["KAFKA_BOOTSTRAP_SERVERS"], topic, number, key=key, **as_java)
    assert java_writes.ended(BACK) == 0, java_writes

    found = records(kraft.servers, topic)
    expected = sorted(f"{m.key().decode()}: {m.value().decode()}" for m in found)
    assert {"A: 0", "A: 100", "A: 102", "B: 1", "B: 101", "B: 103"} <= set(expected)
    assert {(m.key(), m.partition()) for m in found} == {(b"A", 2), (b"B", 0)}
    assert sorted(read_as_group(settings, topic, len(expected))) == expected
    for one in (c, console):
        eventually(lambda one=one: sorted(one.out) == expected, BACK, expected, "from", one)


def read_as_group(settings: dict, topic: str, count: int) -> list[str]:
    """What librdkafka reads of a topic as a member of the group that its settings name."""
    consumer = Consumer(settings | {"auto.offset.reset": "earliest"})
    consumer.subscribe([topic])
    found: list[str] = []
    try:

        def enough() -> bool:
            messages = [m for m in consumer.consume(100, 0.2) if not m.error()]
            found.extend(f"{key_of_record(m)}: {number_of(m)}" for m in messages)
            return len(found) >= count

        eventually(enough, BACK, count, "records, not", found)
    finally:
        consumer.close()
    return found


def test_c_prints_what_kcat_wrote_and_kcat_what_a_wrote(kraft, topic, run, tmp_path):
    if not shutil.which("kcat"):
        pytest.skip("kcat is not installed here")
    # PLAIN, because Debian's kcat 1.7.1 with librdkafka 2.0.2 fails at SCRAM-SHA-512.
    given = values(kraft, "LOGIN", topic) | {"KAFKA_SASL_MECHANISM": "PLAIN"}
    kraft.create(topic, partitions=4)
    kraft.allow("alice", topic, READ, WRITE, (ResourceType.GROUP, AclOperation.READ, topic))
    a = run("producer_a.py", **given)
    a.said("A: 2 ", BACK)
    assert a.stop() == 0
    command = ["kcat", "-F", str(written(tmp_path, "librdkafka", lines(given, 1))), "-t", topic]

    def kcat(*options: str, input: str | None = None) -> str:
        call = [*command, *options]
        done = subprocess.run(call, capture_output=True, text=True, timeout=BACK, input=input)
        assert done.returncode == 0, done
        return done.stdout

    kcat("-P", "-K:", "-X", "partitioner=murmur2_random", input="A:100\nB:101\n")
    shown = sorted(kcat("-C", "-e", "-q", "-o", "beginning", "-f", "%k: %s\n").splitlines())
    assert {"A: 0", "A: 2", "A: 100", "B: 101"} <= set(shown)
    c = run("consumer_c.py", **given)
    eventually(lambda: sorted(c.out) == shown, BACK, shown, "from", c)
    places = {(m.key(), m.partition()) for m in records(kraft.servers, topic)}
    assert places == {(b"A", 2), (b"B", 0)}


def test_each_login_of_a_managed_service_is_one_that_the_settings_take(add):
    mechanisms = {
        code for row in rows("Managed services") for code in re.findall("`([A-Z_0-9-]+)`", row[1])
    }
    assert "AWS_MSK_IAM" in mechanisms
    user = {"KAFKA_SASL_PLAIN_USERNAME": "$ConnectionString", "KAFKA_SASL_PLAIN_PASSWORD": "x"}
    aws = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_REGION": "eu-west-3"}
    for mechanism in mechanisms - {"SSL"}:
        env = {"KAFKA_SECURITY_PROTOCOL": "SASL_SSL", "KAFKA_SASL_MECHANISM": mechanism}
        env |= aws if mechanism == "AWS_MSK_IAM" else user
        waiting = add(script("producer_a.py", "localhost:1", "numbers", **env))
        waiting.said("connection refused", BACK)


def test_the_settings_for_event_hubs_are_accepted(add):
    (block,) = blocks("Managed services")
    env = dict(re.findall(r"export (KAFKA_\w+)='?([^'\n]+)", block))
    assert {f"KAFKA_{option.upper()}" for option in OPTIONS} > env.keys()
    env |= {"KAFKA_SECURITY_PROTOCOL": "SASL_SSL", "KAFKA_SASL_MECHANISM": "PLAIN"}
    env["KAFKA_SASL_PLAIN_PASSWORD"] = "x"
    for name in ("producer_a.py", "consumer_c.py"):
        waiting = add(script(name, "localhost:1", "numbers", **env))
        waiting.said("connection refused", BACK)


def test_a_keystore_becomes_a_pem_file_by_the_commands_of_the_page(kraft, full, tmp_path):
    if not shutil.which("openssl"):
        pytest.skip("openssl is not installed here")
    to_pem, to_p12, to_ca = (block.strip() for block in blocks("From a client.properties"))
    text, word = kraft.certificate.read_bytes(), KEY_PASSWORD.encode()
    key = serialization.load_pem_private_key(text, word)
    own, *above = x509.load_pem_x509_certificates(text)
    encryption = serialization.BestAvailableEncryption(word)
    store = pkcs12.serialize_key_and_certificates(b"client", key, own, above, encryption)
    (tmp_path / "client.p12").write_bytes(store)
    (tmp_path / "password").write_bytes(word)

    def run(command: str) -> None:
        subprocess.run(command, shell=True, cwd=tmp_path, check=True, timeout=BACK)

    # What the commands ask for comes from a file here.
    passwords = "-srcstorepass:file password -deststorepass:file password"
    if full and shutil.which("keytool"):
        there = "-srckeystore client.p12 -destkeystore client.jks -deststoretype jks"
        run(f"keytool -importkeystore {there} {passwords}")
        (tmp_path / "client.p12").unlink()
        run(f"{to_p12} {passwords}")
        authority = f"-importcert -noprompt -file '{kraft.authority.file}'"
        run(f"keytool {authority} -keystore trust.jks -storetype jks -storepass:file password")
        first, second = to_ca.splitlines()
        run(f"{first} {passwords}")
        run(f"{second} -passin file:password")
        ssl.create_default_context(cafile=tmp_path / "ca.pem")
    run(f"{to_pem} -passin file:password -passout pass:{KEY_PASSWORD}")
    ssl.create_default_context().load_cert_chain(tmp_path / "client.pem", password=word)
