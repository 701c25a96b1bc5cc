"""A TCP proxy that fails as networks do."""

import random
import re
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import suppress

# Its modes:
#   pass   forward everything
#   cut    lose everything silently, for good: the present connections never hear again
#   first  lose everything on a connection from a producer's first request on
#   join   lose everything on a connection from a consumer's request to join its group on
#   commit reset the connection where a consumer commits
#   create reset the connection where a client creates a topic
#   lack   answer that the server lacks the API `lacking`
#   hold   delay everything until the mode changes, as when a cable is plugged in again
#   old    reset a connection on which a client asks for the API versions in a version newer than 2
#   reset  forward a few messages, then half of one, then reset the connection
#   delay  forward everything about half a second late
#   late   forward each answer of the server 100 ms late
#   drip   forward everything byte by byte
#   rename reset the connections; from then on change the broker's number wherever Kafka names it,
#          and close: no leader is available, as while Kafka drops a broker that has died
#   close  accept and close at once
#   mute   accept and never answer
#   http   answer as a web server
#   echo   answer what the client sent

# The API key of these requests: InitProducerId, JoinGroup, OffsetCommit, CreateTopics. It follows
# the length.
REQUESTS = {"first": b"\x00\x16", "join": b"\x00\x0b", "commit": b"\x00\x08"}
REQUESTS |= {"create": b"\x00\x13"}

API_VERSIONS = b"\x00\x12"
BAD_REQUEST = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


def api_keys(data: bytes) -> Iterator[bytes]:
    """The API key of each of Kafka's requests in what a client sent at once."""
    while data:
        yield data[4:6]
        data = data[4 + int.from_bytes(data[:4], "big") :]


def without_api(data: bytes, key: int) -> bytes:
    """An answer in version 0 to which APIs a server has, without one of them; else the same."""
    if len(data) != 14 + 6 * int.from_bytes(data[10:14], "big"):
        return data
    apis = [data[start : start + 6] for start in range(14, len(data), 6)]
    unknown = b"\x7f\xff\0\0\0\0"
    kept = [unknown if api[:2] == key.to_bytes(2, "big") else api for api in apis]
    return data[:14] + b"".join(kept)


class Proxy:
    """Forwards connections to `port` of 127.0.0.1 to the port `target`, as `mode` says."""

    def __init__(self, target: int = 0, port: int = 0) -> None:
        self.target = target
        self.mode = "pass"
        self.lacking = -1
        self.links: list[Link] = []
        self.listener = socket.create_server(("127.0.0.1", port))
        self.port = self.listener.getsockname()[1]
        self.address = f"127.0.0.1:{self.port}"
        # Kafka names a broker by its number, the length of its host plus one, host, port.
        host = b"\x0a127.0.0.1" + self.port.to_bytes(4, "big")
        self.named = re.compile(b"(?s:.{4})(" + re.escape(host) + b")")
        self.closed = False
        self.accepting = threading.Thread(target=self.accept, daemon=True)
        self.accepting.start()

    def turn(self, mode: str) -> None:
        """Change the mode, also for the present connections."""
        self.mode = mode
        for link in list(self.links):
            link.dead |= mode == "cut"
            if mode in ("close", "mute", "http", "rename"):
                link.close(reset=True)

    def accept(self) -> None:
        """Serve each new connection in a thread of its own, until the proxy is closed."""
        with self.listener:
            while not self.closed:
                self.links.append(Link(self, self.listener.accept()[0]))
                threading.Thread(target=self.links[-1].serve, daemon=True).start()

    def close(self) -> None:
        """Close the listener and all connections."""
        self.mode, self.closed = "close", True
        # Only a connection ends accept() everywhere: macOS refuses to shut down a listener.
        with suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port)).close()
        self.accepting.join()
        for link in self.links:
            link.close()


class Link:
    """A client's connection, and the one to the server on its behalf."""

    def __init__(self, proxy: Proxy, client: socket.socket) -> None:
        self.proxy = proxy
        self.sockets = [client]
        self.dead = proxy.mode in ("cut", "mute")  # lose everything silently

    def serve(self) -> None:
        """Treat the connection as the mode says, until its end."""
        client = self.sockets[0]
        with suppress(OSError):
            if self.proxy.mode == "http":
                client.recv(4096)
                client.sendall(BAD_REQUEST)
            elif self.dead:
                while client.recv(4096):
                    pass
            elif self.proxy.mode == "echo":
                self.pump(client, client)
            elif self.proxy.mode != "close":
                server = socket.create_connection(("127.0.0.1", self.proxy.target))
                self.sockets.append(server)
                back = threading.Thread(target=self.pump, args=(server, client), daemon=True)
                back.start()
                self.pump(client, server)
                back.join()
        for one in self.sockets:
            one.close()

    def pump(self, source: socket.socket, sink: socket.socket) -> None:
        """Forward what one side sends, as the mode says, and finally its end."""
        with suppress(OSError):
            source.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # macOS: fails once closed
            while data := source.recv(65536):
                self.wait()
                if self.proxy.mode in REQUESTS and REQUESTS[self.proxy.mode] in api_keys(data):
                    self.dead = True
                    if self.proxy.mode in ("commit", "create"):
                        self.close(reset=True)
                if self.proxy.mode == "old" and data[4:6] == API_VERSIONS and data[7] > 2:
                    self.close(reset=True)
                if self.proxy.mode == "lack":
                    data = without_api(data, self.proxy.lacking)
                named = 0
                if self.proxy.mode == "rename":
                    data, named = self.proxy.named.subn(b"\0\0\x03\xe7\\1", data)
                if self.proxy.mode == "late" and source is not self.sockets[0]:
                    time.sleep(0.1)
                if self.proxy.mode == "reset" and random.random() < 0.2:
                    sink.sendall(data[: len(data) // 2])
                    self.close(reset=True)
                elif not self.dead:
                    step = 1 if self.proxy.mode == "drip" else len(data)
                    for start in range(0, len(data), step):
                        sink.sendall(data[start : start + step])
                if named:
                    self.close()
        self.wait()
        if not self.dead:
            self.close()

    def wait(self) -> None:
        """Return when it is time to forward something."""
        while self.proxy.mode == "hold":
            time.sleep(0.01)
        if self.proxy.mode == "delay":
            time.sleep(random.uniform(0.3, 0.7))

    def close(self, reset: bool = False) -> None:
        """End the pumps, and with them both connections, with a reset if wanted."""
        self.dead |= reset
        for one in self.sockets:
            with suppress(OSError):
                if reset:
                    one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                one.shutdown(socket.SHUT_RD)  # does not tell the other end yet
