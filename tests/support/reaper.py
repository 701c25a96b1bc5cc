"""Kills what the tests left running, however they ended: `reaper.py MARK`.

Everything that the tests start carries the mark in its environment, or descends from what does:
macOS does not tell the environment of its own programs, such as a shell. The tests hold the other
end of standard input, which ends with them even if they are killed.
"""

import os
import subprocess
import sys
from contextlib import suppress
from uuid import uuid4

import psutil


def start() -> subprocess.Popen | None:
    """Mark all that this process starts from now on; the reaper, None if it was marked before."""
    if "NUMBERS_TESTS" in os.environ:
        return None
    os.environ["NUMBERS_TESTS"] = uuid4().hex
    command = [sys.executable, __file__, os.environ["NUMBERS_TESTS"]]
    return subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)


def main(mark: str) -> None:
    """Wait for the end of standard input, then kill each process that carries the mark."""
    sys.stdin.read()
    while kill_marked(mark):  # what is just starting may start more
        pass


def kill_marked(mark: str) -> bool:
    """Kill each process that carries the mark; whether there was one."""
    found = False
    for process in marked("NUMBERS_TESTS", mark):
        with suppress(psutil.Error):
            if process.pid != os.getpid():
                process.kill()
                found |= runs(process)
    return found


def marked(name: str, mark: str) -> set[psutil.Process]:
    """The processes with such a mark in their environment, and all that descend from them."""
    found: set[psutil.Process] = set()
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get(name) == mark:
                found |= {process, *process.children(recursive=True)}
    return found


def runs(process: psutil.Process) -> bool:
    """Whether a process has not ended, also not as a zombie whose parent has yet to look."""
    with suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


if __name__ == "__main__":
    main(sys.argv[1])
