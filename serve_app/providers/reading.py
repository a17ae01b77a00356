"""Reading what an upstream sends, no further than it may go."""

import aiohttp


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
