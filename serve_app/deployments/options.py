"""Serve's deployment options, from the configuration."""

from typing import Any

from serve_app.config.scaling import Scaling

CHECK_EVERY_S = 2.0  # how soon a dead replica is noticed, and replaced
GRACE_S = 30.0  # how long a replica that is being replaced may finish its streams


def deployment_options(name: str, scaling: Scaling) -> dict[str, Any]:
    """Return the keyword arguments of `serve.deployment` for one deployment."""
    auto = scaling.autoscaling
    options: dict[str, Any] = {
        "name": name,
        "max_ongoing_requests": scaling.max_ongoing_requests,
        "max_queued_requests": scaling.max_queued_requests,
        "graceful_shutdown_timeout_s": GRACE_S,
        "health_check_period_s": CHECK_EVERY_S,
        "ray_actor_options": {"num_cpus": scaling.num_cpus},
        # Serve's access log repeats the gateway's own; warnings still pass.
        "logging_config": {"log_level": "WARNING", "enable_access_log": False},
    }
    if auto.min_replicas == auto.max_replicas:
        return {**options, "num_replicas": auto.min_replicas}
    return {
        **options,
        "autoscaling_config": {
            "min_replicas": auto.min_replicas,
            "max_replicas": auto.max_replicas,
            "target_ongoing_requests": auto.target_ongoing_requests,
            "upscale_delay_s": auto.upscale_delay_s,
            "downscale_delay_s": auto.downscale_delay_s,
        },
    }
