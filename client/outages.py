"""One line when a broker cannot be reached and why, and one when it is back."""

import logging
import queue
import threading

from client.messages import describe, notify
from client.stopping import stop

# Seconds after which a connection counts as made: some are accepted and closed at once.
STABLE_AFTER = 1


class ConnectionReport(logging.Handler):
    """Says when a connection is lost and when it is back, as kafka-python's log tells.

    The log is the only place where kafka-python says why it cannot connect; shown as it is, it
    would flood the terminal.
    """

    def __init__(self) -> None:
        super().__init__()
        self.addresses: dict[object, str] = {}  # by kafka-python's name for the broker
        self.connected: set[str] = set()
        self.lost: set[str] = set()
        self.awaited: dict[str, str] = {}
        self.outcome: queue.SimpleQueue | None = None  # of whoever is connecting

    def listen(self) -> None:
        """Receive what kafka-python logs of its connections from now on."""
        for name in ("kafka.net.manager", "kafka.net.connection"):
            logging.getLogger(name).setLevel(logging.INFO)
            logging.getLogger(name).addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Take note of a connection that is begun, made or lost."""
        match record.msg, record.args:
            case "Initializing connection for node_id %s at %s:%s (rack=%s)", (node, host, port, _):
                self.addresses[node] = f"{host}:{port}"
            case "%s: Connected", (connection,):
                later = threading.Timer(STABLE_AFTER, self.stable, [connection])
                later.daemon = True
                later.start()
            case "%s: Connection lost: %s", (connection, error) if str(error):  # else we closed it
                self.failed(self.addresses[connection.node_id], error)

    def failed(self, server: str, error: Exception) -> None:
        """Say once why a server cannot be reached, or that its connection broke."""
        reason, final = describe(error)
        if stop.is_set() or server in self.lost:
            return
        if server in self.connected:
            self.connected.remove(server)
            self.lost.add(server)
            told = reason.partition(":")[0]  # without the hint: these settings worked
            notify(f"Connection to {server} lost: {told}. Trying until it is back.")
        elif final and self.outcome:
            self.outcome.put(SystemExit(f"Kafka at {server} cannot be used: {reason}."))
        elif self.awaited.get(server) != reason:
            self.awaited[server] = reason
            servers = ", ".join(f"{name} ({why})" for name, why in self.awaited.items())
            notify(f"Waiting for Kafka at {servers}.")

    def stable(self, connection: object) -> None:
        """Say that a server is back if its connection still stands."""
        if not connection.connected:
            return
        with self.lock:
            server = self.addresses[connection.node_id]
            self.connected.add(server)
            self.awaited.pop(server, None)
            if server in self.lost:
                self.lost.remove(server)
                notify(f"Connection to {server} is back.")


report = ConnectionReport()
