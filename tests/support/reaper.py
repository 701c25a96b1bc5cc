"""Kills what the tests left running, however they ended: `reaper.py MARK`.

Everything that the tests start carries the mark in its environment, or descends from what does:
macOS does not tell the environment of its own programs, such as a shell. The tests hold the other
end of standard input, which ends with them even if they are killed.
"""

import os
import sys
from contextlib import suppress

import psutil


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
                found |= process.status() != psutil.STATUS_ZOMBIE
    return found


def marked(name: str, mark: str) -> set[psutil.Process]:
    """The processes with such a mark in their environment, and all that descend from them."""
    found: set[psutil.Process] = set()
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get(name) == mark:
                found |= {process, *process.children(recursive=True)}
    return found


if __name__ == "__main__":
    main(sys.argv[1])
