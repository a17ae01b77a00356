"""The responses that the gateway has kept: read, deleted, and what they answer."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Response

from serve_app.api.auth import Authorised
from serve_app.caller import Caller
from serve_app.errors import InvalidRequest
from serve_app.formats.exact_json import dumps
from serve_app.formats.openai_responses.history import input_items
from serve_app.gateway.stored_responses import StoredResponses

MOST_LISTED = 100  # items on a page

_ONE = "/v1/responses/{response_id}"


def stored_response_routes(stored: StoredResponses, authorised: Authorised) -> APIRouter:
    """Return the routes of stored responses; callers see those of their tenant."""
    Asker = Annotated[Caller, Depends(authorised)]  # noqa: N806 - a type, though made here
    routes = APIRouter(tags=["responses"])

    @routes.get(_ONE, response_class=Response, responses={200: _json("#/components/schemas/Response")})
    async def read(response_id: str, caller: Asker, stream: bool = False) -> Response:
        """Return a stored response."""
        found = await stored.response(caller, response_id)
        if stream:
            raise InvalidRequest(
                "stream: a stored response is not streamed again; leave it out, to get all of it",
                param="stream",
                code="unsupported_parameter",
            )
        return Response(found.response, media_type="application/json")

    @routes.delete(_ONE)
    async def delete(response_id: str, caller: Asker) -> dict[str, Any]:
        """Delete a stored response; what goes on from it cannot be gone on from any more."""
        await stored.delete(caller, response_id)
        return {"id": response_id, "object": "response", "deleted": True}

    @routes.get(f"{_ONE}/input_items", response_class=Response, responses={200: _json(None)})
    async def items(
        response_id: str,
        caller: Asker,
        after: str | None = None,
        limit: Annotated[int, Query(ge=1, le=MOST_LISTED)] = 20,
        order: Literal["asc", "desc"] = "desc",
    ) -> Response:
        """Return the items that a stored response answers, those of the responses before it included."""
        listed = input_items(await stored.chain(caller, response_id))
        page = _page(listed if order == "asc" else listed[::-1], after, limit)
        return Response(dumps(page), media_type="application/json")

    @routes.post(f"{_ONE}/cancel", status_code=400)
    async def cancel(response_id: str, caller: Asker) -> None:
        """Refuse: only responses in the background can be cancelled, and this gateway has none."""
        await stored.response(caller, response_id)
        raise InvalidRequest(
            "Only a response with background: true can be cancelled, and none is made here; "
            "to cancel a request, close its connection",
            code="unsupported_operation",
        )

    return routes


def _page(items: Sequence[dict[str, Any]], after: str | None, limit: int) -> dict[str, Any]:
    """Return a page of a list. Raises InvalidRequest if there is no item `after`."""
    if after is not None:
        place = next((place for place, item in enumerate(items) if item["id"] == after), None)
        if place is None:
            raise InvalidRequest(f"after: there is no item '{after[:100]}'", "after", "invalid_value")
        items = items[place + 1 :]
    page = items[:limit]
    return {
        "object": "list",
        "data": page,
        "first_id": page[0]["id"] if page else None,
        "last_id": page[-1]["id"] if page else None,
        "has_more": len(items) > len(page),
    }


def _json(schema: str | None) -> dict[str, Any]:
    content = {"type": "object"} if schema is None else {"$ref": schema}
    return {"content": {"application/json": {"schema": content}}}
