"""Reading what an upstream sends, no further than it may go."""

import asyncio

import aiohttp

REFUSAL_S = 2.0  # how long to wait for the words of a refusal: its status has said the most
REFUSAL_LIMIT = 1024**2  # bytes of those words


async def read_at_most(limit: float, response: aiohttp.ClientResponse) -> bytes | None:
    """The whole body; None: it is longer than `limit`, and the rest of it was not read."""
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
    """What a refusal says, as far as it is short and comes soon."""
    try:
        async with asyncio.timeout(REFUSAL_S):
            return await read_at_most(REFUSAL_LIMIT, response) or b""
    except (aiohttp.ClientError, OSError):
        return b""
