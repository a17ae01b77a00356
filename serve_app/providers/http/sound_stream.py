"""
Sound from an upstream, passed on as it comes.

A sound has no end of its own: whether it is whole, the connection tells, which a server closes too early
when it is cut off.
"""

import re
from collections.abc import AsyncGenerator

import aiohttp

from serve_app.clock import Clock
from serve_app.errors import UpstreamError
from serve_app.formats.json_objects import parsed
from serve_app.providers.base import Call, StreamEnd, StreamHead, StreamItem
from serve_app.providers.http.connection import Connection, is_success
from serve_app.providers.http.endpoint import Endpoint
from serve_app.providers.openai_compatible.failures import NETWORK, broken, failure_of_exception, too_much
from serve_app.providers.timeouts import Timeout, within
from serve_app.providers.vendor_words import is_error

MOST_SAID = 65_536  # bytes of an error in place of sound
UNNAMED = "application/octet-stream"  # what a sound without a type of its own is called

_SOUND = re.compile(r"audio/[\w.+-]{1,40}(; ?[\w-]{1,20}=[\w.-]{1,20}){0,4}", re.ASCII)


async def sound_stream(
    connection: Connection, endpoint: Endpoint, call: Call, most: float, clock: Clock
) -> AsyncGenerator[StreamItem, None]:
    """
    Yield the head of an answer, its sound in pieces, and its end.

    Args:
        connection: to the upstream.
        endpoint: what it is asked.
        call: one attempt.
        most: the most bytes that an answer may have.
        clock: the source of time.
    """
    if connection.missing_key is not None:
        yield connection.keyless()
        return
    request = endpoint.fitted(call)
    endpoint.ask_for_whole(request.fields)
    started = clock.monotonic()
    try:
        opening = _opened(connection, endpoint, call, request.fields)
        opened = await within(call.timeout_s, Timeout.FIRST_TOKEN, opening)
    except NETWORK as error:
        yield failure_of_exception(error, connection.provider_id)
        return
    if isinstance(opened, UpstreamError):
        yield opened
        return
    response, piece = opened
    size = 0
    try:
        yield StreamHead(clock.monotonic() - started, request.dropped, _type_of(connection, response))
        while piece:
            size += len(piece)
            if size > most:
                yield too_much(connection.provider_id, most)
                return
            yield piece
            piece = await within(call.idle_s, Timeout.IDLE, response.content.readany())
        yield StreamEnd(None, clock.monotonic() - started, 0)
    except (aiohttp.ClientError, OSError) as error:
        if isinstance(error, TimeoutError):
            yield failure_of_exception(error, connection.provider_id)
        else:
            yield broken(connection.provider_id, "was cut off in the middle of its answer", response.status)
    finally:
        response.close()


async def _opened(
    connection: Connection, endpoint: Endpoint, call: Call, fields: dict[str, object]
) -> tuple[aiohttp.ClientResponse, bytes] | UpstreamError:
    """Return an answer and its first piece: until it is there, another target can be asked."""
    response = await connection.post(endpoint, call, fields)
    if not is_success(response):
        return await connection.refused(response)
    is_open = False
    try:
        piece = await _beginning(response)
        failure = _no_sound(connection, response, piece)
        is_open = failure is None
        return failure or (response, piece)
    except aiohttp.ClientPayloadError:
        return broken(connection.provider_id, "was cut off before its first sound", response.status)
    finally:
        if not is_open:
            response.close()


async def _beginning(response: aiohttp.ClientResponse) -> bytes:
    """Return the first piece; of what may be an error in JSON, all of it, up to `MOST_SAID` bytes."""
    begun = await response.content.readany()
    while begun.lstrip()[:1] == b"{" and len(begun) < MOST_SAID:
        if not (piece := await response.content.readany()):
            break
        begun += piece
    return begun


def _no_sound(connection: Connection, response: aiohttp.ClientResponse, begun: bytes) -> UpstreamError | None:
    """Return the failure of an answer that is no sound, by its type and how it begins; None: it is one."""
    said = parsed(begun) if begun.lstrip()[:1] == b"{" else None
    if said is not None and is_error(said):
        return connection.failure_in(said)
    if not begun:
        return broken(connection.provider_id, "sent no sound", response.status)
    kind = response.content_type
    if kind != UNNAMED and not kind.startswith("audio/"):
        what = f"sent '{connection.type_of(response)}' instead of sound"
        return broken(connection.provider_id, what, response.status)
    return None


def _type_of(connection: Connection, response: aiohttp.ClientResponse) -> str:
    """Return what the upstream calls its sound, if it is a name of one."""
    written = connection.without_key(response.headers.get("Content-Type", UNNAMED))
    return written if _SOUND.fullmatch(written) else UNNAMED
