"""What the scripts print to standard output, and say on standard error."""

import errno
import io
import os
import sys
from contextlib import suppress
from functools import lru_cache

from client.stopping import stop


def is_closed(output: object) -> bool:
    """Whether nothing can be written to an output of Python any more."""
    return output is None or getattr(output, "closed", False)


def notify(text: str) -> None:
    """Write one line to standard error, if that is still there."""
    if not is_closed(sys.stderr):  # as by `2>&-`: print() would take standard output instead
        with suppress(OSError):
            print(f"{text}\n", end="", file=sys.stderr, flush=True)


def notify_interrupted() -> None:
    """Say once that a signal ends the script."""
    if stop.is_set() and not stop.announced:
        stop.announced = True
        notify("Interrupted!")


def print_lines(lines: list[str]) -> None:
    """Write lines to standard output, whole, so that they are seen at once; raises OSError."""
    if not lines:
        return
    text, output = "\n".join(lines) + "\n", sys.stdout
    try:
        if is_closed(output):  # print() would raise ValueError
            raise OSError(errno.EBADF, "it is closed")
        # What a program has put in its place may be anything.
        buffer = output.buffer if type(output) is io.TextIOWrapper else None
        if isinstance(getattr(buffer, "raw", buffer), io.FileIO):
            output.flush()
            write_whole(output.fileno(), text.encode(output.encoding, output.errors or "strict"))
        else:
            print(text, end="", flush=True)
    except OSError:
        # Python flushes standard output once more at its end, and would complain.
        with suppress(AttributeError, OSError, ValueError):  # where a program's own is no file
            os.dup2(os.open(os.devnull, os.O_WRONLY), output.fileno())
        raise


def write_whole(file: int, lines: bytes) -> None:
    """Write all lines to a file descriptor; raises OSError.

    A line of which only a part fits into a regular file is taken back: what is appended later
    would continue it.
    """
    written = 0
    try:
        while written < len(lines):
            written += os.write(file, lines[written:])
    except OSError:
        part = written - (lines.rfind(b"\n", 0, written) + 1)
        with suppress(OSError):  # a pipe or a terminal
            end = os.lseek(file, 0, os.SEEK_CUR)
            if part and end == os.fstat(file).st_size:  # nobody else has appended
                os.ftruncate(file, os.lseek(file, end - part, os.SEEK_SET))
        raise


@lru_cache(maxsize=16)
def printable(raw: bytes) -> str:
    """UTF-8 as text on one line that any terminal can show: everything else as escapes."""
    text = raw.decode("utf-8", "backslashreplace")
    text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"  # which may lack some letters
    return text.encode(encoding, "backslashreplace").decode(encoding)
