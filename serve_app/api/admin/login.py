"""A token for a key, for browsers and scripts that should not hold the key itself."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends

from serve_app.api.admin.access import Access
from serve_app.api.admin.service import AdminService
from serve_app.api.auth import Keyring
from serve_app.caller import Caller


def login_routes(service: AdminService, access: Access, keyring: Keyring) -> APIRouter:
    """Return the route of the endpoint; the key is in the header, as everywhere."""
    Reader = Annotated[Caller, Depends(access.any_reader)]  # noqa: N806 - a type, though made here
    routes = APIRouter()

    @routes.post("/login")
    async def login(caller: Reader) -> dict[str, Any]:
        """Return a short-lived token with the rights of the key, valid no longer than the key."""
        token = keyring.token_for(caller)
        config = service.settings.auth.jwt
        return {
            "access_token": token,
            "token_type": "bearer",
            "expires_in": int(config.expires_in) if config else 0,
        }

    return routes
