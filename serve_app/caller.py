"""Who asks, as the gateway needs to know it."""

from dataclasses import dataclass
from enum import StrEnum

NOBODY = "default"  # the tenant of everyone on a gateway without tenants


class Role(StrEnum):
    """The rights of a key: call models; read what was spent; change the gateway."""

    USER = "user"
    READ = "read"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Caller:
    """
    The one behind a request, once the key was found good.

    `tenant` pays. `name` is for logs and the audit: a key's id, or a JWT's subject, never the key. `models`
    (model ids or `provider/model`) and `tasks` are what it may use; None: everything. `local_only`:
    its requests never leave providers whose data stays on machines of one's own. `vendor_objects`: its
    requests may name objects of the operator's accounts at vendors.
    """

    tenant: str = NOBODY
    name: str = "anonymous"
    role: Role = Role.USER
    models: frozenset[str] | None = None
    tasks: frozenset[str] | None = None

    @property
    def confined_to(self) -> str | None:
        """The tenant that a key of role `read` was made for, and of which it reads alone; None: of all."""
        return self.tenant if self.role is Role.READ and self.tenant != NOBODY else None

    local_only: bool = False
    vendor_objects: bool = False


ANYONE = Caller()
