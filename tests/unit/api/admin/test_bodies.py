"""Bodies of the admin API have the types that the document says, and no other that looks alike."""

from collections.abc import Iterator
from typing import Any, get_args

import pytest
from pydantic import BaseModel, ValidationError

from serve_app.api.guarded import Guarded
from tests.support.keyrings import keyring
from tests.unit.api.test_security import app_for

LOOK_ALIKES = (0, 1, 0.0, True, False, "0", "1", "true", "yes", "on", "")


def bodies() -> Iterator[Any]:
    """The annotations of the admin API's bodies, as the application itself lists its routes."""
    guarded = app_for(keyring("right"))._rest
    assert isinstance(guarded, Guarded)
    for included in guarded._app.routes:
        for route in getattr(included, "effective_route_contexts", tuple)():
            if route.path.startswith("/api/admin") and route.body_field is not None:
                yield route.body_field.field_info.annotation


def models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """The models that an annotation names, and those of their fields."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
        for field in annotation.model_fields.values():
            yield from models_in(field.annotation)
    for part in get_args(annotation):
        yield from models_in(part)


def types_of(schema: dict[str, Any]) -> set[str]:
    """The JSON types that a property may have; nothing where it is an object or an enum of its own."""
    found = {schema["type"]} if "type" in schema else set()
    for part in schema.get("anyOf", ()):
        found |= types_of(part)
    return found


def type_of(value: Any) -> set[str]:
    if isinstance(value, bool):
        return {"boolean"}
    if isinstance(value, str):
        return {"string"}
    return {"number", "integer"} if float(value).is_integer() else {"number"}


BODIES = sorted({m for body in bodies() for m in models_in(body)}, key=lambda model: model.__name__)
CASES = [
    pytest.param(model, name, value, id=f"{model.__name__}.{name}-{value!r}")
    for model in BODIES
    for name, schema in model.model_json_schema()["properties"].items()
    for value in LOOK_ALIKES
    if types_of(schema) and not types_of(schema) & type_of(value)
]


def test_the_bodies_of_switches_keys_tenants_prices_and_providers_are_among_them() -> None:
    names = {model.__name__ for model in BODIES}
    assert {"SwitchWanted", "WantedKey", "WantedTenant", "RateConfig", "PriceOverride"} <= names
    assert "ProviderOverride" in names


@pytest.mark.parametrize(("model", "name", "value"), CASES)
def test_a_value_of_another_type_is_refused_by_its_field(
    model: type[BaseModel], name: str, value: object
) -> None:
    with pytest.raises(ValidationError) as refused:
        model.model_validate({name: value})

    assert name in {error["loc"][0] for error in refused.value.errors()}
