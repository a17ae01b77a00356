"""The routes of the admin API."""

from fastapi import FastAPI

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


def include_admin_routes(
    app: FastAPI, service: AdminService, keyring: Keyring, look_at_endpoint: EndpointCheck
) -> None:
    """
    Add all routes under `/api/admin`; each route has its own access dependency.

    The routers are added to the application one by one: FastAPI processes nested routers twice, which would
    take half of the application's start time.
    """
    access = Access(keyring, service)
    guard = EndpointGuard(service.settings.port, service.settings.backends.allow_private)
    for part in (
        costs_routes(service, access),
        budget_routes(service, access),
        limit_routes(service, access),
        metrics_routes(service, access),
        status_routes(service, access),
        audit_routes(service, access),
        correction_routes(service, access),
        key_routes(service, access),
        tenant_routes(service, access),
        price_routes(service, access),
        provider_admin_routes(service, access),
        backend_routes(service, access, BackendLooks(service, look_at_endpoint), guard),
        login_routes(service, access, keyring),
    ):
        app.include_router(part, prefix=PREFIX, tags=["admin"])
