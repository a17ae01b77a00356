"""
The token of Ray's own ports, which permits running code as this user.

Ray reads `RAY_AUTH_TOKEN`, else the file of `RAY_AUTH_TOKEN_PATH`, else `~/.ray/auth_token`. A gateway uses
an existing one, so that this user's Python clients can connect, and otherwise creates the last.
"""

import os
import secrets
import stat
from collections.abc import MutableMapping
from contextlib import suppress
from pathlib import Path

from serve_app.errors import ConfigError

MODE, TOKEN, TOKEN_PATH = "RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"


def require_token(environ: MutableMapping[str, str], folder: Path, insecure: bool) -> str | None:
    """
    Make Ray require a token, and create one if there is none.

    Args:
        environ: the environment that Ray will read; changed.
        folder: where to keep the token if the home folder cannot be used.
        insecure: accept an environment that switches the token off.

    Returns:
        A warning for the operator; None: there is no reason for one.

    Raises:
        ConfigError: the token is switched off without `insecure`, or its file cannot be used.
    """
    mode = environ.get(MODE, "").strip().lower()
    if mode not in ("", "token"):
        if not insecure:
            raise ConfigError(
                f"{MODE}={environ[MODE]} is set: anyone who can reach Ray's ports can run code as you. "
                f"Unset it (Ray then requires a token), or pass --insecure."
            )
        return f"{MODE}={environ[MODE]}: anyone who can reach Ray's ports can run code as you."
    environ[MODE] = "token"
    if environ.get(TOKEN, "").strip():
        return None
    environ.pop(TOKEN, None)
    named = environ.get(TOKEN_PATH, "").strip()
    if named:
        _refuse_without_token(Path(named))
        return None
    environ.pop(TOKEN_PATH, None)
    home = environ.get("HOME", "").strip()
    if home:
        with suppress(OSError):
            _keep_or_make(Path(home) / ".ray" / "auth_token")
            return None
    file = folder / "auth_token"
    _make(file)
    environ[TOKEN_PATH] = str(file)
    return None


def _refuse_without_token(file: Path) -> None:
    try:
        empty = not file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not a text file"
        raise ConfigError(f"{TOKEN_PATH}={file}: {reason}") from None
    if empty:
        raise ConfigError(f"{TOKEN_PATH}={file}: the file is empty")


def _keep_or_make(file: Path) -> None:
    """Keep the token in this file, or create it. Raises OSError if it cannot be written."""
    file.parent.mkdir(mode=0o700, exist_ok=True)
    try:
        about = file.stat()
    except FileNotFoundError:
        _make(file)
        return
    if about.st_uid == os.getuid() and stat.S_IMODE(about.st_mode) & 0o077:
        file.chmod(0o600)  # Ray writes it with the umask's permissions, readable by all
    if not file.read_text(encoding="utf-8").strip():
        file.unlink()
        _make(file)


def _make(file: Path) -> None:
    handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as writing:
        writing.write(secrets.token_hex(32))
