"""A store of responses in memory."""

from serve_app.formats.openai_responses.history import StoredResponse


class MemoryResponses:
    """Keeps responses as `ResponseStore` asks."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str], StoredResponse] = {}

    async def get(self, tenant: str, response_id: str) -> StoredResponse | None:
        return self._kept.get((tenant, response_id))

    async def put(self, stored: StoredResponse) -> None:
        self._kept[stored.tenant, stored.id] = stored

    async def delete(self, tenant: str, response_id: str) -> bool:
        return self._kept.pop((tenant, response_id), None) is not None

    async def purge(self, now: float) -> int:
        expired = [key for key, stored in self._kept.items() if stored.expires_at <= now]
        for key in expired:
            del self._kept[key]
        return len(expired)
