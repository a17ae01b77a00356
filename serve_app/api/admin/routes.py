"""The admin API, put together."""

from fastapi import APIRouter

from serve_app.api.admin.access import Access
from serve_app.api.admin.audit import audit_routes
from serve_app.api.admin.desk import Desk
from serve_app.api.auth import Keyring

PREFIX = "/api/admin"


def admin_routes(desk: Desk, keyring: Keyring) -> APIRouter:
    """Everything under `/api/admin`; each route says itself who may."""
    access = Access(keyring, desk)
    routes = APIRouter(prefix=PREFIX, tags=["admin"])
    for part in (audit_routes,):
        routes.include_router(part(desk, access))
    return routes
