"""The admin API, put together."""

from fastapi import APIRouter

from serve_app.api.admin.access import Access
from serve_app.api.admin.audit import audit_routes
from serve_app.api.admin.backend import BackendLooks, backend_routes
from serve_app.api.admin.budget import budget_routes
from serve_app.api.admin.corrections import correction_routes
from serve_app.api.admin.costs import costs_routes
from serve_app.api.admin.endpoint_guard import EndpointGuard
from serve_app.api.admin.keys import key_routes
from serve_app.api.admin.limits import limit_routes
from serve_app.api.admin.login import login_routes
from serve_app.api.admin.metrics import metrics_routes
from serve_app.api.admin.prices import price_routes
from serve_app.api.admin.providers import provider_admin_routes
from serve_app.api.admin.service import AdminService
from serve_app.api.admin.status import status_routes
from serve_app.api.admin.tenants import tenant_routes
from serve_app.api.auth import Keyring
from serve_app.providers.health_monitor import EndpointCheck

PREFIX = "/api/admin"


def admin_routes(service: AdminService, keyring: Keyring, look_at_endpoint: EndpointCheck) -> APIRouter:
    """Everything under `/api/admin`; each route says itself who may."""
    access = Access(keyring, service)
    routes = APIRouter(prefix=PREFIX, tags=["admin"])
    for part in (
        costs_routes,
        budget_routes,
        limit_routes,
        metrics_routes,
        status_routes,
        audit_routes,
        correction_routes,
        key_routes,
        tenant_routes,
        price_routes,
        provider_admin_routes,
    ):
        routes.include_router(part(service, access))
    guard = EndpointGuard(service.settings.port, service.settings.backends.allow_private)
    routes.include_router(backend_routes(service, access, BackendLooks(service, look_at_endpoint), guard))
    routes.include_router(login_routes(service, access, keyring))
    return routes
