"""Settings that are refused: one sentence names the variable before anything is connected."""

import os
import re
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.process import Running, script
from tests.support.secured import SECRETS, SecuredBroker
from tests.support.trio import SCRIPTS

SOON = 4

WRONG = SECRETS["wrong"]
SSL, SASL_SSL = {"SECURITY_PROTOCOL": "SSL"}, {"SECURITY_PROTOCOL": "SASL_SSL"}
IAM = SASL_SSL | {"SASL_MECHANISM": "AWS_MSK_IAM"}
CERTIFIED = SSL | {"SSL_CERTFILE": "{client}"}

# Settings, and what the sentence must contain; nothing may connect to the listener.
REFUSED = {
    "protocol misspelt": ({"SECURITY_PROTOCOL": "SSLSASL"}, "SECURITY_PROTOCOL.*SASL_SSL"),
    "login without mechanism": (SASL_SSL, "SASL_MECHANISM"),
    "login without name": (SASL_SSL | {"SASL_MECHANISM": "PLAIN"}, "SASL_PLAIN_USERNAME"),
    "password without login": ({"SASL_PLAIN_PASSWORD": WRONG}, "SECURITY_PROTOCOL"),
    "authority without TLS": ({"SSL_CAFILE": "{authority.file}"}, "SECURITY_PROTOCOL"),
    "option that is close": ({"BOOTSTRAP_SERVER": "x"}, r".* mean KAFKA_BOOTSTRAP_SERVERS\?"),
    "topic that is close": ({"TOPICS": "x"}, r".* mean KAFKA_TOPIC\?"),
    "librdkafka's user": ({"SASL_USERNAME": "x"}, r".* mean KAFKA_SASL_PLAIN_USERNAME\?"),
    "librdkafka's password": ({"SASL_PASSWORD": WRONG}, r".* mean KAFKA_SASL_PLAIN_PASSWORD\?"),
    "TLS that is not a setting": ({"SSL_TRUSTSTORE_TYPE": "JKS"}, "SSL_TRUSTSTORE_TYPE is not"),
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
    "librdkafka's servers": ({"METADATA_BROKER_LIST": "x"}, r".* mean KAFKA_BOOTSTRAP_SERVERS\?"),
    "TLS without verification": (
        {"ENABLE_SSL_CERTIFICATE_VERIFICATION": "false"},
        "ENABLE_SSL_CERTIFICATE_VERIFICATION is not a setting",
    ),
    "word for a port": ({"BOOTSTRAP_SERVERS": "localhost:kafka"}, "BOOTSTRAP_SERVERS"),
    "login in an address": (
        {"BOOTSTRAP_SERVERS": f"me:{WRONG}@a:1"},
        "BOOTSTRAP_SERVERS has a login",
    ),
    "address of a web page": ({"BOOTSTRAP_SERVERS": "http://localhost:1"}, "BOOTSTRAP_SERVERS"),
    "acks": ({"ACKS": "1"}, "ACKS.*delivery guarantee"),
    "idempotence": ({"ENABLE_IDEMPOTENCE": "false"}, "ENABLE_IDEMPOTENCE.*delivery guarantee"),
    "auto-commit": ({"ENABLE_AUTO_COMMIT": "true"}, "ENABLE_AUTO_COMMIT"),
    "delivery time": ({"DELIVERY_TIMEOUT_MS": "1000"}, "DELIVERY_TIMEOUT_MS.*delivery guarantee"),
    "Python object": ({"VALUE_DESERIALIZER": "int"}, "VALUE_DESERIALIZER"),
    "authority that is no file": (SSL | {"SSL_CAFILE": "/no/file"}, "SSL_CAFILE.*No such file"),
    "authority that is no certificate": (SSL | {"SSL_CAFILE": "{rubbish}"}, "SSL_CAFILE"),
    "certificate without its password": (CERTIFIED, "SSL_CERTFILE"),
    "certificate with a wrong password": (
        CERTIFIED | {"SSL_PASSWORD": WRONG},
        "SSL_(CERTFILE|PASSWORD)",
    ),
    "certificate with too long a password": (
        CERTIFIED | {"SSL_PASSWORD": "x" * 2000},
        "SSL_CERTFILE or KAFKA_SSL_PASSWORD cannot be used: password cannot be longer",
    ),
    "key without its certificate": (
        SSL | {"SSL_KEYFILE": "/no/file"},
        "SSL_CERTFILE is missing: KAFKA_SSL_KEYFILE",
    ),
    "password without a certificate": (
        SSL | {"SSL_PASSWORD": WRONG},
        "SSL_CERTFILE is missing: KAFKA_SSL_PASSWORD",
    ),
    "no such password file": ({"SASL_PLAIN_PASSWORD_FILE": WRONG}, "SASL_PLAIN_PASSWORD_FILE"),
    "password that nobody writes": (
        SASL_SSL
        | {"SASL_MECHANISM": "PLAIN", "SASL_PLAIN_USERNAME": "me"}
        | {"SASL_PLAIN_PASSWORD_FILE": "{pipe}"},
        "SASL_PLAIN_PASSWORD_FILE: the file is empty",
    ),
    "addresses of another protocol": (
        SSL | {"BOOTSTRAP_SERVERS": "SASL_SSL://a:1"},
        "BOOTSTRAP_SERVERS and KAFKA_SECURITY_PROTOCOL differ: SASL_SSL and SSL",
    ),
    "addresses of two protocols": (
        {"BOOTSTRAP_SERVERS": "SASL_SSL://a:1, ssl://b:1"},
        "BOOTSTRAP_SERVERS names two protocols: SASL_SSL and SSL",
    ),
    "addresses that ask for a login": (
        {"BOOTSTRAP_SERVERS": "sasl_ssl://a:1"},
        "SASL_MECHANISM is missing: SASL_SSL",
    ),
    "protocol twice": ({"BOOTSTRAP_SERVERS": "SSL://SSL://a:1"}, "BOOTSTRAP_SERVERS"),
    "topic that is not UTF-8": ({"TOPIC": "\udcff"}, "TOPIC is not UTF-8"),
    "name that is not UTF-8": ({"CLIENT_ID": "caf\udce9"}, "CLIENT_ID is not UTF-8"),
    "group that is not UTF-8": ({"GROUP_ID": "caf\udce9"}, "GROUP_ID is not UTF-8"),
    "number that is not UTF-8": ({"LINGER_MS": "\udcff"}, "LINGER_MS is not UTF-8"),
    "password not UTF-8": (CERTIFIED | {"SSL_PASSWORD": "\udcff"}, "SSL_PASSWORD is not UTF-8"),
    "file that is not UTF-8": (
        {"SASL_PLAIN_PASSWORD_FILE": "{latin}"},
        "SASL_PLAIN_PASSWORD_FILE.* not UTF-8",
    ),
    "name that is too long": ({"CLIENT_ID": "x" * 40_000}, "CLIENT_ID has 40000 bytes.*32767"),
    "consumer's heartbeat, by the session alone": (
        {"SESSION_TIMEOUT_MS": "1000"},
        r"HEARTBEAT_INTERVAL_MS \(1000\) must be less than KAFKA_SESSION_TIMEOUT_MS \(1000\)",
    ),
    "consumer's heartbeat, by the interval alone": (
        {"HEARTBEAT_INTERVAL_MS": "30000"},
        r"HEARTBEAT_INTERVAL_MS \(30000\) must be less than KAFKA_SESSION_TIMEOUT_MS \(10000\)",
    ),
    "fetch that outlasts a request": (
        {"FETCH_MAX_WAIT_MS": "7000"},
        r"FETCH_MAX_WAIT_MS \(7000\) must be less than KAFKA_REQUEST_TIMEOUT_MS \(6000\)",
    ),
    "request that outlasts a connection": (
        {"REQUEST_TIMEOUT_MS": "600000"},
        r"REQUEST_TIMEOUT_MS \(600000\) must be less than KAFKA_CONNECTIONS_MAX_IDLE_MS",
    ),
    "consumer without a group, but with a name in it": (
        {"GROUP_ID": "", "GROUP_INSTANCE_ID": "c"},
        "GROUP_INSTANCE_ID needs a group: KAFKA_GROUP_ID is empty",
    ),
    "consumer's name with a blank": ({"GROUP_INSTANCE_ID": "c 1"}, "GROUP_INSTANCE_ID"),
    "consumer's name that is a dot": ({"GROUP_INSTANCE_ID": ".."}, "GROUP_INSTANCE_ID"),
    "proxy without a scheme": ({"PROXY_URL": "localhost:1080"}, "PROXY_URL must be .*socks5://"),
    "proxy of another kind": ({"PROXY_URL": "ftp://localhost:1080"}, "PROXY_URL must be"),
    "proxy without a port": ({"PROXY_URL": f"socks5://me:{WRONG}@localhost"}, "PROXY_URL must be"),
    "proxy's port that does not exist": ({"PROXY_URL": "socks5://a:99999"}, "PROXY_URL must be"),
    "proxy's host with an empty part": ({"PROXY_URL": "http://a..b:1080/"}, "PROXY_URL must be"),
    "proxy by its former name": ({"SOCKS5_PROXY": "localhost:1080"}, "SOCKS5_PROXY must be"),
    "IAM without TLS": (
        IAM | {"SECURITY_PROTOCOL": "SASL_PLAINTEXT"},
        "SECURITY_PROTOCOL.*SASL_SSL",
    ),
}


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> Iterator[dict[str, object]]:
    """The files that settings may name, by the names in the table."""
    directory = tmp_path_factory.mktemp("files")
    with SecuredBroker(directory) as secured:  # not started
        (directory / "latin").write_bytes(b"caf\xe9\n")
        os.mkfifo(directory / "pipe")
        yield vars(secured) | {name: directory / name for name in ("latin", "pipe")}


@pytest.fixture
def refused(add) -> Iterator[Callable[..., None]]:
    """Asserts that a script ends soon, with one sentence, and connects to nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"

        def refused(pattern: str, name: str, *arguments: str, **settings: str) -> None:
            env = {"servers": address, "topic": "numbers"} | settings
            one: Running = add(script(name, arguments=arguments, **env))
            assert re.search(pattern, one.refused(SOON)), one

        yield refused
        server.setblocking(False)
        with pytest.raises(BlockingIOError):
            server.accept()


@pytest.mark.parametrize("case", REFUSED)
def test_a_wrong_setting_is_named_before_anything_is_connected(case, files, refused):
    settings, pattern = REFUSED[case]
    env = {f"KAFKA_{k}": v.format(**files) for k, v in settings.items()}
    name = SCRIPTS[2 if "consumer" in case else list(REFUSED).index(case) % 3]
    refused(f"KAFKA_{pattern}", name, **env)


# A script of the project where a package is not installed.
WITHOUT = """
import runpy, sys
sys.modules[{package!r}] = None
runpy.run_path("producer_a.py", run_name="__main__")
"""

LOGIN = {f"KAFKA_{name}": value for name, value in IAM.items()}
KEY = {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": SECRETS["key"]}


@pytest.fixture
def aws(monkeypatch, tmp_path) -> dict[str, str]:
    """The environment of a machine that AWS does not know."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    return LOGIN | {"HOME": str(tmp_path), "AWS_EC2_METADATA_DISABLED": "true"}


@pytest.mark.parametrize(
    ("mechanism", "package"), [("GSSAPI", "gssapi"), ("AWS_MSK_IAM", "botocore")]
)
def test_a_login_without_its_package_is_refused_with_the_package_s_name(
    mechanism, package, refused
):
    pattern = f"{mechanism} needs a package .* -m pip install {package}$"
    env = LOGIN | {"KAFKA_SASL_MECHANISM": mechanism}
    refused(pattern, "-c", WITHOUT.format(package=package), **env)


def test_a_login_by_iam_without_credentials_or_region_is_refused(aws, refused):
    refused("no AWS credentials: set .*AWS_ACCESS_KEY_ID", "producer_a.py", **aws)
    refused("no AWS region: set AWS_REGION", "consumer_c.py", **aws | KEY)
    refused("AWS_MSK_IAM .*no_such_profile", "producer_b.py", **aws, AWS_PROFILE="no_such_profile")
    elsewhere = {"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://example.com/x"}
    refused("AWS_MSK_IAM gets no .*Unsupported host", "producer_b.py", **aws, **elsewhere)


@pytest.mark.parametrize(
    ("program", "reason"), [("/no/program", "No such file"), ("echo hi", "Expecting value")]
)
def test_a_login_by_iam_says_why_a_program_gives_no_credentials(program, reason, aws, refused):
    config = Path(aws["HOME"], "config")
    config.write_text(f"[default]\ncredential_process={program}\n")
    env = aws | {"AWS_CONFIG_FILE": str(config)}
    refused(f"AWS_MSK_IAM gets no AWS credentials: .*{reason}", "producer_a.py", **env)


# What kafka-python would send first to a broker of the name "broker".
FIRST_MESSAGE = """
from client.settings import read_settings
from kafka.net.sasl import get_sasl_mechanism
options = read_settings()
print(get_sasl_mechanism(options["sasl_mechanism"])(host="broker", **options).auth_bytes())
"""


@pytest.mark.parametrize("name", ["AWS_REGION", "AWS_DEFAULT_REGION"])
def test_a_login_by_iam_is_for_the_region_that_either_variable_names(name, aws, add):
    env = {"servers": "localhost:1", "topic": "numbers"} | aws | KEY | {name: "eu-west-3"}
    one = add(script("-c", arguments=(FIRST_MESSAGE,), **env))
    one.said("AKIDEXAMPLE/[0-9]+/eu-west-3/kafka-cluster/aws4_request")


def test_a_password_from_a_pipe_which_can_be_read_only_once_is_used_for_the_login(add):
    env = LOGIN | {"KAFKA_SASL_MECHANISM": "PLAIN", "KAFKA_SASL_PLAIN_USERNAME": "me"}
    piped = 'KAFKA_SASL_PLAIN_PASSWORD_FILE=<(echo piped) "$@"'
    one = add(Running("bash", "-c", piped, "bash", sys.executable, "-c", FIRST_MESSAGE, env=env))
    one.said("piped")


def test_a_password_that_an_editor_of_windows_has_saved_is_read_without_its_marks(add, tmp_path):
    file = tmp_path / "password"
    file.write_bytes(b"\xef\xbb\xbfsaved\r\n")
    env = LOGIN | {"KAFKA_SASL_MECHANISM": "PLAIN", "KAFKA_SASL_PLAIN_USERNAME": "me"}
    env |= {"KAFKA_SASL_PLAIN_PASSWORD_FILE": str(file)}
    add(Running(sys.executable, "-c", FIRST_MESSAGE, env=env)).said(r"x00me\\x00saved'$")
