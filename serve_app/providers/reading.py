"""Bounded reads of upstream bodies."""

import asyncio

import aiohttp

REFUSAL_S = 2.0  # how long to wait for the body of a refusal: its status matters most
REFUSAL_LIMIT = 1024**2  # bytes of that body


async def read_at_most(limit: float, response: aiohttp.ClientResponse) -> bytes | None:
    """Read the whole body; None if it is longer than `limit`, and the rest was not read."""
    if (response.content_length or 0) > limit:
        return None
    pieces, size = [], 0
    while piece := await response.content.readany():
        pieces.append(piece)
        size += len(piece)
        if size > limit:
            return None
    return b"".join(pieces)


async def words_of_refusal(response: aiohttp.ClientResponse) -> bytes:
    """Read the body of a refusal; empty if it is too long or too slow."""
    try:
        async with asyncio.timeout(REFUSAL_S):
            return await read_at_most(REFUSAL_LIMIT, response) or b""
    except (aiohttp.ClientError, OSError):
        return b""
