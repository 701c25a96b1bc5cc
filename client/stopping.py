"""The flag that ends a script, and the signals that set it."""

import atexit
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

# Some programs send a signal twice, as `timeout -s INT` does; nobody types so fast.
SAME_SIGNAL = 0.1  # seconds


class StopFlag:
    """Whether the scripts of this process are to end; whoever waits looks at it every 0.2 s.

    set() and is_set() take no lock: a signal handler would wait for ever for one that is held by
    the code that it interrupted.
    """

    def __init__(self) -> None:
        self.set_at: float | None = None
        self.announced = False
        self.running = 0
        self.lock = threading.Lock()  # of `running`

    def set(self) -> None:
        """Ask all scripts that run in this process to end."""
        if self.set_at is None:
            self.set_at = time.monotonic()

    def is_set(self) -> bool:
        """Whether the scripts are to end."""
        return self.set_at is not None

    def wait(self, seconds: float) -> None:
        """Sleep so long, unless the flag is set already."""
        if not self.is_set():
            time.sleep(seconds)

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """A block that the flag ends; the flag is cleared once no such block runs any more."""
        with self.lock:
            self.running += 1
        try:
            yield
        finally:
            with self.lock:
                self.running -= 1
                if not self.running:
                    self.set_at, self.announced = None, False


stop = StopFlag()


@contextmanager
def stop_on_signals() -> Iterator[None]:
    """A block in which Ctrl-C, SIGTERM and SIGHUP set `stop`; a second Ctrl-C ends the process.

    A flag and not an exception: kafka-python swallows exceptions while it looks up a name, and a
    number must not be torn between being printed and being committed. Does nothing off the main
    thread, where Python allows no signal handlers.
    """
    before = {}
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) not in (signal.SIG_IGN, None):  # nohup ignores SIGHUP
                before[number] = signal.signal(number, on_signal)
    try:
        yield
    finally:
        for number, action in before.items():
            signal.signal(number, action)
        if before:  # if a script ends now: at its very end an exception would leave a traceback
            atexit.unregister(end_without_traceback)
            atexit.register(end_without_traceback)


def on_signal(number: int, _frame: object) -> None:
    """Set `stop`; end the process with status 1 at a Ctrl-C while it is set."""
    again = stop.set_at is not None and time.monotonic() > stop.set_at + SAME_SIGNAL
    if number == signal.SIGINT and again:
        os._exit(1)
    stop.set()


def end_without_traceback() -> None:
    """Let Ctrl-C end the process, which is about to end, as it ends one that is not Python."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
