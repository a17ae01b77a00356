"""
Vendors' descriptions of failures, read from errors of any shape.

One pure reader for all vendors: OpenAI's error object and what others send in its place (a bare text, a flat
object, a list around it, a list of fields, an error within an error, a web page). It never raises, and its
result is short. API keys are not removed here, but in `openai_compatible/failures.py`.
"""

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from serve_app.formats.sse import whole_frames

DEEPEST = 6  # nested errors that are read
MOST_READ = 65_536  # bytes of a body that are read
MOST_DETAILS = 8
MOST_WORDS = 32
TEXT_LIMIT = 4096  # characters of a message, before keys are taken out
WORD_LIMIT = 200  # characters of a detail, a code or a parameter

_MARKUP = re.compile(r"\s*(<!--|<!doctype|<\?xml|<html|<head|<body|<title|<h1|<center)", re.IGNORECASE)
_DURATION = re.compile(r"(\d+(?:\.\d+)?)s$")

# Members with the text of an error, the most specific first.
_TEXTS = (
    "message",
    "Message",
    "msg",
    "detail",
    "error_description",
    "error_message",
    "errorMessage",
    "status_msg",  # MiniMax
    "title",
)
# Members with its code, type or reason.
_CODES = ("code", "error_code", "errorCode", "type", "__type", "status", "reason", "object", "name")
# Members with a nested error, which is more specific.
_INNER = (
    *("error", "errors", "innererror", "inner_error", "raw", "cause", "details", "metadata", "exception"),
    "base_resp",  # MiniMax
)


@dataclass(frozen=True, slots=True)
class VendorWords:
    """
    A vendor's description of a failure.

    Fields:
        message: the most specific sentence; None: there is none.
        words: its codes, types and reasons in lower case, the outermost first.
        code: the vendor's own code.
        param: the field at fault.
        status: an HTTP status in the error.
        wait_s: the seconds to wait before a retry.
        details: single complaints.
        was_flagged: a content filter flagged the request or the answer.
    """

    message: str | None = None
    words: tuple[str, ...] = ()
    code: str | None = None
    param: str | None = None
    status: int | None = None
    wait_s: float | None = None
    details: tuple[str, ...] = ()
    was_flagged: bool = False


SILENT = VendorWords()


def is_error(payload: Mapping[str, Any]) -> bool:
    """Return whether an object in an answer is an error: by `error`, its type, or MiniMax's status."""
    if payload.get("error") or "error" in (payload.get("type"), payload.get("object")):
        return True
    minimax = payload.get("base_resp")
    return isinstance(minimax, dict) and minimax.get("status_code") not in (None, 0, "0", "")


def words_in(payload: Any) -> VendorWords:
    """Read a vendor's error: the body of a refusal, or the value of `error` in an answer."""
    if isinstance(payload, bytes | bytearray):
        payload = _read(bytes(payload[:MOST_READ]))
    reader = _Reader()
    reader.read(payload, 0)
    return reader.result()


def _read(body: bytes) -> Any:
    """Return the JSON in a body, or its text if it is not JSON."""
    text = body.decode(errors="replace").lstrip("\ufeff").strip()
    found = _json_in(text)
    if found is not None:
        return found
    if text.startswith(("data:", "event:")):  # an error event instead of an error
        data = (frame.data.decode(errors="replace").strip() for frame in whole_frames(body.lstrip()))
        return next((found for event in data if (found := _json_in(event)) is not None), text)
    return text


def _json_in(text: str) -> Any:
    if not text.startswith(("{", "[", '"')):
        return None
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        try:
            return json.loads(text, parse_constant=lambda _: None)
        except (ValueError, RecursionError):
            return None


class _Reader:
    """The state of one pass through an error, from the outside in."""

    def __init__(self) -> None:
        self._messages: list[tuple[int, str]] = []  # how specific, and the text
        self._words: list[str] = []
        self._details: list[str] = []
        self._code: str | None = None
        self._param: str | None = None
        self._status: int | None = None
        self._wait_s: float | None = None
        self._was_flagged = False

    def result(self) -> VendorWords:
        details = tuple(dict.fromkeys(self._details))[:MOST_DETAILS]
        message = max(self._messages, key=lambda found: found[0], default=(0, None))[1]
        if message is None and details:
            message = "; ".join(details)
        return VendorWords(
            message,
            tuple(dict.fromkeys(self._words))[:MOST_WORDS],
            self._code,
            self._param,
            self._status,
            self._wait_s,
            details,
            self._was_flagged,
        )

    def read(self, payload: Any, depth: int) -> None:
        if depth > DEEPEST:
            return
        if isinstance(payload, str):
            self._text(payload, depth)
        elif isinstance(payload, list):
            self._list(payload, depth)
        elif isinstance(payload, dict):
            self._object(payload, depth)

    def _text(self, text: str, depth: int) -> None:
        text = text.strip()
        inner = _json_in(text[:MOST_READ])
        if isinstance(inner, dict | list):
            self.read(inner, depth + 1)
        elif text and not _MARKUP.match(text):
            self._messages.append((depth, text[:TEXT_LIMIT]))

    def _list(self, parts: list[Any], depth: int) -> None:
        for part in parts[:MOST_DETAILS]:
            if isinstance(part, dict) and (complaint := _complaint(part)):
                self._details.append(complaint)
                self._words.extend(_words_of(part))
            elif isinstance(part, dict | list):
                self.read(part, depth + 1)
            elif isinstance(part, str) and part.strip():
                self._details.append(part.strip()[:WORD_LIMIT])

    def _object(self, error: dict[str, Any], depth: int) -> None:
        self._words.extend(_words_of(error))
        self._note_facts(error)
        for name in _TEXTS:
            text = error.get(name)
            if isinstance(text, str) and text.strip():
                self._text(text, depth)
                break
        for name in _TEXTS:
            if isinstance(error.get(name), dict | list):
                self.read(error[name], depth + 1)
        for name in _INNER:
            inner = error.get(name)
            # A bare text under `error` is the message; under `details` and the like it is less specific.
            if isinstance(inner, dict | list) or (isinstance(inner, str) and name in ("error", "raw")):
                self.read(inner, depth + 1)

    def _note_facts(self, error: dict[str, Any]) -> None:
        for name in ("code", "error_code", "errorCode", "status"):
            self._status = self._status or _http_status(error.get(name))
        code = error.get("code")
        if isinstance(code, str) and code and _http_status(code) is None:
            self._code = self._code or code[:WORD_LIMIT]
        if (status := _minimax_status(error)) is not None:
            self._code = self._code or str(status)
        param = error.get("param")
        if isinstance(param, str) and param:
            self._param = self._param or param[:WORD_LIMIT]
        self._wait_s = self._wait_s or _seconds(error.get("retryDelay"))
        # OpenRouter's moderation reports what it flagged and why; Azure what its filter found.
        if "flagged_input" in error:
            self._was_flagged = True
            reasons = error.get("reasons")
            if isinstance(reasons, list):
                self._details.extend(
                    str(r)[:WORD_LIMIT] for r in reasons[:MOST_DETAILS] if isinstance(r, str)
                )
        for name in ("content_filter_result", "content_filter_results"):
            if found := list(_filtered(error.get(name))):
                self._was_flagged = True
                self._details.extend(found)


def _complaint(part: Mapping[str, Any]) -> str | None:
    """Return one entry of a list of invalid fields (FastAPI, Mistral, Google): the field and the message."""
    text = part.get("msg") or part.get("description")
    if isinstance(part.get("fieldViolations"), list):
        found = [_complaint(inner) for inner in part["fieldViolations"] if isinstance(inner, dict)]
        return "; ".join(text for text in found if text)[:WORD_LIMIT] or None
    if not isinstance(text, str) or not text:
        return None
    where = part.get("loc") if "loc" in part else part.get("field")
    if isinstance(where, list):
        where = ".".join(str(step) for step in where if isinstance(step, str | int))
    return f"{where}: {text}"[:WORD_LIMIT] if isinstance(where, str) and where else text[:WORD_LIMIT]


def _words_of(error: Mapping[str, Any]) -> Iterator[str]:
    for name in _CODES:
        word = error.get(name)
        if isinstance(word, str) and word and len(word) <= WORD_LIMIT:
            yield word.lower().rpartition("#")[2]  # Amazon puts a namespace before it
    if (status := _minimax_status(error)) is not None:
        yield f"minimax:{status}"


def _minimax_status(error: Mapping[str, Any]) -> int | None:
    """Return MiniMax's own number for a failure, which comes with a `status_msg`."""
    status = error.get("status_code") if "status_msg" in error else None
    return status if type(status) is int and 0 < status < 10**6 else None


def _filtered(found: Any) -> Iterator[str]:
    """Yield the categories that Azure's filter flagged, with their severity."""
    for category, verdict in list(found.items())[:MOST_DETAILS] if isinstance(found, dict) else ():
        if isinstance(verdict, dict) and verdict.get("filtered") is True:
            severity = verdict.get("severity")
            yield (
                f"{category}: {severity}"[:WORD_LIMIT] if isinstance(severity, str) else category[:WORD_LIMIT]
            )


def _http_status(value: Any) -> int | None:
    if isinstance(value, str) and len(value) == 3 and value.isascii() and value.isdigit():
        value = int(value)
    return value if type(value) is int and 400 <= value <= 599 else None


def _seconds(value: Any) -> float | None:
    """Return the seconds of a duration in Google's notation: `37s`, `1.5s`."""
    match = _DURATION.fullmatch(value[:32]) if isinstance(value, str) else None
    seconds = float(match[1]) if match else math.nan
    return seconds if math.isfinite(seconds) else None
