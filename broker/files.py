"""What to say of a file or directory that cannot be used."""

import errno
import os
from pathlib import Path


def check_encoding(path: Path) -> None:
    """Raise OSError if a path is not UTF-8: Java reads no other."""
    try:
        os.fsencode(path).decode()
    except UnicodeDecodeError:
        raise OSError(errno.EILSEQ, "its path is not UTF-8", str(path)) from None


def explain(error: OSError) -> str:
    """What cannot be used, why, and whose it is if that is why."""
    # A write that fails names no file: the servers write below their working directory only.
    path = Path(error.filename or ".").absolute()
    reason = "Not a directory" if isinstance(error, FileExistsError) else error.strerror or error
    said = f"{path} cannot be used: {reason}."
    if not isinstance(error, PermissionError):
        return said
    while not os.path.exists(path):
        path = path.parent
    if path.stat().st_uid == os.geteuid():
        return said
    try:
        owner = path.owner()
    except KeyError:  # in a container, say
        owner = f"user {path.stat().st_uid}"
    return f"{said} {path} belongs to {owner}: run this as {owner}, or clone the project yourself."
