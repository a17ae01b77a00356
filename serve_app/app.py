"""
Draws the deployment graph: `serve run serve_app.app:build config=configs/demo.yaml`.

    HTTP ─┐                        ┌─ provider-ollama_local ─── upstream
          ├─ router (ingress) ─────┼─ provider-openai_cloud ─── upstream
    call ─┘      │                 └─ …
                 └ ─ ─ control actor (breakers, prices, counts; not on the way of a request)
"""

# No `from __future__ import annotations` here: Serve validates the builder's argument only when its
# annotation is a class, not a string.

import logging
import os
from typing import Any

import ray
from pydantic import BaseModel, ConfigDict
from ray import serve
from ray._private.authentication.authentication_utils import is_token_auth_enabled
from ray.serve import Application

from serve_app.config.load import load_settings
from serve_app.config.named_plugins import import_plugins
from serve_app.config.settings import Settings
from serve_app.deployments.options import deployment_options
from serve_app.deployments.router import RouterDeployment
from serve_app.deployments.transports import TRANSPORTS

ROUTER = "router"

log = logging.getLogger("sekha.cluster")


class BuildArgs(BaseModel):
    """
    The arguments of the builder: a file to read, or the configuration itself.

    With neither, the usual places are looked at (see `docs/configuration.md`). A path is read where the
    builder runs: on a cluster, on one of its nodes.
    """

    model_config = ConfigDict(extra="forbid")

    config: str | dict[str, Any] | None = None


def build(args: BuildArgs) -> Application:
    """The application, ready for `serve run` and `serve deploy`; ConfigError when it makes no sense."""
    if ray.is_initialized() and not is_token_auth_enabled():
        log.warning(
            "this Ray cluster requires no token: anyone who can reach its ports can run code on it, and read "
            "every provider's key. Start each node with RAY_AUTH_MODE=token (docs/security.md)."
        )
    return graph(load_settings(args.config, os.environ))


def graph(settings: Settings) -> Application:
    """
    One router in front of the providers, each deployed as its transport says.

    Raises ConfigError for a plugin that cannot be imported: the replicas could not either.
    """
    import_plugins(settings)
    apps = {p.id: TRANSPORTS[p.transport].deploy(p, settings) for p in settings.llm_providers}
    handles = {name: app for name, app in apps.items() if app is not None}
    options = deployment_options(ROUTER, settings.router)
    return serve.deployment(RouterDeployment, **options).bind(settings, handles)
