"""`python -m broker COMMAND`: the servers and console commands of the pinned Kafka.

The servers and console commands replace this process by Java (`os.execve`), so signals, exit
status and output are Kafka's own.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

from . import console, data, jars, java, locks, ports

# For small servers on a shared machine. On two cores, beside those of Kafka's own scripts: ready in
# 1.2 s instead of 2.3, with the CDS archive, in 195 MB instead of 307. A fast client then writes
# 330,000 numbers a second instead of 250,000, and reads 130,000 instead of 230,000.
SERVER_OPTIONS = ["-Xmx256M", "-Xmn24M", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]

# For what runs beside the servers: it says on standard error what goes wrong, and no more.
TOOL_OPTIONS = [*SERVER_OPTIONS, "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"]

# The servers' log: short lines for narrow tiles, without what ZooKeeper says of the machine and of
# clients that come too early, and without all settings of Kafka.
LOG = ("showDateTime=true", "dateTimeFormat=HH:mm:ss", "showThreadName=false")
LOG += ("showShortLogName=true", "log.org.apache.zookeeper.ZooKeeper=warn")
LOG += ("log.org.apache.zookeeper.server.ZooKeeperServer=warn",)
LOG += ("log.org.apache.zookeeper.Environment=warn",)
LOG += ("log.org.apache.zookeeper.server.NIOServerCnxn=error", "log.kafka.server.KafkaConfig=warn")


def main(command: str = "", *arguments: str) -> None:
    """Run one command of the broker; exit with status 1 and the reason where that fails."""
    if command == "zookeeper-server-start":
        start_zookeeper()
    elif command == "kafka-server-start":
        start_kafka(arguments)
    elif command in console.COMMANDS:
        become_java(TOOL_OPTIONS, *console.command(command, arguments))
    elif command == "check-ports":
        ports.check()
    elif command == "check-java":
        java.program()
    elif command == "install-jars":
        jars.install(*map(Path, arguments))
    else:
        names = ["zookeeper-server-start", "kafka-server-start", *console.COMMANDS]
        sys.exit(f"python -m broker COMMAND, where COMMAND is one of: {', '.join(names)}")


def start_zookeeper() -> None:
    """Become ZooKeeper on ZOOKEEPER_PORT, with its data in BROKER_DATA."""
    data.use_data_directory()
    data.lock("zookeeper")
    ports.check("zookeeper")
    data.drop_empty_logs()
    file = "zookeeper.properties"
    Path(file).write_text(properties(file, {"clientPort": ports.zookeeper()}))
    become_server("zookeeper", "org.apache.zookeeper.server.quorum.QuorumPeerMain", file)


def start_kafka(overrides: tuple[str, ...]) -> None:
    """Become Kafka on BROKER_PORT, with its data in BROKER_DATA; takes Kafka's `--override`."""
    data.use_data_directory()
    lock = data.lock("kafka")
    ports.check("kafka")
    other_id = re.search(r"broker\.id=(\d+)", " ".join(overrides))
    # One broker of several: the others' partitions are not in its log directory.
    stored = {} if other_id else data.cluster_state()
    # With the marker of a clean shutdown Kafka would not check segments, which may be truncated.
    Path("kafka/.kafka_cleanshutdown").unlink(missing_ok=True)

    def settings() -> str:
        data.repair_zookeeper(ports.zookeeper(), other_id[1] if other_id else "0", stored)
        own = {"listeners": f"PLAINTEXT://127.0.0.1:{ports.kafka()}"}
        own |= {"zookeeper.connect": f"127.0.0.1:{ports.zookeeper()}"}
        return properties("server.properties", own)

    become_server("kafka", "kafka.Kafka", data.fork_companion(lock, settings), *overrides)


def properties(file: str, own: dict[str, object]) -> str:
    """The text of one of our properties files, followed by a server's own settings."""
    lines = [f"{name}={value}\n" for name, value in own.items()]
    return (jars.BROKER / file).read_text() + "".join(lines)


def become_server(name: str, main_class: str, *arguments: str) -> None:
    """Replace this process by a server that logs to standard error."""
    archive = jars.KAFKA / f"{name}.jsa"
    # Java writes the archive of loaded classes at the end of a first run, and later loads it.
    archiving = ["-XX:+AutoCreateSharedArchive", f"-XX:SharedArchiveFile={archive}"]
    log = [f"-Dorg.slf4j.simpleLogger.{setting}" for setting in LOG]
    # snappy and zstd unpack native code there: often /tmp allows none to be executed.
    unpacking = [f"-Djava.io.tmpdir={data.temporary_directory(name)}"]
    options = [*SERVER_OPTIONS, *archiving, *log, *unpacking]
    become_java(options, main_class, *arguments)


def become_java(options: list[str], main_class: str, *arguments: str) -> None:
    """Replace this process by a Java program of the pinned Kafka."""
    command = java.command(jars.PINS, options, main_class, *arguments)
    os.execve(command[0], command, java.environment())


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except OSError as error:
        sys.exit(locks.explain(error))
    except KeyboardInterrupt:
        # A regular exit would wait for the threads that download jars.
        os._exit(130)
