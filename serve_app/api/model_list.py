"""The list of models, in OpenAI's shape or in Anthropic's for its clients."""

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header

from serve_app.api.auth import Authorised
from serve_app.caller import Caller
from serve_app.errors import ModelNotFound
from serve_app.gateway.model_access import ModelAccess
from serve_app.routing.target import Target

UNKNOWN_TIME = "1970-01-01T00:00:00Z"  # the creation time of a model is not known


def model_list_routes(access: ModelAccess, authorised: Authorised) -> APIRouter:
    """Return the two routes of the models that the caller may use."""
    Asker = Annotated[Caller, Depends(authorised)]  # noqa: N806 - a type, though made here
    Version = Annotated[str | None, Header(include_in_schema=False)]  # noqa: N806 - likewise
    routes = APIRouter(tags=["models"])

    @routes.get("/v1/models")
    async def models(caller: Asker, anthropic_version: Version = None) -> dict[str, Any]:
        """Return the models that the caller may use; in Anthropic's shape with `anthropic-version`."""
        targets = access.targets_for(caller)
        listed = list(dict.fromkeys(target.model_id for target in targets))
        if anthropic_version is None:
            return {"object": "list", "data": [_in_openais_shape(targets, name) for name in listed]}
        return {
            "data": [_in_anthropics_shape(name) for name in listed],
            "has_more": False,
            "first_id": listed[0] if listed else None,
            "last_id": listed[-1] if listed else None,
        }

    @routes.get("/v1/models/{name:path}")
    async def model(name: str, caller: Asker, anthropic_version: Version = None) -> dict[str, Any]:
        """Return one of the models that the caller may use."""
        targets = access.targets_for(caller)
        for target in targets:
            if name in (target.model_id, target.name):
                if anthropic_version is not None:
                    return _in_anthropics_shape(target.model_id)
                return _in_openais_shape(targets, target.model_id)
        raise ModelNotFound(name, access.names_for(caller))

    return routes


def _in_openais_shape(targets: Sequence[Target], name: str) -> dict[str, Any]:
    owners = dict.fromkeys(t.provider_id for t in targets if t.model_id == name)
    return {"id": name, "object": "model", "created": 0, "owned_by": ", ".join(owners)}


def _in_anthropics_shape(name: str) -> dict[str, Any]:
    return {"type": "model", "id": name, "display_name": name, "created_at": UNKNOWN_TIME}
