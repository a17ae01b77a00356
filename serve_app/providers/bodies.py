"""Request bodies for one upstream, and the usage and size of its answers."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from serve_app.config.provider import ProviderConfig
from serve_app.formats.exact_json import loads
from serve_app.formats.json_body import HINTS, WHOLE_NUMBERS
from serve_app.formats.openai_chat.hosted_tools import limit_uses
from serve_app.formats.openai_chat.output import bounded
from serve_app.formats.routing_fields import READ_HERE
from serve_app.pricing.reported_usage import usage_of
from serve_app.pricing.usage import Usage
from serve_app.providers.base import Call
from serve_app.providers.catalogue.dialect import Dialect
from serve_app.providers.dialects import dialect_for

# Read here, and with the same meaning for a vendor that has providers behind it.
_ALSO_THEIRS = frozenset({"allow_fallbacks", "require_parameters"})


class Fitted(NamedTuple):
    """A request in a vendor's dialect, and the caller's parameters that were dropped or changed."""

    fields: dict[str, Any]
    dropped: tuple[str, ...] = ()


def dialects_of(config: ProviderConfig) -> Callable[[str], Dialect]:
    """Return a lookup of a provider's dialects by model id, cached for the configured models."""
    configured = {model.model_id: dialect_for(config, model.model_id) for model in config.models}

    def dialect(model_id: str) -> Dialect:
        return configured.get(model_id) or dialect_for(config, model_id)

    return dialect


def fitted(call: Call, dialect: Dialect, keeps_provider: bool = False) -> Fitted:
    """Return the caller's request in the dialect of a model family."""
    fields = fields_of(call, keeps_provider)
    return Fitted(fields, dialect.fit(fields))


def fields_of(call: Call, keeps_provider: bool = False) -> dict[str, Any]:
    """
    Return the caller's fields, without those for the gateway, and with the call's model.

    The bound of output tokens is the call's, because that was reserved. `keeps_provider`: the upstream has a
    field `provider` itself, and gets the members of it that the gateway does not read.
    """
    fields: dict[str, Any] = loads(call.body)
    for hint in HINTS:
        fields.pop(hint, None)
    for name in WHOLE_NUMBERS:
        value = fields.get(name)
        if isinstance(value, float) and value.is_integer():
            fields[name] = int(value)
    provider = fields.pop("provider", None)
    if keeps_provider and isinstance(provider, dict):
        ours = READ_HERE - _ALSO_THEIRS
        if theirs := {name: value for name, value in provider.items() if name not in ours}:
            fields["provider"] = theirs
    fields["model"] = call.model
    if "messages" in fields:
        name = "max_completion_tokens" if "max_completion_tokens" in fields else "max_tokens"
        bounded(fields, name, call.output_tokens)
        if call.limits_tools:
            limit_uses(fields)
    return fields


def ask_for_stream(fields: dict[str, Any], with_usage: bool = True) -> None:
    """
    Turn the request into one for a stream that ends with its usage.

    Usage is requested wherever the upstream allows it, so that the stream can be charged. Without it the
    gateway counts the tokens, and a caller who asked for the usage gets that count.
    """
    given = fields.pop("stream_options", None)
    options = {**(given if isinstance(given, dict) else {}), "include_usage": True}
    fields["stream"] = True
    if not with_usage:
        del options["include_usage"]
    if options:
        fields["stream_options"] = options


def ask_for_whole(fields: dict[str, Any]) -> None:
    """Turn the request into one for a whole answer."""
    fields.pop("stream", None)
    fields.pop("stream_options", None)


def choices_in(fields: Mapping[str, Any]) -> int:
    """Return how many answers the caller asked for (`n`)."""
    n = fields.get("n")
    return n if isinstance(n, int) and n > 0 else 1


def inputs_in(fields: Mapping[str, Any]) -> int:
    """Return how many embeddings were asked for: one for a text or a list of tokens, else one per item."""
    given = fields.get("input")
    return len(given) if isinstance(given, list) and not all(isinstance(part, int) for part in given) else 1


def usage_in(answer: dict[str, Any]) -> Usage | None:
    """Return the usage in a whole answer or a chunk; None if it reports none."""
    reported = answer.get("usage")
    return usage_of(reported, answer.get("service_tier")) if isinstance(reported, dict) else None


def chars_in(answer: dict[str, Any]) -> int:
    """Return the length of the text of a whole chat completion, over all choices."""
    messages = (choice.get("message") for choice in answer.get("choices", ()) if isinstance(choice, dict))
    texts = (message.get("content") for message in messages if isinstance(message, dict))
    return sum(len(text) for text in texts if isinstance(text, str))
