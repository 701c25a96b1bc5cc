"""`python -m broker.companion KAFKA BROKER_ID`: runs beside Kafka, from its start to its end.

It makes ZooKeeper ready while Java loads, and kills Kafka if its shutdown hangs. Kafka cannot shut
down without ZooKeeper: 3.9.2 waits in KafkaController.shutdown for ever. A closing terminal ends
both at once. The companion notices because it is in Kafka's process group, which gets the
terminal's signals.
"""

import os
import signal
import subprocess
import sys
import threading
import time

from . import ports

# Seconds that Kafka gets to shut down: it takes half a second, and longer to write a CDS archive.
SHUTDOWN_TIMEOUT = 8

# Kafka reads settings until the end of the pipe, and the last line counts. The first one, which is
# not a number, ends a Kafka whose companion has ended, killed for example.
SETTING = "zookeeper.connection.timeout.ms="
ENDED = f"{SETTING}The program that prepares ZooKeeper for Kafka has ended. Start Kafka again.\n"
READY = f"{SETTING}{2**31 - 1}\n"  # Kafka waits for ZooKeeper without limit


def start(settings: str, broker_id: str) -> str:
    """Start the companion of this process, which will be Kafka; the path of Kafka's settings.

    The path is that of a pipe, which ends once ZooKeeper is ready.
    """
    kafka_ended, held_by_kafka = os.pipe()
    read_by_kafka, written = os.pipe()
    for inherited in (held_by_kafka, read_by_kafka):
        os.set_inheritable(inherited, True)
    os.write(written, (settings + ENDED).encode())
    command = (sys.executable, "-I", "-m", "broker.companion", str(os.getpid()), broker_id)
    # The companion inherits this: it waits for these signals, and none of them interrupts it.
    signal.pthread_sigmask(signal.SIG_BLOCK, stop_signals())
    subprocess.Popen(command, stdin=kafka_ended, stdout=written)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, stop_signals())
    return f"/dev/fd/{read_by_kafka}"


def stop_signals() -> list[signal.Signals]:
    """The signals at which Kafka shuts down: none that it was started to ignore, as by nohup."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    return [number for number in numbers if signal.getsignal(number) != signal.SIG_IGN]


def main(kafka: int, broker_id: str) -> None:
    """Accompany the Kafka with this process id."""
    threading.Thread(target=end_with_kafka, daemon=True).start()
    threading.Thread(target=prepare, args=[kafka, broker_id], daemon=True).start()
    signal.sigwait(stop_signals())
    time.sleep(SHUTDOWN_TIMEOUT)
    os.kill(kafka, signal.SIGKILL)


def end_with_kafka() -> None:
    """End this process once Kafka, which holds the other end of standard input, has ended."""
    os.read(sys.stdin.fileno(), 1)
    os._exit(0)


def prepare(kafka: int, broker_id: str) -> None:
    """Let Kafka go on once ZooKeeper is ready; say why and end it if that fails."""
    try:
        from .zookeeper import make_ready

        make_ready(ports.of("zookeeper"), broker_id)
        os.write(sys.stdout.fileno(), READY.encode())
        os.close(sys.stdout.fileno())
    except BaseException as error:
        reason = error if isinstance(error, SystemExit) else f"Kafka cannot start: {error!r}."
        print(reason, file=sys.stderr, flush=True)
        os.kill(kafka, signal.SIGTERM)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
