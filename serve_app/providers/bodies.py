"""The caller's request, made ready for one upstream, and what its answer says it used."""

from typing import Any

from serve_app.accounting.reported import usage_of
from serve_app.accounting.usage import Usage
from serve_app.providers.base import Call
from serve_app.schemas.body import HINTS, WHOLE_NUMBERS
from serve_app.schemas.exact import loads
from serve_app.schemas.wishes import READ_HERE

# What is read here, and means the same to a vendor that has providers behind it.
_ALSO_THEIRS = frozenset({"allow_fallbacks"})


def fields_of(call: Call, keeps_provider: bool = False) -> dict[str, Any]:
    """
    The request as the caller wrote it, without what was meant for the gateway, and with our model.

    `keeps_provider`: the upstream has a field `provider` itself, and gets what of it is not meant for us.
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
    return fields


def ask_for_stream(fields: dict[str, Any]) -> None:
    """
    Turn the request into one for a stream that ends with its usage.

    Usage is always asked for, because a stream that is not counted is not paid for (architecture D6).
    """
    options = fields.get("stream_options")
    fields["stream"] = True
    fields["stream_options"] = {**(options if isinstance(options, dict) else {}), "include_usage": True}


def ask_for_whole(fields: dict[str, Any]) -> None:
    """Turn the request into one for a whole answer."""
    fields.pop("stream", None)
    fields.pop("stream_options", None)


def choices_in(fields: dict[str, Any]) -> int:
    """How many answers the caller asked for (`n`)."""
    n = fields.get("n")
    return n if isinstance(n, int) and n > 0 else 1


def inputs_in(fields: dict[str, Any]) -> int:
    """How many vectors the caller asked for: a text or a list of tokens is one, else one for each."""
    given = fields.get("input")
    return len(given) if isinstance(given, list) and not all(isinstance(part, int) for part in given) else 1


def usage_in(answer: dict[str, Any]) -> Usage | None:
    """What a whole answer, or a chunk of one, says was used; None when it does not say."""
    reported = answer.get("usage")
    return usage_of(reported, answer.get("service_tier")) if isinstance(reported, dict) else None


def chars_in(answer: dict[str, Any]) -> int:
    """How much text a whole chat completion holds, over all its choices."""
    messages = (choice.get("message") for choice in answer.get("choices", ()) if isinstance(choice, dict))
    texts = (message.get("content") for message in messages if isinstance(message, dict))
    return sum(len(text) for text in texts if isinstance(text, str))
