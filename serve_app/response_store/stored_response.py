"""A response that is kept, and the chain of responses that a conversation is made of."""

from collections.abc import Iterable
from typing import NamedTuple

MOST_TURNS = 500  # responses that one request can go on from
MOST_BYTES = 4_000_000  # of one stored response, with its input
MOST_CHAIN_BYTES = 32_000_000  # of all responses that a request goes on from


class StoredResponse(NamedTuple):
    """
    A response that was kept, with what it answers.

    Fields:
        id: its id, which the gateway has made.
        tenant: the tenant whose callers may read it.
        created_at: when it was kept, in seconds since the epoch.
        expires_at: from when on it does not exist, in seconds since the epoch.
        previous_id: the stored response that it goes on from; None: it begins a conversation.
        local_only: it was made under a policy that keeps data on local machines, as what goes on from it is.
        input: the JSON of its own input items, without those of the responses before it.
        response: the JSON of the response, as the caller got it.
    """

    id: str
    tenant: str
    created_at: float
    expires_at: float
    previous_id: str | None
    local_only: bool
    input: bytes
    response: bytes

    @property
    def size(self) -> int:
        """Return the bytes that count towards the limits."""
        return len(self.input) + len(self.response)


class Chain(NamedTuple):
    """
    A stored response after all that it goes on from.

    Fields:
        responses: the oldest first; empty unless all of them are there and within the limits.
        missing: the id of the one that does not exist; None: none is missing.
        is_too_long: they are more than `MOST_TURNS`, or larger than `MOST_CHAIN_BYTES` together.
    """

    responses: tuple[StoredResponse, ...] = ()
    missing: str | None = None
    is_too_long: bool = False

    @property
    def size(self) -> int:
        """Return the bytes of all responses."""
        return sum(stored.size for stored in self.responses)


def is_too_long(sizes: Iterable[int]) -> bool:
    """Return whether responses of these sizes are more than one request can go on from."""
    found = list(sizes)
    return len(found) > MOST_TURNS or sum(found) > MOST_CHAIN_BYTES
