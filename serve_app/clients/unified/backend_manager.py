"""`BackendManager`: switches the active backend of a unified client."""

from typing import Any

from serve_app.clients.unified.client import UnifiedLLMClient, llm_client
from serve_app.control.backend import Backend


class BackendManager:
    """Switches and looks at the backends of one client."""

    def __init__(self, client: UnifiedLLMClient) -> None:
        self._client = client

    async def switch_backend(self, backend: Backend | str, skip_health_check: bool = False) -> dict[str, Any]:
        """As the client's: `{success, backend, message, previous_backend}`."""
        return await self._client.switch_backend(backend, skip_health_check)

    async def check_all_backends(self) -> dict[str, dict[str, Any]]:
        """By backend: `{healthy, latency_ms, last_check, error}`."""
        return await self._client.check_all_backends()

    def set_vllm_endpoint(self, endpoint: str) -> dict[str, Any]:
        """Where vLLM is from now on; InvalidRequest for what is no web address."""
        return self._client.set_vllm_endpoint(endpoint)

    def get_backend_info(self) -> dict[str, Any]:
        """The current backend, and what there is to choose from."""
        return self._client.get_backend_info()


backend_manager = BackendManager(llm_client)
