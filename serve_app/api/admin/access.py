"""Access to the admin API: role `read` may read, `admin` may also change; both are rate limited."""

from collections.abc import Awaitable, Callable

from fastapi import Request, Response

from serve_app.api.admin.service import AdminService
from serve_app.api.auth import Keyring, check_unconfined
from serve_app.api.errors import limit_headers
from serve_app.caller import Caller, Role

Counted = Callable[[Request, Response], Awaitable[Caller]]


class Access:
    """
    FastAPI dependencies: `Annotated[Caller, Depends(access.reader)]`, or `access.admin` for changes.

    A key of role `read` that is confined to a tenant is admitted by `access.any_reader` alone: such a route
    shows only the data of `caller.confined_to`. An admin's key is required even if no other key is
    configured, and every request counts towards the rate limit.
    """

    def __init__(self, keyring: Keyring, service: AdminService) -> None:
        self.any_reader = _counted(keyring, Role.READ, service)
        self.reader = _counted(keyring, Role.READ, service, unconfined=True)
        self.admin = _counted(keyring, Role.ADMIN, service)


def _counted(keyring: Keyring, role: Role, service: AdminService, *, unconfined: bool = False) -> Counted:
    authorised = keyring.require(role)

    async def caller(request: Request, response: Response) -> Caller:
        who = await authorised(request)
        if unconfined:
            check_unconfined(who)
        left = await service.asked(who)
        for name, value in limit_headers(left.limit, left.remaining, left.resets_at - service.clock.now()):
            response.headers[name.decode()] = value.decode()
        return who

    return caller
