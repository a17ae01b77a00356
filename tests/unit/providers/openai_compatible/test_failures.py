"""How an upstream's refusals become the gateway's words."""

import json
import pickle
import re
from typing import Any

import aiohttp
import orjson
import pytest

from serve_app.errors import (
    FailureKind,
    ProviderAuthError,
    ProviderRateLimitError,
    UpstreamError,
    redacted,
)
from serve_app.providers.openai_compatible.failures import (
    LONGEST_WAIT_S,
    MESSAGE_LIMIT,
    failure_of_error,
    failure_of_exception,
    failure_of_response,
    retry_after_s,
)
from serve_app.providers.whole_answer import checked

NOW = 1_700_000_000.0  # Tue, 14 Nov 2023 22:13:20 GMT
KEY = "sk-canary-0123456789"


def refused(status: int, error: Any = None, headers: dict[str, str] | None = None) -> UpstreamError:
    body = json.dumps({"error": error}).encode() if error is not None else b"<html>oops</html>"
    return failure_of_response(status, headers or {}, body, "p", now=NOW, secret=KEY)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (302, FailureKind.BROKEN),
        (400, FailureKind.REJECTED),
        (401, FailureKind.AUTH),
        (402, FailureKind.OUT_OF_CREDIT),
        (403, FailureKind.AUTH),
        (404, FailureKind.NOT_FOUND),
        (408, FailureKind.TIMEOUT),
        (413, FailureKind.REJECTED),
        (422, FailureKind.REJECTED),
        (429, FailureKind.RATE_LIMITED),
        (500, FailureKind.BROKEN),
        (502, FailureKind.BROKEN),
        (503, FailureKind.OVERLOADED),
        (504, FailureKind.TIMEOUT),
        (520, FailureKind.BROKEN),
        (529, FailureKind.OVERLOADED),
    ],
)
def test_the_status_tells_the_kind(status: int, kind: FailureKind) -> None:
    failure = refused(status)

    assert failure.failure is kind
    assert failure.upstream_status == status


@pytest.mark.parametrize("word", ["code", "type"])
@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("context_length_exceeded", FailureKind.CONTEXT_LENGTH),
        ("content_filter", FailureKind.CONTENT_FILTER),
        ("content_policy_violation", FailureKind.CONTENT_FILTER),
        ("model_not_found", FailureKind.NOT_FOUND),
        ("invalid_api_key", FailureKind.AUTH),
        ("insufficient_quota", FailureKind.OUT_OF_CREDIT),
    ],
)
def test_a_400_is_told_by_its_code_or_type(word: str, name: str, kind: FailureKind) -> None:
    assert refused(400, {"message": "no", word: name}).failure is kind


@pytest.mark.parametrize(
    "words",
    [
        "This model's maximum context length is 4096 tokens. However, you requested 5000 tokens",  # vLLM
        "the request exceeds the available context size",  # llama.cpp
        "prompt is too long: 205000 tokens > 200000 maximum",  # Anthropic
    ],
)
def test_a_request_that_is_too_long_is_known_by_its_wording(words: str) -> None:
    failure = refused(400, {"message": words, "type": "BadRequestError", "code": 400})

    assert failure.failure is FailureKind.CONTEXT_LENGTH
    assert failure.code == "context_length_exceeded"


@pytest.mark.parametrize("status", [401, 429, 500, 503])
def test_a_status_that_says_enough_is_not_overruled_by_a_code(status: int) -> None:
    with_code = refused(status, {"message": "no", "code": "context_length_exceeded"})

    assert with_code.failure is refused(status).failure


@pytest.mark.parametrize("word", ["code", "type"])
def test_a_429_for_an_account_out_of_credit_is_not_worth_a_wait(word: str) -> None:
    failure = refused(429, {"message": "You exceeded your current quota", word: "insufficient_quota"})

    assert (failure.failure, failure.retryable) == (FailureKind.OUT_OF_CREDIT, False)


@pytest.mark.parametrize("name", ["rate_limit_exceeded", "invalid_api_key", "model_not_found"])
def test_any_other_429_is_a_rate_limit(name: str) -> None:
    assert refused(429, {"message": "no", "code": name}).failure is FailureKind.RATE_LIMITED


def test_the_class_goes_with_the_kind() -> None:
    assert isinstance(refused(401), ProviderAuthError)
    assert isinstance(refused(429), ProviderRateLimitError)


@pytest.mark.parametrize(
    "body",
    [
        {"error": {"message": "too many eggs"}},
        {"error": "too many eggs"},
        {"object": "error", "message": "too many eggs"},
        {"detail": "too many eggs"},
    ],
    ids=["openai", "ollama", "mistral", "fastapi"],
)
def test_finds_the_message_wherever_the_vendor_puts_it(body: dict[str, Any]) -> None:
    failure = failure_of_response(400, {}, json.dumps(body).encode(), "p", now=NOW)

    assert failure.message == "too many eggs"


@pytest.mark.parametrize(
    "body", [b"", b"<html>Bad Gateway</html>", b"[1]", b'{"error":null}', b'{"error":{}}']
)
def test_a_body_that_says_nothing_still_makes_a_sentence(body: bytes) -> None:
    failure = failure_of_response(502, {}, body, "p", now=NOW)

    assert failure.message == "Provider 'p' answered HTTP 502"


def test_our_key_is_never_repeated_not_even_with_stars() -> None:
    message = f"Incorrect API key provided: {KEY} You sent sk-canar******6789 to us."

    failure = refused(401, {"message": message})

    assert failure.message == "Provider 'p' refused the gateway's credentials (HTTP 401)"
    assert failure.note == "Incorrect API key provided: *** You sent *** to us."


@pytest.mark.parametrize("where", ["code", "param"])
def test_our_key_is_not_repeated_beside_the_message_either(where: str) -> None:
    failure = refused(400, {"message": "no", where: f"the key {KEY}"})

    assert getattr(failure, where) == "the key ***"


def test_a_long_message_is_cut() -> None:
    assert len(refused(400, {"message": "x" * 100_000}).message) == MESSAGE_LIMIT


def test_a_rejected_request_keeps_the_upstreams_code_and_parameter() -> None:
    failure = refused(400, {"message": "no", "code": "invalid_value", "param": "temperature"})

    assert (failure.code, failure.param, failure.status) == ("invalid_value", "temperature", 400)


def _refills(what: str, remaining: str, at: str) -> dict[str, str]:
    """What Anthropic tells of one of its limits."""
    limit = f"anthropic-ratelimit-{what}"
    return {f"{limit}-remaining": remaining, f"{limit}-reset": f"2023-11-14T{at}Z"}


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"Retry-After": "2"}, 2.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"Retry-After": "Tue, 14 Nov 2023 22:13:50 GMT"}, 30.0),
        ({"Retry-After": "Tue, 14 Nov 2023 22:00:00 GMT"}, 0.0),
        ({"Retry-After": "-3"}, 0.0),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "inf"}, None),
        ({"retry-after-ms": "1500"}, 1.5),
        ({"retry-after-ms": "1500", "Retry-After": "2"}, 1.5),
        (_refills("requests", remaining="0", at="22:13:50"), 30.0),
        (_refills("requests", remaining="7", at="22:13:50"), None),
        (_refills("requests", "0", "22:13:50") | _refills("tokens", "0", "22:14:20"), 60.0),
        (_refills("tokens", remaining="0", at="soon"), None),
        (_refills("tokens", remaining="0", at="22:13:50") | {"retry-after": "5"}, 5.0),
    ],
)
def test_reads_when_to_come_back(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after_s(headers, NOW) == seconds
    assert refused(429, headers=headers).retry_after_s == seconds


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"message": "no"}, FailureKind.BROKEN),
        ("no", FailureKind.BROKEN),
        ({"message": "no", "code": 429}, FailureKind.RATE_LIMITED),
        ({"message": "no", "code": 400, "type": "BadRequestError"}, FailureKind.REJECTED),
        ({"message": "no", "code": "context_length_exceeded"}, FailureKind.CONTEXT_LENGTH),
        ({"message": "no", "code": 7}, FailureKind.BROKEN),
    ],
)
def test_an_error_inside_an_answer_is_broken_unless_it_says_more(error: Any, kind: FailureKind) -> None:
    failure = failure_of_error(error, "p")

    assert failure.failure is kind
    assert failure.message == "no"


def refused_connection() -> aiohttp.ClientConnectorError:
    key = aiohttp.client_reqrep.ConnectionKey("10.0.0.7", 80, False, True, None, None, None)
    return aiohttp.ClientConnectorError(
        key, ConnectionRefusedError(111, "Connect call failed ('10.0.0.7', 80)")
    )


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (TimeoutError(), FailureKind.TIMEOUT),
        (aiohttp.ServerTimeoutError(), FailureKind.TIMEOUT),
        (aiohttp.ConnectionTimeoutError(), FailureKind.TIMEOUT),
        (aiohttp.ServerDisconnectedError(), FailureKind.UNREACHABLE),
        (ConnectionResetError(104, "reset"), FailureKind.UNREACHABLE),
        (aiohttp.InvalidURL("http://"), FailureKind.UNREACHABLE),
        (refused_connection(), FailureKind.UNREACHABLE),
        (aiohttp.ClientPayloadError("cut"), FailureKind.BROKEN),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_an_exception_becomes_a_value_that_can_travel(error: Exception, kind: FailureKind) -> None:
    failure = failure_of_exception(error, "p")

    assert failure.failure is kind
    assert failure.retryable
    assert pickle.loads(pickle.dumps(failure)).args == failure.args


def test_an_internal_address_stays_inside() -> None:
    failure = failure_of_exception(refused_connection(), "p")

    assert failure.message == "Provider 'p' cannot be reached: Connection refused"


@pytest.mark.parametrize(
    "body",
    [{"detail": "busy"}, {"code": 1305, "msg": "busy", "success": False}, {"errors": [{"message": "busy"}]}],
)
def test_an_answer_that_is_none_keeps_the_vendors_words(body: dict[str, Any]) -> None:
    failure = checked(orjson.dumps(body), "p", "choices")

    assert isinstance(failure, UpstreamError)
    assert (failure.failure, failure.message) == (FailureKind.BROKEN, "busy")


def test_an_answer_that_says_nothing_is_told_by_what_it_lacks() -> None:
    failure = checked(b'{"id": "1"}', "p", "choices")

    assert isinstance(failure, UpstreamError)
    assert failure.message == "Provider 'p' sent an answer without 'choices'"


@pytest.mark.parametrize("value", ["1e20", "Fri, 31 Dec 9999 23:59:59 GMT"])
def test_nobody_is_told_to_wait_for_ages(value: str) -> None:
    failure = failure_of_response(429, {"Retry-After": value}, b"", "p", now=0.0)

    assert failure.retry_after_s == LONGEST_WAIT_S


@pytest.mark.parametrize(
    "text",
    [
        "https://user:passw0rd12@host/x",
        "https://x/y?sig=abc%2Fdef1234567890abcdefgh%3D",
        "SK-ABCDEFGHIJK123456 is wrong",
        "the subscription key abcdefghijklmnopqrstuvwxyzabcdef is bad",
    ],
)
def test_secrets_of_every_shape_are_taken_out(text: str) -> None:
    assert not {
        "passw0rd12",
        "def1234567890abcdefgh",
        "ABCDEFGHIJK123456",
        "abcdefghijklmnopqrstuvwxyzabcdef",
    } & set(re.split(r"[\s:@?=%/-]", redacted(text)))
    assert "***" in redacted(text)
