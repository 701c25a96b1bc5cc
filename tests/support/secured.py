"""A broker with many listeners: logins, TLS, wrong certificates, addresses that lead nowhere."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

from tests.support.certificates import Authority
from tests.support.client import create_logins
from tests.support.process import free_ports
from tests.support.servers import Broker

SECRETS = {"alice": "alices-secret", "bob": "bobs-secret", "key": "keys-secret", "wrong": "hunter2"}

# The listeners and their protocols. Some present another certificate, or advertise another address;
# at BRIEF a login is valid for SESSION seconds.
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
    "BRIEF": "SASL_PLAINTEXT",
}
SESSION = 4
LOGIN_MODULE = "org.apache.kafka.common.security.{} required"


class SecuredBroker(Broker):
    """A broker with these listeners, and what a client needs for each of them."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory / "data")
        self.directory = directory
        self.port_of = dict(zip(LISTENERS, free_ports(len(LISTENERS)), strict=True))
        self.closed, self.silence = free_ports(1)[0], Silence()
        self.mute = socket.create_server(("127.0.0.1", 0))  # the kernel accepts; nobody answers
        self.authority = Authority(directory)
        self.stranger = Authority(directory, "stranger")
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

    def listener_settings(self) -> Iterator[tuple[str, object]]:
        """Kafka's own settings for the listeners."""
        given = {"UNKNOWN": "no-such-host.invalid:9092", "CLOSED": f"localhost:{self.closed}"}
        given["SILENT"] = f"localhost:{self.silence.port}"
        listeners = {name: f"{name}://127.0.0.1:{port}" for name, port in self.port_of.items()}
        advertised = {name: f"{name}://{given.get(name, self.at(name))}" for name in LISTENERS}
        yield "listeners", ",".join(listeners.values())
        yield "advertised.listeners", ",".join(advertised.values())
        yield "listener.security.protocol.map", ",".join(map(":".join, LISTENERS.items()))
        yield "inter.broker.listener.name", "OPEN"
        yield "num.network.threads", 1
        yield "sasl.enabled.mechanisms", "PLAIN,SCRAM-SHA-512"
        for name in ("login", "both", "brief"):
            plain = LOGIN_MODULE.format("plain.PlainLoginModule")
            scram = LOGIN_MODULE.format("scram.ScramLoginModule")
            start = f"listener.name.{name}"
            yield f"{start}.plain.sasl.jaas.config", f'{plain} user_alice="{SECRETS["alice"]}";'
            yield f"{start}.scram-sha-512.sasl.jaas.config", f"{scram};"
        yield f"{start}.scram-sha-512.connections.max.reauth.ms", SESSION * 1000
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
        return f"localhost:{self.port_of[listener]}"

    def access(self, listener: str, protocol: str = "", **changes: object) -> dict[str, str]:
        """The environment of a client with access to a listener, with changes; None removes one."""
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
