"""Dialects of configured models: the vendor's row, amended by the operator's configuration."""

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from typing import TypeVar

from serve_app.config.parameters import Parameters
from serve_app.config.provider import ProviderConfig
from serve_app.providers.catalogue.dialect import OUTPUT_LIMITS, Dialect
from serve_app.providers.catalogue.rows import vendor

V = TypeVar("V")


@lru_cache(maxsize=4096)
def _listed(type_: str, model_id: str) -> Dialect:
    return vendor(type_).dialect(model_id)


def dialect_of(type_: str, model_id: str, *amendments: Parameters | None) -> Dialect:
    """Return the dialect of a vendor's model, amended in order; the last amendment takes precedence."""
    dialect = _listed(type_, model_id)
    for parameters in amendments:
        if parameters is not None:
            dialect = _amended(dialect, parameters)
    return dialect


def dialect_for(config: ProviderConfig, model_id: str) -> Dialect:
    """Return the dialect of a configured provider's model, amended by the configuration of both."""
    of_model = (model.parameters for model in config.models if model.model_id == model_id)
    return dialect_of(config.type, model_id, config.parameters, next(filter(None, of_model), None))


def _amended(dialect: Dialect, by: Parameters) -> Dialect:
    takes = frozenset(by.take)
    renames = {**_without(dialect.renames, takes), **by.other_renames}
    # A renamed parameter is one that the vendor accepts.
    taken = takes.union(by.rename)
    limit = None if takes.intersection(OUTPUT_LIMITS) else dialect.output_limit
    return replace(
        dialect,
        drops=frozenset(
            name for name in dialect.drops if taken.isdisjoint((name, name.partition(".")[0]))
        ).union(by.drop),
        while_reasoning=dialect.while_reasoning - takes,
        only=_without(dialect.only, takes),
        at_most=_without(dialect.at_most, takes),
        not_with=_without(dialect.not_with, takes),
        renames=renames,
        output_limit=by.output_limit or limit,
        roles={**dialect.roles, **by.roles},
        include_usage=dialect.include_usage if by.include_usage is None else by.include_usage,
    )


def _without(rules: Mapping[str, V], names: frozenset[str]) -> dict[str, V]:
    return {name: rule for name, rule in rules.items() if name not in names}
