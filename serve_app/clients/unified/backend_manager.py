"""`BackendManager`: switches the active backend of a unified client."""

from typing import Any

from serve_app.clients.unified.client import UnifiedLLMClient, llm_client
from serve_app.control.backend import Backend


class BackendManager:
    """The switch and the health checks of one client's backends."""

    def __init__(self, client: UnifiedLLMClient) -> None:
        self._client = client

    async def switch_backend(self, backend: Backend | str, skip_health_check: bool = False) -> dict[str, Any]:
        """Switch the client's backend; return `{success, backend, message, previous_backend}`."""
        return await self._client.switch_backend(backend, skip_health_check)

    async def check_all_backends(self) -> dict[str, dict[str, Any]]:
        """Check the health of each backend; return `{healthy, latency_ms, last_check, error}` by backend."""
        return await self._client.check_all_backends()

    def set_vllm_endpoint(self, endpoint: str) -> dict[str, Any]:
        """Set the address of vLLM; raise InvalidRequest if it is not a web address."""
        return self._client.set_vllm_endpoint(endpoint)

    def get_backend_info(self) -> dict[str, Any]:
        """Return the current backend and the available ones."""
        return self._client.get_backend_info()


backend_manager = BackendManager(llm_client)
