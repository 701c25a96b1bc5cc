"""Kafka's jars where Maven Central cannot be reached: a mirror, a proxy, a company's authority."""

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.support.certificates import Authority
from tests.support.process import PROJECT
from tests.support.secured import SECRETS

# The settings that this machine may have itself.
NONE = dict.fromkeys(("PIP_CERT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"), "")
NONE |= {"SSL_CERT_DIR": "/no/such/directory", "PIP_CONFIG_FILE": "/dev/null", "no_proxy": ""}

SECRET = SECRETS["key"]  # no process may show it


class Repository(ThreadingHTTPServer):
    """A Maven repository with the jars of this project, or a proxy before one; asks for a login."""

    daemon_threads = True

    def __init__(self, certificate: Path | None = None) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.asked: list[str] = []
        if certificate:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.load_cert_chain(certificate)
            self.socket = context.wrap_socket(self.socket, server_side=True)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, request, client_address) -> None:
        """Say nothing of a client that does not trust the certificate."""


class Answer(BaseHTTPRequestHandler):
    """The answer to one request: a jar."""

    server: Repository

    def do_GET(self) -> None:
        """Send the jar whose name ends the path."""
        self.server.asked.append(self.path)
        login = self.headers.get("Authorization", "").startswith("Basic ")
        content = (PROJECT / ".kafka" / "jars" / self.path.rpartition("/")[2]).read_bytes()
        self.send_response(200 if login else 401)
        self.send_header("Content-Length", str(len(content) if login else 0))
        self.end_headers()
        self.wfile.write(content if login else b"")

    def log_message(self, *arguments: object) -> None:
        """Print nothing."""


@pytest.fixture
def serve() -> Iterator[Callable[..., Repository]]:
    """Starts repositories."""
    with ExitStack() as stack:

        def serve(certificate: Path | None = None) -> Repository:
            repository = stack.enter_context(Repository(certificate))
            stack.callback(repository.shutdown)
            return repository

        yield serve


@pytest.fixture
def lacking(copy) -> Path:
    """The jar that the copy lacks."""
    jar = min((copy / ".kafka" / "jars").iterdir())
    jar.unlink()
    return jar


WAYS = ["PIP_CERT", "pip.conf", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"]


@pytest.mark.parametrize("known_by", WAYS)
def test_another_repository_is_used_whose_authority_pip_or_the_machine_knows(
    install, lacking, serve, tmp_path, known_by
):
    authority = Authority(tmp_path)
    port = serve(authority.issue("mirror", "127.0.0.1")).server_port
    env = NONE | {"MAVEN_REPOSITORY": f"https://user:{SECRET}@127.0.0.1:{port}/maven/"}
    refused = install(**env)
    assert refused.ended(20) == 1
    assert refused.find(
        "^Kafka's jars could not be fetched from 127.0.0.1: .*CERTIFICATE_VERIFY_FAILED"
    ), refused
    assert refused.find("MAVEN_REPOSITORY for the jars, PIP_PROXY and PIP_CERT for both"), refused
    if known_by == "pip.conf":
        (tmp_path / "pip.conf").write_text(f"[global]\ncert = {authority.file}\n")
        env |= {"PIP_CONFIG_FILE": str(tmp_path / "pip.conf")}
    else:
        env |= {known_by: str(authority.file)}
    done = install(**env)
    assert done.ended(20) == 0, done
    assert done.err == ["Kafka's jars: 1 of 1"] and lacking.exists()


def test_pips_proxy_fetches_jars_too(install, lacking, serve):
    proxy = serve()
    env = NONE | {"MAVEN_REPOSITORY": f"http://user:{SECRET}@mirror.invalid/maven"}
    assert install(**env).ended(20) == 1
    done = install(**env, PIP_PROXY=f"http://127.0.0.1:{proxy.server_port}")
    assert done.ended(20) == 0, done
    (asked,) = proxy.asked
    assert asked.startswith("http://mirror.invalid/maven/") and lacking.exists()


def test_a_repository_that_does_not_answer_as_one_is_named_with_the_reason(install, lacking, serve):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    for repository, said in (
        (f"https://user:{SECRET}@127.0.0.1:{port}/maven", "from 127.0.0.1: Connection refused"),
        ("http://mirror.invalid/maven", "from mirror.invalid: .+"),
        ("mirror", "from MAVEN_REPOSITORY: Invalid URL .+"),
    ):
        refused = install(**NONE, MAVEN_REPOSITORY=repository)
        assert refused.ended(20) == 1
        assert refused.find(f"^Kafka's jars could not be fetched {said}$"), refused
        assert not refused.find("Errno"), refused


def test_a_refused_login_is_said_without_the_password(install, lacking, serve):
    port = serve().server_port
    # Without a password none is sent.
    refused = install(**NONE, MAVEN_REPOSITORY=f"http://{SECRET}@127.0.0.1:{port}")
    assert refused.ended(20) == 1 and not lacking.exists()
    assert refused.find(rf"401 Client Error: .*http://127.0.0.1:{port}/"), refused
    assert not refused.find(SECRET)
