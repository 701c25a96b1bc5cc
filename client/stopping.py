"""The flag that ends a script, and the signals that set it."""

import os
import signal
import threading
import time

# Some programs send a signal twice, as `timeout -s INT` does; nobody types so fast.
SAME_SIGNAL = 0.1  # seconds


class StopFlag:
    """A flag that a signal handler may set while the thread that it interrupts waits for it.

    threading.Event cannot be used: its lock is not re-entrant, so the handler would wait for ever
    for the very code that it interrupted. The lock of a Condition is.
    """

    def __init__(self) -> None:
        self.condition = threading.Condition()
        self.set_at: float | None = None

    def set(self) -> None:
        """Set the flag and wake up all who wait for it."""
        with self.condition:
            if self.set_at is None:
                self.set_at = time.monotonic()
            self.condition.notify_all()

    def clear(self) -> None:
        """Make ready for another run."""
        self.set_at = None

    def is_set(self) -> bool:
        """Whether the script is to end."""
        return self.set_at is not None

    def wait(self, timeout: float) -> bool:
        """Wait at most `timeout` seconds; whether the flag is set."""
        with self.condition:
            return self.condition.wait_for(self.is_set, timeout)


stop = StopFlag()


def stop_on_signals() -> None:
    """Let Ctrl-C, SIGTERM and SIGHUP set `stop`, and a second Ctrl-C end the process at once.

    A flag and not an exception: kafka-python swallows exceptions while it looks up a name, and a
    number must not be torn between being printed and being committed. Off the main thread, where
    Python allows no signal handlers, only clears the flag.
    """
    stop.clear()
    if threading.current_thread() is not threading.main_thread():
        return
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup sets it
            signal.signal(number, on_signal)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def on_signal(number: int, _frame: object) -> None:
    """Set `stop`; end the process with status 1 at a Ctrl-C while it is set."""
    again = stop.set_at is not None and time.monotonic() > stop.set_at + SAME_SIGNAL
    if number == signal.SIGINT and again:
        os._exit(1)
    stop.set()
