"""Folders that no other user can read or write."""

import errno
import os
import stat
from pathlib import Path

OWNER_ONLY = 0o700


def make_private(path: Path) -> None:
    """
    Create a folder and its missing parents for this user only, whatever the umask is.

    Existing folders keep their permissions. Raises OSError.
    """
    for folder in [*reversed(path.parents), path]:
        if folder.is_dir():
            continue
        try:
            folder.mkdir(mode=OWNER_ONLY)
        except FileExistsError:  # another process created it meanwhile
            continue
        folder.chmod(OWNER_ONLY)  # an ACL of the parent may have added other users
    if not path.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path))


def own_folder(path: Path) -> None:
    """
    Create a folder of the gateway, or remove the permissions of other users from an existing one.

    Raises OSError.
    """
    make_private(path)
    about = path.stat()
    if about.st_uid == os.getuid() and stat.S_IMODE(about.st_mode) & ~OWNER_ONLY & 0o777:
        path.chmod(OWNER_ONLY)
