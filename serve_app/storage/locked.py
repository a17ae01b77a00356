"""Files that one process locks for as long as it lives."""

import fcntl
import os
from pathlib import Path


def locked(path: Path) -> int:
    """
    Open and lock a file for this process; create it (0600) if it is missing, wait if it is locked.

    The kernel releases the lock when the process dies, however it dies. Raises OSError.
    """
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
        except BaseException:
            os.close(file)
            raise
        if _still_there(file, path):
            return file
        os.close(file)  # another process removed it meanwhile


def locked_if_free(path: Path) -> int | None:
    """Open and lock a file; return None if it is missing or another process has locked it. Raises OSError."""
    try:
        file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(file)
        if isinstance(error, BlockingIOError):
            return None
        raise
    if _still_there(file, path):
        return file
    os.close(file)
    return None


def _still_there(file: int, path: Path) -> bool:
    try:
        there = os.stat(path)
    except FileNotFoundError:
        return False
    held = os.fstat(file)
    return (there.st_dev, there.st_ino) == (held.st_dev, held.st_ino)
