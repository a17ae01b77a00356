"""Whether a whole answer is one, and whether it is whole."""

from typing import Any, NamedTuple

from serve_app.errors import FailureKind, UpstreamError
from serve_app.formats.json_objects import as_json, errors_in_list, found_in, parsed
from serve_app.providers.finish_reasons import finish_of, tell_unknown_finish
from serve_app.providers.openai_compatible.failures import broken, failure_of_ending, failure_of_error
from serve_app.providers.vendor_words import is_error


class Whole(NamedTuple):
    """An answer, and the JSON it stands in."""

    body: bytes
    answer: dict[str, Any]


def checked(
    body: bytes, provider_id: str, must_have: str, rows: int | None = None, secret: str | None = None
) -> Whole | UpstreamError:
    """
    The answer, when it is one: proxies in between answer 200 with a web page, or with nothing.

    `must_have` names the list that holds what was asked for, `rows` how many of it there must be. `secret` is
    our key, which nobody else may see. A chat must say why each of its choices ended: one that was cut may
    come in a body that is not.
    """
    found = found_in(body.removeprefix(b"\xef\xbb\xbf"))
    if found is None:
        return _no_object(body, provider_id, secret)
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
    ended = end_choices(values, provider_id, secret)
    if isinstance(ended, UpstreamError):
        return ended
    return Whole(as_json(answer) if ended else found.data, answer)


def end_choices(choices: list[Any], provider_id: str, secret: str | None) -> bool | UpstreamError:
    """Look why each choice ended; True when one of them says it in another word from now on."""
    changed = False
    for choice in choices:
        if not isinstance(choice, dict) or not isinstance(choice.get("message"), dict):
            return broken(provider_id, "sent an answer with a choice that has no message", 200)
        if choice.get("error"):
            return failure_of_ending(choice["error"], FailureKind.BROKEN, provider_id, secret)
        reason = choice.get("finish_reason")
        if not isinstance(reason, str) or not reason:
            return broken(provider_id, "sent an answer without a finish_reason", 200)
        finish = finish_of(reason)
        if finish.failure is not None:
            said = f"Provider '{provider_id}' ended its answer with '{reason}'"
            return failure_of_ending(said, finish.failure, provider_id, secret)
        if not finish.is_known:
            tell_unknown_finish(provider_id, reason)
        if finish.word != reason:
            choice["finish_reason"] = finish.word
            changed = True
    return changed


def _no_object(body: bytes, provider_id: str, secret: str | None) -> UpstreamError:
    """No JSON object; Google puts its errors into a list."""
    if (errors := errors_in_list(body)) is not None:
        return failure_of_error(errors, provider_id, secret)
    is_json = body.lstrip()[:1] == b"[" and parsed(b'{"list":' + body + b"}") is not None
    return broken(provider_id, f"sent an answer that is not {'a JSON object' if is_json else 'JSON'}", 200)
