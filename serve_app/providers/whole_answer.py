"""Validation of whole answers."""

from typing import Any, NamedTuple

from serve_app.errors import FailureKind, UpstreamError
from serve_app.formats.json_objects import as_json, errors_in_list, found_in, parsed
from serve_app.providers.finish_reasons import finish_of, tell_unknown_finish
from serve_app.providers.openai_compatible.failures import broken, failure_of_ending, failure_of_error
from serve_app.providers.vendor_words import is_error


class Whole(NamedTuple):
    """A valid answer and its JSON."""

    body: bytes
    answer: dict[str, Any]


def checked(
    body: bytes,
    provider_id: str,
    must_have: str,
    rows: int | None = None,
    secret: str | None = None,
    part: str = "message",
) -> Whole | UpstreamError:
    """
    Validate a whole answer: a proxy may answer 200 with a web page, or with nothing.

    Each choice must have a finish reason: an answer that was cut may come in a complete body.

    Args:
        body: as the upstream sent it.
        provider_id: the provider's id, for messages.
        must_have: the name of the list with the results.
        rows: the required length of that list; None: any.
        secret: the gateway's key, which is removed from messages.
        part: the name of what a choice holds: `message` in a chat, `text` in a text completion.
    """
    found = found_in(body.removeprefix(b"\xef\xbb\xbf"))
    if found is None:
        return no_object(body, provider_id, secret)
    answer = found.object
    if is_error(answer):
        return failure_of_error(answer, provider_id, secret)
    values = answer.get(must_have)
    if not isinstance(values, list) or not values:
        lacking = f"Provider '{provider_id}' sent an answer without '{must_have}'"
        return failure_of_error(answer, provider_id, secret, 200, lacking)
    if rows is not None and len(values) != rows:
        return broken(provider_id, f"sent {len(values)} vectors, where {rows} were asked for", 200)
    if must_have != "choices":
        if found.was_mended:
            return broken(provider_id, "sent a vector with an invalid number", 200)
        return Whole(found.data, answer)
    ended = end_choices(values, provider_id, secret, part)
    if isinstance(ended, UpstreamError):
        return ended
    return Whole(as_json(answer) if ended else found.data, answer)


def end_choices(
    choices: list[Any], provider_id: str, secret: str | None, part: str = "message"
) -> bool | UpstreamError:
    """Check the finish reason of each choice; return whether one was replaced, or the failure."""
    changed = False
    for choice in choices:
        kind = str if part == "text" else dict
        if not isinstance(choice, dict) or not isinstance(choice.get(part), kind):
            return broken(provider_id, f"sent an answer with a choice that has no {part}", 200)
        if choice.get("error"):
            return failure_of_ending(choice["error"], FailureKind.BROKEN, provider_id, secret)
        reason = choice.get("finish_reason")
        if not isinstance(reason, str) or not reason:
            return broken(provider_id, "sent an answer without a finish_reason", 200)
        finish = finish_of(reason)
        if finish.failure is not None:
            message = f"Provider '{provider_id}' ended its answer with '{reason}'"
            return failure_of_ending(message, finish.failure, provider_id, secret)
        if not finish.is_known:
            tell_unknown_finish(provider_id, reason)
        if finish.word != reason:
            choice["finish_reason"] = finish.word
            changed = True
    return changed


def no_object(body: bytes, provider_id: str, secret: str | None) -> UpstreamError:
    """Return the failure of a body without a JSON object; Google puts its errors into a list."""
    if (errors := errors_in_list(body)) is not None:
        return failure_of_error(errors, provider_id, secret)
    is_json = body.lstrip()[:1] == b"[" and parsed(b'{"list":' + body + b"}") is not None
    return broken(provider_id, f"sent an answer that is not {'a JSON object' if is_json else 'JSON'}", 200)
