"""
The bounds of money, prices and rates, shared by the configuration, the Admin API and the command line.

Only numbers are accepted, not `true` or `"10"`; but in the configuration an environment variable (`${LIMIT}`)
may provide a number, where everything is text.
"""

from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo
from pydantic_core import PydanticCustomError

FROM_TEXT = "numbers_from_text"  # a key of the validation's context: numbers may be written as text

MOST_DOLLARS = 1e9
MOST_PER_1K = 1_000.0
MOST_PER_USE = 1_000.0
MOST_PER_HOUR = 100_000.0
MOST_CORRECTED = 1e6  # US dollars, positive or negative
MOST_RATE = 10**12

LEAST_DOLLARS = 1e-9  # a nano-dollar, the smallest unit
LEAST_PER_1K = 1e-12  # a nano-dollar for a million tokens


def _number(value: Any, info: ValidationInfo) -> Any:
    if isinstance(value, str) and info.context and info.context.get(FROM_TEXT):
        return value
    if isinstance(value, bool | str):
        raise PydanticCustomError("number_type", "Input should be a number")
    return value


def _price(value: float) -> float:
    """Reject a price below the smallest unit, which would count as free."""
    if 0 < value < LEAST_PER_1K:
        raise PydanticCustomError("price_too_small", "Input should be 0 or at least 1e-12")
    return value


def _something(value: float) -> float:
    if abs(value) < LEAST_DOLLARS:
        raise PydanticCustomError("amount_too_small", "Input should be at least 1e-9 from zero")
    return value


# Bounds that a JSON schema cannot express with one minimum: 0 or a counted amount; positive or negative.
_FREE_OR_COUNTED: dict[str, Any] = {"anyOf": [{"const": 0}, {"minimum": LEAST_PER_1K}]}
_NOT_NOTHING: dict[str, Any] = {"anyOf": [{"maximum": -LEAST_DOLLARS}, {"minimum": LEAST_DOLLARS}]}

_Number = BeforeValidator(_number)  # last, so that the OpenAPI document shows the bounds

Dollars = Annotated[float, Field(ge=LEAST_DOLLARS, le=MOST_DOLLARS), _Number]
CostLimit = Annotated[float, Field(ge=0, le=MOST_DOLLARS), _Number]
PricePer1k = Annotated[
    float,
    Field(ge=0, le=MOST_PER_1K, json_schema_extra=_FREE_OR_COUNTED),
    AfterValidator(_price),
    _Number,
]
PricePerUse = Annotated[float, Field(ge=0, le=MOST_PER_USE), _Number]
PricePerHour = Annotated[float, Field(ge=0, le=MOST_PER_HOUR), _Number]
CorrectedDollars = Annotated[
    float,
    Field(ge=-MOST_CORRECTED, le=MOST_CORRECTED, json_schema_extra=_NOT_NOTHING),
    AfterValidator(_something),
    _Number,
]
Rate = Annotated[int, Field(ge=1, le=MOST_RATE), _Number]
Priority = Annotated[int, Field(ge=1, le=100), _Number]
Moment = Annotated[float, _Number]
"""Seconds since the epoch."""
