"""
The HAProxy configuration that Ray Serve generates, edited so that callers cannot harm one another.

Serve's template has no options for these changes: by default any local user may command the admin socket, a
request may take forever to arrive, and the statistics share the frontend's connections. Each change names the
line that it expects. An unknown directive is an error: one that a newer Ray adds might undo a change.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from typing import TypeVar

EDITED = "# Edited by Sekha (serve_app/deployments/haproxy/hardened.py)."
HEAD_WITHIN_S = 10  # from the first byte of a request's head to its last
CLIENT_SILENT_S = 60  # between two reads of a body, or two writes of an answer; an answer may take longer
SERVES_TIMEOUT_S = 3600  # what Serve writes by default
RESERVED_FILES = 256  # of HAProxy itself: sockets, health checks, logs, idle connections to replicas
FILES_FOR_TWO = 5  # connections, as HAProxy counts: four sockets, and half a pipe each

_SOCKET = re.compile(r"stats socket (\S+) mode 666 level admin expose-fd listeners")
_DROPPED = ("frontend prometheus", "listen stats")  # `/metrics` of the gateway has the numbers
_SECTIONS = ("global", "defaults", "frontend", "backend", "listen")

# Every directive of the template of Ray 2.60, by its first word.
_KNOWN = {
    "global": "log stats maxconn nbthread lua-load-per-thread tune.bufsize server-state-base "
    "server-state-file hard-stop-after close-spread-time tune.h2.max-frame-size "
    "tune.h2.be.initial-window-size tune.h2.be.max-concurrent-streams "
    "tune.h2.fe.initial-window-size tune.h2.fe.max-concurrent-streams",
    "defaults": "mode option no timeout log retry-on retries errorfile load-server-state-from-file balance",
    "frontend": "bind mode log log-format-sd no acl http-request unique-id-format use_backend "
    "default_backend",
    "backend": "mode log http-reuse timeout option http-check default-server server use-server acl "
    "http-request tcp-check",
    "listen": "bind stats",
}
KNOWN_DIRECTIVES = {section: frozenset(words.split()) for section, words in _KNOWN.items()}

# Serve decodes these headers before any code of ours runs, and answers 500 to what is not UTF-8. The second
# kind chooses among models that a replica multiplexes, of which there are none here.
_REFUSED_HEADERS = (
    *(f"    http-request deny deny_status 400 if {{ req.fhdr({name}) -m reg [^\\ -~] }}" for name in (
        "x-request-id", "x-session-id",
    )),
    *(f"    http-request del-header {name}" for name in (
        "serve_multiplexed_model_id", "serve-multiplexed-model-id",
    )),
)  # fmt: skip

Found = TypeVar("Found")


class UnknownTemplate(Exception):
    """The configuration is not one that this code knows how to edit."""


@dataclass
class _Section:
    header: str
    lines: list[str] = field(default_factory=list)

    @property
    def kind(self) -> str:
        return self.header.split(" ", 1)[0]


def hardened(
    text: str, open_files: int, client_silent_s: int | None = None, address: str | None = None
) -> str:
    """
    Return the edited configuration; one that was edited before is returned unchanged.

    Args:
        text: what Serve wrote.
        open_files: how many files HAProxy may open; its connections are as many as these allow, at most what
            Serve asks for.
        client_silent_s: the operator's `timeout client`; by default `CLIENT_SILENT_S`.
        address: where callers connect, instead of where Serve and its replicas listen.

    Raises:
        UnknownTemplate: an expected line is missing, or there is an unknown directive.
    """
    if text.startswith(EDITED):
        return text
    sections = list(_sections(text))
    _refuse_unknown_directives(sections)
    for header in _DROPPED:
        sections.remove(_the_only([s for s in sections if s.header == header], header))
    front_doors = [section for section in sections if section.kind == "frontend"]
    if not front_doors:
        raise UnknownTemplate("it has no frontend")
    top = _the_only([section for section in sections if section.header == "global"], "global")
    each = _close_the_socket_and_share_connections(top, len(front_doors), open_files)
    for section in front_doors:
        if address is not None:
            _move(section, address)
        at = _line_of(section, "bind") + 1
        section.lines[at:at] = _REFUSED_HEADERS
        section.lines.insert(0, f"    maxconn {each}")
    defaults = _the_only([section for section in sections if section.header == "defaults"], "defaults")
    _bound_the_wait_for_callers(defaults, client_silent_s)
    lines = chain([EDITED], *([section.header, *section.lines] for section in sections))
    return "\n".join(lines) + "\n"


def socket_of(text: str) -> str:
    """Return the path of the admin socket in a configuration that Serve wrote or `hardened` returned."""
    found = re.search(r"^\s*stats socket (\S+)", text, re.MULTILINE)
    if found is None:
        raise UnknownTemplate("it has no 'stats socket'")
    return found.group(1)


def _sections(text: str) -> Iterator[_Section]:
    section: _Section | None = None
    for line in text.splitlines():
        if line and not line[0].isspace() and not line.startswith("#"):
            if line.split(" ", 1)[0] not in _SECTIONS:
                raise UnknownTemplate(f"it has a section '{line}'")
            if section is not None:
                yield section
            section = _Section(line.rstrip())
        elif section is not None:
            section.lines.append(line)
        elif line.strip() and not line.startswith("#"):
            raise UnknownTemplate(f"it has a line before every section: '{line.strip()}'")
    if section is not None:
        yield section


def _refuse_unknown_directives(sections: Iterable[_Section]) -> None:
    for section in sections:
        for line in section.lines:
            words = line.split()
            if words and not words[0].startswith("#") and words[0] not in KNOWN_DIRECTIVES[section.kind]:
                raise UnknownTemplate(f"'{section.header}' has a directive '{line.strip()}'")


def _close_the_socket_and_share_connections(top: _Section, doors: int, open_files: int) -> int:
    """Edit `global`; return how many connections each front door may have."""
    number = _line_of(top, "maxconn")
    configured = top.lines[number].split()[1]
    if not configured.isdigit():
        raise UnknownTemplate(f"its maxconn is not a number: '{configured}'")
    each = min(int(configured), 2 * (open_files - RESERVED_FILES) // (FILES_FOR_TWO * doors))
    if each < 1:
        raise UnknownTemplate(f"{open_files} open files are too few for it; raise the limit (ulimit -n)")
    top.lines[number] = f"    maxconn {each * doors}"
    number = _line_of(top, "stats socket")
    path = _SOCKET.fullmatch(top.lines[number].strip())
    if path is None:
        raise UnknownTemplate(f"its admin socket reads '{top.lines[number].strip()}'")
    # Serve sends `show info`, `show stat` and `show servers state`, and its reloads pass on the listeners.
    top.lines[number] = f"    stats socket {path.group(1)} mode 600 level operator expose-fd listeners"
    return each


def _move(door: _Section, address: str) -> None:
    number = _line_of(door, "bind")
    _, place, *more = door.lines[number].split()
    everywhere = address in ("0.0.0.0", "::")  # noqa: S104
    moved = f"{'*' if everywhere else address}:{place.rpartition(':')[2]}"
    door.lines[number] = " ".join(["    bind", moved, *more])


def _bound_the_wait_for_callers(defaults: _Section, client_silent_s: int | None) -> None:
    number = _line_of(defaults, "timeout client")
    if client_silent_s is None and defaults.lines[number].strip() == f"timeout client {SERVES_TIMEOUT_S}s":
        defaults.lines[number] = f"    timeout client {CLIENT_SILENT_S}s"
    if not any(line.split()[:2] == ["timeout", "http-request"] for line in defaults.lines):
        defaults.lines.insert(number, f"    timeout http-request {HEAD_WITHIN_S}s")
    # A body that follows its head would bypass HAProxy, which then may not notice that the caller has left.
    defaults.lines = [line for line in defaults.lines if line.strip() != "option splice-request"]


def _line_of(section: _Section, directive: str) -> int:
    words = directive.split()
    found = [n for n, line in enumerate(section.lines) if line.split()[: len(words)] == words]
    return _the_only(found, f"'{directive}' in '{section.header}'")


def _the_only(found: list[Found], name: str) -> Found:
    if len(found) != 1:
        raise UnknownTemplate(f"it has {len(found)} of {name}, not one")
    return found[0]
