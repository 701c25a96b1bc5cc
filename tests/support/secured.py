"""A broker with many listeners: logins, TLS, wrong certificates, addresses that lead nowhere."""

from __future__ import annotations

import socket
from pathlib import Path

from tests.support.certificates import Authority
from tests.support.client import create_logins
from tests.support.process import free_ports
from tests.support.servers import Broker, logins, tls

SECRETS = {"alice": "alices-secret", "bob": "bobs-secret", "key": "keys-secret", "wrong": "hunter2"}

# Changes for a login by SCRAM, the password in a file.
BOB: dict[str, str | None] = {"SASL_MECHANISM": "SCRAM-SHA-512", "SASL_PLAIN_USERNAME": "bob"}
BOB |= {"SASL_PLAIN_PASSWORD": None, "SASL_PLAIN_PASSWORD_FILE": "{password}"}

# The listeners and their protocols. Some present another certificate, or advertise another address;
# at BRIEF a login is valid for SESSION seconds.
LISTENERS = {
    "OPEN": "PLAINTEXT",
    "LOGIN": "SASL_PLAINTEXT",
    "TLS": "SSL",
    "MUTUAL": "SSL",
    "BOTH": "SASL_SSL",
    "EXPIRED": "SSL",
    "EARLY": "SSL",
    "ELSEWHERE": "SSL",
    "UNKNOWN": "PLAINTEXT",
    "CLOSED": "PLAINTEXT",
    "SILENT": "PLAINTEXT",
    "BRIEF": "SASL_PLAINTEXT",
}
SESSION = 4


class SecuredBroker(Broker):
    """A broker with these listeners, and what a client needs for each of them."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory / "data")
        self.directory = directory
        self.port_of = dict(zip(LISTENERS, free_ports(len(LISTENERS)), strict=True))
        self.closed, self.silence = free_ports(1)[0], Silence()
        self.mute = socket.create_server(("127.0.0.1", 0))  # the kernel accepts; nobody answers
        self.mute_port = self.mute.getsockname()[1]
        self.authority = Authority(directory)
        self.stranger = Authority(directory, "stranger")
        self.strangers_client = self.stranger.issue("client of another")
        self.client = self.authority.issue("client", password=SECRETS["key"])
        self.password = directory / "password"
        self.password.write_text(SECRETS["bob"] + "\n")
        self.rubbish = directory / "rubbish.pem"
        self.rubbish.write_text("no certificate\n")
        self.settings |= self.listener_settings()
        self.servers = self.at("OPEN")

    def start(self) -> SecuredBroker:
        """Start the broker and create the login by SCRAM."""
        super().start()
        create_logins(self.admin, {"bob": SECRETS["bob"]})
        return self

    def kill(self) -> None:
        """Leave nothing running and no port taken."""
        super().kill()
        self.silence.close()
        self.mute.close()

    def listener_settings(self) -> dict[str, object]:
        """Kafka's own settings for the listeners."""
        settings: dict[str, object] = {
            "num.network.threads": 1,
            "inter.broker.listener.name": "OPEN",
            "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-512",
            "listener.name.mutual.ssl.client.auth": "required",
            "listener.name.brief.scram-sha-512.connections.max.reauth.ms": SESSION * 1000,
            "listener.security.protocol.map": ",".join(map(":".join, LISTENERS.items())),
        }
        given = {"UNKNOWN": "no-such-host.invalid:9092", "CLOSED": f"localhost:{self.closed}"}
        given["SILENT"] = f"localhost:{self.silence.port}"
        listeners = {name: f"{name}://127.0.0.1:{port}" for name, port in self.port_of.items()}
        advertised = {name: f"{name}://{given.get(name, self.at(name))}" for name in LISTENERS}
        settings["listeners"] = ",".join(listeners.values())
        settings["advertised.listeners"] = ",".join(advertised.values())
        for name in ("login", "both", "brief"):
            settings |= logins(name, {"alice": SECRETS["alice"]})
        good = self.authority.issue("good", "localhost", "127.0.0.1")
        files = dict.fromkeys(("tls", "mutual", "both"), good)
        files["expired"] = self.authority.issue("expired", "localhost", days=-1)
        files["early"] = self.authority.issue("early", "localhost", days=30)
        files["elsewhere"] = self.authority.issue("elsewhere", "kafka.example.org")
        for name, file in files.items():
            settings |= tls(name, file, self.authority.file)
        return settings

    def at(self, listener: str) -> str:
        """The address of a listener."""
        return f"localhost:{self.port_of[listener]}"

    def access(self, listener: str, **changes: object) -> dict[str, str]:
        """The environment of a client with access to a listener, with changes; None removes one.

        What stands in braces in a change is an attribute of this broker.
        """
        protocol = str(changes.get("SECURITY_PROTOCOL", LISTENERS[listener]))
        env: dict = {"BOOTSTRAP_SERVERS": self.at(listener), "SECURITY_PROTOCOL": protocol}
        if "SASL" in protocol:
            env |= {"SASL_MECHANISM": "PLAIN", "SASL_PLAIN_USERNAME": "alice"}
            env["SASL_PLAIN_PASSWORD"] = SECRETS["alice"]
        if protocol.endswith("SSL"):
            env["SSL_CAFILE"] = self.authority.file
        if listener == "MUTUAL":
            env |= {"SSL_CERTFILE": self.client, "SSL_PASSWORD": SECRETS["key"]}
        kept = {name: str(value) for name, value in (env | changes).items() if value is not None}
        return {f"KAFKA_{name}": value.format(**vars(self)) for name, value in kept.items()}


class Silence:
    """A port whose queue is full: a connection is neither accepted nor refused."""

    def __init__(self) -> None:
        self.sockets = [socket.create_server(("127.0.0.1", 0), backlog=0)]
        self.port = self.sockets[0].getsockname()[1]
        for _ in range(4):
            self.sockets.append(socket.socket())
            self.sockets[-1].setblocking(False)
            self.sockets[-1].connect_ex(("127.0.0.1", self.port))

    def close(self) -> None:
        """Give the port back."""
        for one in self.sockets:
            one.close()
