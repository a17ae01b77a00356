"""What vendors say about a failure, in the shapes they say it in; and that no shape can do harm."""

import json
import os
import random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from serve_app.errors import FailureKind, UpstreamError, redacted
from serve_app.providers.openai_compatible.failures import (
    MESSAGE_LIMIT,
    failure_of_error,
    failure_of_response,
)
from serve_app.providers.vendor_words import WORD_LIMIT, words_in

NOW = 1_700_000_000.0
MANY = int(os.environ.get("SEKHA_FUZZ_EXAMPLES", "200"))
REJECTED, FILTERED = FailureKind.REJECTED, FailureKind.CONTENT_FILTER
EMPTY, LIMITED = FailureKind.OUT_OF_CREDIT, FailureKind.RATE_LIMITED


def refused(status: int, body: Any) -> UpstreamError:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return failure_of_response(status, {}, raw, "p", now=NOW)


FIELD = {"type": "missing", "loc": ["body", "messages"], "msg": "Field required", "input": {"a": "secret"}}
AZURE = {
    "code": "content_filter",
    "message": "The response was filtered",
    "status": 400,
    "innererror": {
        "code": "ResponsibleAIPolicyViolation",
        "content_filter_result": {
            "hate": {"filtered": True, "severity": "high"},
            "violence": {"filtered": False, "severity": "safe"},
        },
    },
}
MODERATED = {
    "code": 403,
    "message": "Your chosen model requires moderation and your input was flagged",
    "metadata": {"reasons": ["violence"], "flagged_input": "a secret plan", "provider_name": "OpenAI"},
}
NO_CREDIT = "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing."


def routed(status: int, raw: Any) -> dict[str, Any]:
    """What OpenRouter says when the one it asked has refused."""
    metadata = {"raw": raw, "provider_name": "Someone"}
    return {"error": {"message": "Provider returned error", "code": status, "metadata": metadata}}


SHAPES: list[tuple[str, int, Any, FailureKind, str]] = [
    ("openai", 400, {"error": {"message": "no eggs", "type": "invalid_request_error"}}, REJECTED, "no eggs"),
    ("ollama", 400, {"error": "no eggs"}, REJECTED, "no eggs"),
    ("old mistral", 400, {"object": "error", "message": "no eggs", "code": 3051}, REJECTED, "no eggs"),
    (
        "mistral",
        422,
        {"object": "error", "message": {"detail": [FIELD]}},
        REJECTED,
        "body.messages: Field required",
    ),
    ("fastapi", 422, {"detail": [FIELD]}, REJECTED, "body.messages: Field required"),
    ("fastapi, a text", 400, {"detail": "no eggs"}, REJECTED, "no eggs"),
    ("cohere", 400, {"message": "invalid request: no eggs"}, REJECTED, "invalid request: no eggs"),
    ("bedrock", 400, {"message": "no eggs", "__type": "com.amazon#ValidationException"}, REJECTED, "no eggs"),
    ("bedrock, throttled", 400, {"message": "slow", "__type": "x#ThrottlingException"}, LIMITED, "slow"),
    (
        "bedrock, filtered",
        400,
        {"message": "The text was blocked by our content filters."},
        FILTERED,
        "The text was blocked by our content filters.",
    ),
    (
        "google",
        400,
        {"error": {"code": 400, "message": "no eggs", "status": "INVALID_ARGUMENT"}},
        REJECTED,
        "no eggs",
    ),
    ("google, compatible", 400, [{"error": {"code": 400, "message": "no eggs"}}], REJECTED, "no eggs"),
    (
        "google, fields",
        400,
        {"error": {"details": [{"fieldViolations": [{"field": "n", "description": "bad"}]}]}},
        REJECTED,
        "n: bad",
    ),
    (
        "groq",
        400,
        {"error": {"message": "no eggs", "code": "tool_use_failed", "failed_generation": "<x"}},
        REJECTED,
        "no eggs",
    ),
    (
        "groq, too large",
        413,
        {"error": {"message": "TPM", "type": "tokens", "code": "rate_limit_exceeded"}},
        LIMITED,
        "TPM",
    ),
    (
        "together",
        422,
        {"error": {"message": "no eggs", "type": "invalid_request_error", "param": "n"}},
        REJECTED,
        "no eggs",
    ),
    ("xai", 400, {"code": "Client specified an invalid argument", "error": "no eggs"}, REJECTED, "no eggs"),
    (
        "xai, filtered",
        403,
        {"code": "x", "error": "Content violates usage guidelines."},
        FILTERED,
        "Content violates usage guidelines.",
    ),
    ("openrouter", 400, routed(400, '{"error":{"message":"no eggs"}}'), REJECTED, "no eggs"),
    ("openrouter, an object", 400, routed(400, {"error": {"message": "no eggs"}}), REJECTED, "no eggs"),
    ("openrouter, a text", 400, routed(400, "no eggs"), REJECTED, "no eggs"),
    ("openrouter, a page", 502, routed(502, "<html>x</html>"), FailureKind.BROKEN, "Provider returned error"),
    ("openrouter, moderated", 403, {"error": MODERATED}, FILTERED, MODERATED["message"]),
    ("azure", 400, {"error": AZURE}, FILTERED, "The response was filtered"),
    ("azure, inside only", 400, {"error": {**AZURE, "code": None, "message": "no"}}, FILTERED, "no"),
    ("alibaba", 400, {"code": "DataInspectionFailed", "message": "no"}, FILTERED, "no"),
    (
        "deepseek, filtered",
        400,
        {"error": {"message": "Content Exists Risk"}},
        FILTERED,
        "Content Exists Risk",
    ),
    ("a text", 400, b"no eggs today", REJECTED, "no eggs today"),
    ("a JSON text", 400, b'"no eggs"', REJECTED, "no eggs"),
    (
        "a page",
        502,
        b"<html><h1>Bad Gateway</h1></html>",
        FailureKind.BROKEN,
        "Provider 'p' answered HTTP 502",
    ),
    (
        "a page in JSON",
        502,
        {"error": {"message": "<!DOCTYPE html>x"}},
        FailureKind.BROKEN,
        "Provider 'p' answered HTTP 502",
    ),
    ("an event", 400, b'event: error\ndata: {"error":{"message":"no eggs"}}\n\n', REJECTED, "no eggs"),
    (
        "an event with a separator in its text",
        400,
        'event: error\r\ndata: {"error":{"message":"no\u2028eggs"}}\r\n\r\n'.encode(),
        REJECTED,
        "no\u2028eggs",
    ),
    (
        "JSON in a message",
        400,
        {"error": {"message": '{"error":{"message":"no eggs"}}'}},
        REJECTED,
        "no eggs",
    ),
    ("a list of errors", 400, {"errors": [{"message": "no eggs"}]}, REJECTED, "no eggs"),
    ("a problem", 400, {"title": "Bad", "detail": "no eggs", "status": 400}, REJECTED, "no eggs"),
]


@pytest.mark.parametrize(
    ("status", "body", "kind", "message"), [shape[1:] for shape in SHAPES], ids=[shape[0] for shape in SHAPES]
)
def test_a_vendors_words_are_found_in_the_shape_it_puts_them_in(
    status: int, body: Any, kind: FailureKind, message: str
) -> None:
    failure = refused(status, body)

    assert (failure.failure, failure.message, failure.upstream_status) == (kind, message, status)
    assert "secret" not in repr(failure.args) + repr(failure.details)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (402, {"error": {"message": "Insufficient Balance"}}),  # DeepSeek
        (402, {"error": {"message": "Insufficient credits", "code": 402}}),  # OpenRouter
        (400, {"type": "error", "error": {"type": "invalid_request_error", "message": NO_CREDIT}}),
        (400, {"error": {"message": "You have reached your specified API usage limits. Wait."}}),  # Anthropic
        (402, {"error": {"type": "billing_error", "message": "no"}}),
        (429, {"error": {"message": "no", "type": "insufficient_quota", "code": "insufficient_quota"}}),
        (401, {"error": {"message": "no", "type": "insufficient_quota", "code": 401}}),  # Perplexity
        (429, {"error": {"message": "no", "code": "billing_hard_limit_reached"}}),
        (429, {"error": {"message": "no", "type": "exceeded_current_quota_error"}}),  # Moonshot
        (403, {"code": "x", "error": "Your newly created team doesn't have any credits yet."}),  # xAI
        (429, {"error": {"code": "1113", "message": "no"}}),  # Zhipu
        (402, b"Payment Required"),
    ],
)
def test_an_account_without_credit_is_the_operators_trouble(status: int, body: Any) -> None:
    failure = refused(status, body)

    assert (failure.failure, failure.status, failure.code) == (EMPTY, 502, "upstream_out_of_credit")
    assert not failure.retryable
    assert not failure.callers_fault
    assert "credit" in failure.message
    assert failure.note not in failure.message


@pytest.mark.parametrize(
    "said",
    ["You exceeded your current quota, please retry in 3 s", "Rate limit reached for requests", "slow down"],
)
def test_a_quota_that_fills_again_is_a_rate_limit(said: str) -> None:
    assert refused(429, {"error": {"message": said, "status": "RESOURCE_EXHAUSTED"}}).failure is LIMITED


def test_details_are_told_beside_the_message() -> None:
    fields = refused(422, {"message": "Validation failed", "detail": [FIELD, {"msg": "Too many"}]})
    filtered = refused(400, {"error": AZURE})

    assert fields.message == "Validation failed"
    assert fields.details == {"errors": ["body.messages: Field required", "Too many"]}
    assert filtered.details == {"reason": "content_filter", "filtered": ["hate: high"]}


def test_the_wait_that_google_tells_in_its_error_is_kept() -> None:
    retry = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "37s"}
    failure = refused(429, {"error": {"code": 429, "message": "slow", "details": [retry]}})

    assert failure.retry_after_s == 37.0


# Keys

KEYS = [
    *(
        "sk-proj-abcDEF1234567890abcd",
        "sk-ant-api03-AbCd_1234567890",
        "sk-or-v1-0123456789abcdef0123456789abcdef",
    ),
    *("AIzaSyA1234567890abcdefghijklmnopqrstu", "gsk_abcdEFGH1234567890", "xai-abcdEFGH1234567890abcd"),
    *(
        "hf_abcdEFGHijklMNOPqrst",
        "AKIAIOSFODNN7EXAMPLE",
        "nvapi-abcdEFGH-1234567890",
        "pplx-0123456789abcdef",
    ),
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U",
]
NAMED = ["0123456789abcdef0123456789abcdef", "aB3dE5fG7hI9jK1lM3nO5pQ7rS9tU1vW", "q1w2e3r4t5y6u7i8o9p0"]


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize(
    "around", ["{}", "key {} is wrong.", "({})", "?key={}&x=1", '"{}"', "x\n{}\ny", "={};"]
)
def test_whatever_is_shaped_like_a_key_is_taken_out(key: str, around: str) -> None:
    assert key[4:12] not in redacted(around.format(key))


@pytest.mark.parametrize("key", NAMED)
@pytest.mark.parametrize(
    "around",
    [
        *(
            "Incorrect API key provided: {}.",
            "invalid token '{}'",
            "api-key: {}",
            'x-api-key="{}"',
            "secret={}",
        ),
        *("Authorization: Bearer {}", "{{'Authorization': 'Basic {}'}}", '"api_key": "{}"', "Bearer {}"),
    ],
)
def test_a_random_word_after_a_word_for_a_secret_is_taken_out(key: str, around: str) -> None:
    assert key not in redacted(around.format(key))


@pytest.mark.parametrize(
    "harmless",
    [
        "This model's maximum context length is 4096 tokens. However, you requested 5000 tokens",
        "Rate limit reached for gpt-4o-mini-2024-07-18 in organization org-AbCdEf123 on tokens per min",
        "Unknown key 'messages[0].content[1].image_url'",
        "See https://platform.openai.com/account/api-keys for your keys",
        "missing Bearer authentication in header",
        "scikit: sk-learn is a library; the task-123456789 failed; risk-based_approach-2024",
        "Invalid model claude-3-5-sonnet-20241022",
        "request req_011CRzCTqMEVf5PqYCTz8ebB failed",
    ],
)
def test_what_is_no_key_stays(harmless: str) -> None:
    assert redacted(harmless) == harmless


# Whatever there may be

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=40)
NAMES = (
    "error errors message detail details code type status metadata raw reasons title innererror loc msg "
    "param content_filter_result flagged_input retryDelay fieldViolations description"
)
names = st.sampled_from(NAMES.split()) | st.text(max_size=8)
anything = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=5),
    max_leaves=25,
)


@settings(max_examples=MANY, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(said=anything, status=st.integers(400, 599), planted=st.sampled_from(KEYS), seed=st.integers())
def test_no_error_does_harm_and_none_gives_away_a_key(
    said: Any, status: int, planted: str, seed: int
) -> None:
    secret = "own-secret-Zz9"
    said = planted_in(said, [f"bad key {planted} here", f"{secret} is wrong"], random.Random(seed))
    body = json.dumps(said).encode()
    for failure in (
        failure_of_response(status, {}, body, "p", now=NOW, secret=secret),
        failure_of_error(said, "p", secret),
    ):
        told = json.dumps([failure.message, failure.code, failure.param, failure.note, failure.details])
        assert planted not in told
        assert secret not in told
        assert 0 < len(failure.message) <= MESSAGE_LIMIT
        assert len(failure.note) <= MESSAGE_LIMIT
        assert all(len(word) <= WORD_LIMIT for word in (failure.code, failure.param or ""))
        assert len(told) < 8000


def planted_in(said: Any, texts: list[str], chance: random.Random) -> Any:
    """The same, with these texts in the place of some of its own."""
    if isinstance(said, dict):
        return {name: planted_in(value, texts, chance) for name, value in said.items()}
    if isinstance(said, list):
        return [planted_in(value, texts, chance) for value in said]
    return chance.choice(texts) if isinstance(said, str) and chance.random() < 0.7 else said


@settings(max_examples=MANY, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(body=st.binary(max_size=300) | st.text(max_size=300).map(str.encode))
def test_no_bytes_do_harm(body: bytes) -> None:
    failure = failure_of_response(500, {}, body, "p", now=NOW)

    assert 0 < len(failure.message) <= MESSAGE_LIMIT


def test_depth_and_size_do_no_harm() -> None:
    deep = b'{"error":' * 900 + b'"x"' + b"}" * 900
    large = json.dumps({"error": {"message": "x " * 400_000, "details": ["y" * 9999] * 999}}).encode()

    for body in (deep, large, b"[" * 5000, b'{"error":' * 50_000):
        assert len(failure_of_response(400, {}, body, "p", now=NOW).message) <= MESSAGE_LIMIT
    assert words_in(json.loads(large)).message is not None
