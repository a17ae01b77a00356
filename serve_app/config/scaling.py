"""The number of replicas of a deployment, and the load of each."""

from pydantic import Field, model_validator

from serve_app.config.base import Config


class Autoscaling(Config):
    """
    Replicas follow the load between `min_replicas` and `max_replicas`.

    A replica is added when they hold more than `target_ongoing_requests` each for `upscale_delay_s` seconds.
    """

    min_replicas: int = Field(default=1, ge=0)
    max_replicas: int = Field(default=4, ge=1)
    target_ongoing_requests: float = Field(default=100, gt=0)
    upscale_delay_s: float = Field(default=10, ge=0)
    downscale_delay_s: float = Field(default=300, ge=0)

    @model_validator(mode="after")
    def _in_order(self) -> "Autoscaling":
        if self.min_replicas > self.max_replicas:
            raise ValueError(f"min_replicas {self.min_replicas} is above max_replicas {self.max_replicas}")
        return self


class Scaling(Config):
    """
    The size of one deployment.

    Attributes:
        max_ongoing_requests: how many requests a replica serves at once.
        max_queued_requests: how many may wait for it at each caller; more are refused.
        num_cpus: the share of a core that Ray reserves for a replica; not a limit.
    """

    autoscaling: Autoscaling = Autoscaling()
    max_ongoing_requests: int = Field(default=1000, ge=1)
    max_queued_requests: int = Field(default=1000, ge=-1)
    num_cpus: float = Field(default=0.1, ge=0)
