"""File locks (flock), which the kernel releases when the last process that holds one ends."""

import fcntl
import math
import os
import time
from collections.abc import Callable
from pathlib import Path

# Seconds of waiting that are not worth a message.
SILENT = 1


def acquire(path: Path, on_wait: Callable[[str], None], timeout: float = math.inf) -> int:
    """File descriptor of the lock, once no other process holds it.

    `on_wait` is called with the holder's process id, which a TimeoutError carries, too. Child
    processes can inherit the lock, and a program that replaces this process does.
    """
    lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    started, reported = time.monotonic(), False
    while not try_lock(lock):
        waited = time.monotonic() - started
        holder = os.pread(lock, 20, 0).decode().strip()
        if waited > timeout:
            raise TimeoutError(holder)
        if waited > SILENT and not reported:
            on_wait(holder)
            reported = True
        time.sleep(0.02)
    os.ftruncate(lock, 0)
    os.pwrite(lock, b"%d\n" % os.getpid(), 0)
    os.set_inheritable(lock, True)
    return lock


def is_held(path: Path) -> bool:
    """Whether another process holds the lock."""
    try:
        with open(path) as file:
            return not try_lock(file.fileno()) and file.read().strip() != str(os.getpid())
    except FileNotFoundError:
        return False


def try_lock(lock: int) -> bool:
    """Whether the lock could be acquired at once."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
