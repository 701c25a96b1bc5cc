"""`python -m broker COMMAND`: the servers and console commands of the pinned Kafka.

The servers and console commands replace this process by Java (`os.execve`), so signals, exit
status and output are Kafka's own.
"""

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from . import BROKER, KAFKA, companion, console, data, files, jars, java, ports

# For small servers on a shared machine. On two cores, beside those of Kafka's own scripts: ready in
# 1.2 s instead of 2.3, with the CDS archive, in 195 MB instead of 307.
SERVER_OPTIONS = ["-Xmx256M", "-Xmn24M", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]

# For what runs beside the servers: it says on standard error what goes wrong, and no more.
TOOL_OPTIONS = [*SERVER_OPTIONS, "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"]

# The servers' log: short lines for narrow tiles, without what ZooKeeper says of the machine and of
# clients that come too early, and without all settings of Kafka.
LOG = ["showDateTime=true", "dateTimeFormat=HH:mm:ss", "showThreadName=false"]
LOG += ["showShortLogName=true", "log.org.apache.zookeeper.ZooKeeper=warn"]
LOG += ["log.org.apache.zookeeper.server.ZooKeeperServer=warn"]
LOG += ["log.org.apache.zookeeper.Environment=warn"]
LOG += ["log.org.apache.zookeeper.server.NIOServerCnxn=error", "log.kafka.server.KafkaConfig=warn"]
LOG += ["log.org.apache.kafka.common.config.AbstractConfig=warn"]

# All clusters of Kafka without ZooKeeper have this id: several servers need it to form one.
CLUSTER_ID = "numbers-numbers-number"


def main(command: str = "", *arguments: str) -> None:
    """Run one command of the broker; exit with status 1 and the reason where that fails."""
    if command == "zookeeper-server-start":
        start_zookeeper()
    elif command == "kafka-server-start":
        start_kafka(arguments)
    elif command == "kraft-server-start":
        start_kraft(arguments)
    elif command in console.COMMANDS:
        become_java(command, jars.PINS, TOOL_OPTIONS, *console.command(command, arguments))
    elif command == "check":
        check()
    elif command == "install-jars":
        jars.install(Path(*arguments))
    else:
        names = [f"{name}-server-start" for name in ("zookeeper", "kafka", "kraft")]
        names += console.COMMANDS
        sys.exit(f"python -m broker COMMAND, where COMMAND is one of: {', '.join(names)}")


def check() -> None:
    """Exit with the reason if the data directory or a port cannot be used."""
    data.use_data_directory()
    data.check_writable()
    if not os.environ.get("KAFKA_BOOTSTRAP_SERVERS"):
        data.require_kind("broker.id")
        ports.check("zookeeper", beside="kafka")
        ports.check("kafka", beside="zookeeper")


def start_zookeeper() -> None:
    """Become ZooKeeper on ZOOKEEPER_PORT, with its data in BROKER_DATA."""
    data.use_data_directory()
    data.require_kind("broker.id")
    data.lock("zookeeper")
    ports.check("zookeeper", beside="kafka")
    data.drop_empty_logs()
    file = write_properties("zookeeper.properties", {"clientPort": ports.of("zookeeper")})
    become_server("zookeeper", "org.apache.zookeeper.server.quorum.QuorumPeerMain", file)


def start_kafka(arguments: tuple[str, ...]) -> None:
    """Become Kafka on BROKER_PORT, with its data in BROKER_DATA; takes Kafka's `--override`."""
    data.use_data_directory()
    data.require_kind("broker.id")
    data.lock("kafka")
    ports.check("kafka", beside="zookeeper")
    data.have_segments_checked()
    own = {
        "broker.id": overrides(arguments).get("broker.id", "0"),
        "listeners": f"PLAINTEXT://{ports.address('kafka')}",
        "zookeeper.connect": ports.address("zookeeper"),
    }
    settings = companion.start(properties("server.properties", own), own["broker.id"])
    become_server("kafka", "kafka.Kafka", settings, *arguments)


def start_kraft(arguments: tuple[str, ...]) -> None:
    """Become Kafka 4, its own controller on CONTROLLER_PORT; else as `start_kafka`."""
    data.use_data_directory(default="kraft")
    data.require_kind("node.id")
    data.lock("kafka")
    ports.check("kafka", beside="controller")
    ports.check("controller", beside="kafka")
    data.have_segments_checked()
    kafka, controller = ports.address("kafka"), ports.address("controller")
    own = {
        "node.id": "0",
        "process.roles": "broker,controller",
        "listeners": f"PLAINTEXT://{kafka},CONTROLLER://{controller}",
        "controller.listener.names": "CONTROLLER",
        "controller.quorum.voters": f"0@{controller}",
    }
    file = write_properties("server.properties", own | overrides(arguments))
    if not data.meta_properties():
        tool = ("kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c", file)
        require_jars(jars.KRAFT)
        words = java.command(jars.KRAFT, TOOL_OPTIONS, *tool)
        # It inherits the lock: no other start begins beside it if this process is killed.
        if subprocess.run(words, env=java.environment(), close_fds=False).returncode:
            sys.exit(f"Kafka could not format {data.directory()} (reason above).")
    become_server("kraft", "kafka.Kafka", file, *arguments, pins=jars.KRAFT)


def overrides(arguments: tuple[str, ...]) -> dict[str, str]:
    """The settings in `--override NAME=VALUE`, as often as it is given."""
    words = [word.removeprefix("--override=") for word in arguments if word != "--override"]
    return dict(word.split("=", 1) for word in words if "=" in word)


def write_properties(file: str, own: Mapping[str, object]) -> str:
    """Write the properties of a server to its data directory; the file's name."""
    Path(file).write_text(properties(file, own))
    return file


def properties(file: str, own: Mapping[str, object]) -> str:
    """The text of one of our properties files, followed by a server's own settings."""
    # Java's escapes are those of JSON.
    lines = [f"{name}={json.dumps(str(value))[1:-1]}\n" for name, value in own.items()]
    return (BROKER / file).read_text() + "".join(lines)


def become_server(name: str, main_class: str, *arguments: str, pins: Path = jars.PINS) -> None:
    """Replace this process by a server that logs to standard error."""
    archive = KAFKA / f"{name}-{pins.stem}.jsa"
    # Java writes the archive of loaded classes at the end of a first run, and later loads it.
    archiving = ["-XX:+AutoCreateSharedArchive", f"-XX:SharedArchiveFile={archive}"]
    log = [f"-Dorg.slf4j.simpleLogger.{setting}" for setting in LOG]
    # snappy and zstd unpack native code there: often /tmp allows none to be executed.
    unpacking = [f"-Djava.io.tmpdir={data.temporary_directory(name)}"]
    options = [*SERVER_OPTIONS, *archiving, *log, *unpacking]
    become_java(name, pins, options, main_class, *arguments)


def become_java(name: str, pins: Path, options: list[str], *program: str) -> None:
    """Replace this process by a Java program of a pinned Kafka, which htop and ps show by name."""
    require_jars(pins)
    executable, *words = java.command(pins, options, *program)
    os.execve(executable, [name, *words], java.environment())


def require_jars(pins: Path) -> None:
    """Exit with the command that fetches the jars if one of them is missing."""
    if not all(jars.path(name).exists() for name in jars.pinned(pins)):
        command = [str(BROKER / "install"), f"{BROKER.name}/{pins.name}"]
        sys.exit(f"Kafka's jars are missing in {jars.JARS}. To fetch them: {shlex.join(command)}")


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except OSError as error:
        choice = " BROKER_DATA selects another directory." if os.environ.get("BROKER_DATA") else ""
        sys.exit(files.explain(error) + choice)
    except KeyboardInterrupt:
        # A regular exit would wait for the threads that download jars.
        os._exit(130)
