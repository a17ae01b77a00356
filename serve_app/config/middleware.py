"""The middlewares around every request, by name: each entry is a plugin with its options."""

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, Field, model_validator

from serve_app.config.base import Config
from serve_app.config.mistakes import WholeMistake
from serve_app.config.plugins import MIDDLEWARE, make_plugin, plugin_mistake

if TYPE_CHECKING:
    from serve_app.config.settings import Settings


def _known_middleware(name: str) -> str:
    if mistake := plugin_mistake(MIDDLEWARE, name):
        raise WholeMistake(mistake)
    return name


class MiddlewareConfig(Config):
    """
    One middleware; may be written as its name alone.

    Attributes:
        name: the name by which a package offers it.
        options: the keyword arguments it is made with.
    """

    name: Annotated[str, AfterValidator(_known_middleware)]
    options: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _may_be_its_name(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value


def load_middlewares(settings: "Settings") -> tuple[Any, ...]:
    """
    Make the middlewares of a configuration, the outermost first.

    Raises:
        ConfigError: one cannot be imported or made.
    """
    return tuple(make_plugin(MIDDLEWARE, entry.name, **entry.options) for entry in settings.middleware)
