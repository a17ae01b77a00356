"""The client of a running gateway's admin API, for commands; every error ends the command."""

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, NoReturn
from urllib.parse import quote, urlsplit

import aiohttp
import orjson
import typer

from serve_app.cli.configured import fail

DEFAULT_URL = "http://127.0.0.1:5001"
KEY_VARIABLE = "SEKHA_ADMIN_KEY"
FAILED = 1
WITHIN_S = 30.0
PREFIX = "/api/admin"

UrlOption = Annotated[
    str, typer.Option("--url", envvar="SEKHA_URL", help="Where the gateway answers.", show_envvar=True)
]
KeyFileOption = Annotated[
    Path | None,
    typer.Option("--admin-key-file", help=f"A file with an admin key; default: the variable {KEY_VARIABLE}."),
]


class Admin:
    """
    A client of the admin API of one gateway, with an admin's key. Every error ends the command with exit code
    1.
    """

    def __init__(self, url: str, key_file: Path | None = None) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            fail(f"'{url}' is not the address of a gateway; it must begin with http:// or https://", FAILED)
        self._url = url.rstrip("/")
        self._key = _key(key_file)

    def get(self, *path: str, **query: str | int | float | None) -> Any:
        """Return the answer to a GET; each step of the path is quoted."""
        return self._ask("GET", path, None, query)

    def post(self, *path: str, body: Mapping[str, Any] | None = None) -> Any:
        """Return the answer to a POST."""
        return self._ask("POST", path, body, {})

    def found(self, *path: str) -> tuple[Any, str | None]:
        """Return the resource at this path, None if it does not exist, and the ETag of the runtime config."""
        status, raw, etag = self._response("GET", path, None, {}, None)
        answer = _read(raw)
        if status == 404 and isinstance(answer, dict) and answer.get("code"):
            return None, etag
        if status >= 300:
            self._refused(status, answer)
        return answer, etag

    def put(self, *path: str, body: Mapping[str, Any], if_match: str | None = None) -> Any:
        """
        Return the answer to a PUT; `if_match` is the ETag of the runtime config that it was computed from.
        """
        return self._ask("PUT", path, body, {}, if_match)

    def patch(self, *path: str, body: Mapping[str, Any], if_match: str | None = None) -> Any:
        """Return the answer to a PATCH; `if_match` as in `put`."""
        return self._ask("PATCH", path, body, {}, if_match)

    def delete(self, *path: str) -> Any:
        """Return the answer to a DELETE."""
        return self._ask("DELETE", path, None, {})

    def _ask(
        self,
        method: str,
        path: tuple[str, ...],
        body: Mapping[str, Any] | None,
        query: Mapping[str, str | int | float | None],
        if_match: str | None = None,
    ) -> Any:
        status, raw, _ = self._response(method, path, body, query, if_match)
        answer = _read(raw)
        if status >= 300:
            self._refused(status, answer)
        return answer

    def _response(
        self,
        method: str,
        path: tuple[str, ...],
        body: Mapping[str, Any] | None,
        query: Mapping[str, str | int | float | None],
        if_match: str | None,
    ) -> tuple[int, bytes, str | None]:
        steps = "/".join(quote(step, safe="") for step in path)
        texts = {name: str(value) for name, value in query.items() if value is not None}
        try:
            return asyncio.run(self._exchange(method, f"{self._url}{PREFIX}/{steps}", body, texts, if_match))
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            fail(
                f"no gateway answers at {self._url} ({type(error).__name__}). Start one with 'sekha serve', "
                "or set its address with --url or SEKHA_URL.",
                FAILED,
            )

    async def _exchange(
        self,
        method: str,
        url: str,
        body: Mapping[str, Any] | None,
        query: Mapping[str, str],
        if_match: str | None,
    ) -> tuple[int, bytes, str | None]:
        timeout = aiohttp.ClientTimeout(total=WITHIN_S)
        headers = {"Authorization": f"Bearer {self._key}", "Accept": "application/json"}
        if if_match is not None:
            headers["If-Match"] = if_match
        # Redirects are not followed, because the key is for this gateway only.
        async with (
            aiohttp.ClientSession(timeout=timeout, headers=headers) as session,
            session.request(method, url, json=body, params=query, allow_redirects=False) as answer,
        ):
            return answer.status, await answer.read(), answer.headers.get("ETag")

    def _refused(self, status: int, answer: Any) -> NoReturn:
        reason = answer.get("message") or answer.get("detail") if isinstance(answer, dict) else None
        message = str(reason or f"HTTP {status}")
        if status == 401:
            message += (
                f". Set {KEY_VARIABLE} (or --admin-key-file) to one of the keys that the gateway was started "
                "with in SEKHA_ADMIN_KEYS."
            )
        elif status == 403:
            message += ". This requires a key of role admin."
        elif status == 404 and not (isinstance(answer, dict) and answer.get("code")):
            message = f"the server at {self._url} does not have this endpoint: {message}"
        fail(message, FAILED)


def _key(file: Path | None) -> str:
    """
    Return the admin key from a file or the environment; never from the command line, which others can read.
    """
    if file is not None:
        try:
            key = file.read_text(encoding="utf-8").strip()
        except (OSError, ValueError) as error:
            fail(f"cannot read {file}: {getattr(error, 'strerror', None) or 'it is not a text file'}", FAILED)
        source = str(file)
    else:
        key, source = os.environ.get(KEY_VARIABLE, "").strip(), KEY_VARIABLE
    if not key:
        fail(
            f"no admin key in {source}. Start the gateway with SEKHA_ADMIN_KEYS set, and set "
            f"{KEY_VARIABLE} to one of those keys, or name a file with --admin-key-file.",
            FAILED,
        )
    if not key.isprintable() or not key.isascii() or " " in key:
        fail(f"{source} does not contain a key: it must be one word of ASCII characters", FAILED)
    return key


def _read(raw: bytes) -> Any:
    try:
        return orjson.loads(raw) if raw else None
    except ValueError:
        return None
