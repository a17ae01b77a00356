"""Folders that are nobody else's to read or to write."""

import errno
import os
import stat
from pathlib import Path

OWNER_ONLY = 0o700


def make_private(path: Path) -> None:
    """
    Make a folder, and those above it that are missing, for this user alone, whatever the umask says.

    What is there stays as it is. Raises OSError.
    """
    for folder in [*reversed(path.parents), path]:
        if folder.is_dir():
            continue
        try:
            folder.mkdir(mode=OWNER_ONLY)
        except FileExistsError:  # somebody made it meanwhile
            continue
        folder.chmod(OWNER_ONLY)  # an ACL of the folder above may have added others
    if not path.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path))


def own_folder(path: Path) -> None:
    """
    Make a folder that is the gateway's own; one that is there and lets others in is closed to them.

    Raises OSError.
    """
    make_private(path)
    about = path.stat()
    if about.st_uid == os.getuid() and stat.S_IMODE(about.st_mode) & ~OWNER_ONLY & 0o777:
        path.chmod(OWNER_ONLY)
