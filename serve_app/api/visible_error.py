"""Errors as a caller may see them."""

from serve_app.caller import Caller, Role
from serve_app.control.runtime_config import RuntimeConfig
from serve_app.errors import BudgetExceeded, GatewayError


def visible_error(error: GatewayError, caller: Caller, runtime_config: RuntimeConfig) -> GatewayError:
    """Return the error for this caller: what others have spent of a common budget is not shown."""
    if not isinstance(error, BudgetExceeded) or caller.role is not Role.USER:
        return error
    own = (f"tenant:{caller.tenant}/", f"key:{caller.name}/")
    shares = any(tenant != caller.tenant for tenant in runtime_config.tenants)
    return error.without_totals() if shares and not error.limit_id.startswith(own) else error
