"""The whole tree of errors: what each tells a caller, and that it survives the trip between processes."""

import pickle
from collections.abc import Iterator

import pytest

from serve_app.api.in_flight import TooMuchInFlight
from serve_app.api.intake import NoRoomForFile
from serve_app.clients.bridge import CircuitOpen
from serve_app.control.backend import BackendNotConfigured
from serve_app.control.protocol import ControlUnreachable
from serve_app.errors import (
    AdminLimitReached,
    BudgetExceeded,
    ConfigError,
    CostLimitReached,
    FailureKind,
    Forbidden,
    GatewayError,
    GatewayUnavailable,
    InvalidRequest,
    JwksUnavailable,
    LimitReached,
    ModelNotAllowed,
    ModelNotFound,
    NoProvidersAvailable,
    NoSuitableProviders,
    PriceUnknown,
    ProviderAuthError,
    ProviderError,
    ProviderRateLimitError,
    ProviderTimeoutError,
    RateLimitExceeded,
    ReplicaLost,
    SekhaError,
    SoundLengthUnknown,
    ToolPriceUnknown,
    TooManyWrongKeys,
    Unauthenticated,
    UpstreamError,
    internal_error,
    upstream_error,
)
from serve_app.formats.json_body import InvalidField

EXAMPLES = [
    SekhaError("anything"),
    ConfigError("config.yaml: port: must be a number"),
    GatewayError("Internal error"),
    InvalidRequest("No messages provided", param="messages", code="empty", status=413),
    InvalidField("temperature", "Input should be at most 2, not 3", "less_than_equal"),
    Unauthenticated("No API key was given"),
    TooManyWrongKeys(3.0),
    Forbidden("This is for admins"),
    ModelNotAllowed("gpt-5", ["gpt-4o"]),
    ModelNotFound("gpt-5", ["gpt-4o", "auto"]),
    NoProvidersAvailable("vision", vision=True, why="nobody sees"),
    NoSuitableProviders("chat_smart", "its circuit breaker is open", retry_after_s=12.5),
    BudgetExceeded("tenant:a/month", "month", 100.0, 99.5, 0.75, 3600.0),
    PriceUnknown("first/some-model", "gateway/total"),
    CostLimitReached("first/some-model", "costs $2.000000, over the limit of $1"),
    SoundLengthUnknown("first/whisper", "gateway/total"),
    ToolPriceUnknown("first/some-model", "gateway/total", "googleSearch"),
    RateLimitExceeded("tenant:a/requests", "requests", 600, 0, 12.5),
    AdminLimitReached("switches of the backend", 10, 4600.0, 12.5),
    LimitReached("no more"),
    NoRoomForFile(),
    TooMuchInFlight(128_000_000, is_share=True),
    BackendNotConfigured("vLLM has no endpoint"),
    GatewayUnavailable("The control actor does not answer", 1.0),
    JwksUnavailable("The server does not answer"),
    UpstreamError("boom", "p", FailureKind.REJECTED, 422, 1.5, "bad_tool", "tools"),
    ReplicaLost("The provider's replica failed", "p", "3fa1"),
    upstream_error("key refused", "p", FailureKind.AUTH, upstream_status=401),
    upstream_error("slow down", "p", FailureKind.RATE_LIMITED, upstream_status=429, retry_after_s=20),
    upstream_error("too slow", "p", FailureKind.TIMEOUT),
    CircuitOpen("not called", "p", FailureKind.OVERLOADED, retry_after_s=40.0),
]

STATUS = {
    FailureKind.TIMEOUT: 504,
    FailureKind.RATE_LIMITED: 429,
    FailureKind.OVERLOADED: 503,
    FailureKind.SATURATED: 429,
    FailureKind.UNREACHABLE: 502,
    FailureKind.BROKEN: 502,
    FailureKind.AUTH: 502,
    FailureKind.NOT_FOUND: 502,
    FailureKind.CONTEXT_LENGTH: 400,
    FailureKind.CONTENT_FILTER: 400,
    FailureKind.REJECTED: 400,
    FailureKind.UNSUPPORTED: 400,
    FailureKind.OUT_OF_CREDIT: 502,
    FailureKind.REFUSED_ADDRESS: 502,
    FailureKind.INTERNAL: 500,
}
NEVER_RETRY = {
    FailureKind.REFUSED_ADDRESS,
    FailureKind.AUTH,
    FailureKind.OUT_OF_CREDIT,
    FailureKind.INTERNAL,
    FailureKind.NOT_FOUND,
    FailureKind.CONTEXT_LENGTH,
    FailureKind.CONTENT_FILTER,
    FailureKind.REJECTED,
    FailureKind.UNSUPPORTED,
}


def descendants(cls: type[SekhaError]) -> Iterator[type[SekhaError]]:
    yield cls
    for child in cls.__subclasses__():
        yield from descendants(child)


def facts(error: SekhaError) -> dict[str, object]:
    """All a caller can read off an error."""
    names = ("status", "code", "kind", "param", "retry_after_s", "message", "retryable", "callers_fault")
    told = {name: getattr(error, name) for name in names if hasattr(error, name)}
    return {"class": type(error), "str": str(error), "args": error.args, **vars(error), **told}


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda e: type(e).__name__)
def test_an_error_survives_the_trip_between_processes(error: SekhaError) -> None:
    assert facts(pickle.loads(pickle.dumps(error))) == facts(error)


@pytest.mark.parametrize("failure", FailureKind)
def test_a_failure_of_any_kind_survives_it_with_all_it_knows(failure: FailureKind) -> None:
    error = upstream_error("no", "p", failure, 418, 2.5, "a_code", "a_param")
    error.telling({"errors": ["a field"]}, note="for the operator")

    assert facts(pickle.loads(pickle.dumps(error))) == facts(error)


def test_every_error_has_an_example() -> None:
    there = {cls for cls in descendants(SekhaError) if cls.__module__.startswith("serve_app.")}

    assert {type(example) for example in EXAMPLES} == there


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (InvalidRequest("no"), 400, "invalid_request_error"),
        (InvalidField("temperature", "too high"), 422, "invalid_request_error"),
        (Unauthenticated("no key"), 401, "authentication_error"),
        (ModelNotFound("x", []), 404, "invalid_request_error"),
        (NoProvidersAvailable("audio"), 503, "server_error"),
        (NoSuitableProviders("audio"), 503, "server_error"),
        (GatewayUnavailable("gone"), 503, "server_error"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
def test_a_refusal_has_its_status(error: GatewayError, status: int, kind: str) -> None:
    assert (error.status, error.kind) == (status, kind)


@pytest.mark.parametrize("failure", FailureKind)
def test_a_failure_has_the_status_of_its_kind(failure: FailureKind) -> None:
    error = upstream_error("no", "p", failure)

    assert error.status == STATUS[failure]
    assert error.retryable is (failure not in NEVER_RETRY)
    assert error.code


@pytest.mark.parametrize("upstream_status", [401, 402, 403])
def test_a_providers_401_is_never_the_callers_401(upstream_status: int) -> None:
    error = upstream_error("Incorrect API key", "p", FailureKind.AUTH, upstream_status)

    assert (error.status, error.upstream_status) == (502, upstream_status)
    assert error.kind == "upstream_error"
    assert not error.callers_fault


def test_what_the_upstream_rejects_keeps_its_status_code_and_parameter() -> None:
    error = upstream_error("bad", "p", FailureKind.REJECTED, 422, code="bad_tool", param="tools")

    assert (error.status, error.kind, error.code, error.param) == (
        422,
        "invalid_request_error",
        "bad_tool",
        "tools",
    )
    assert error.callers_fault


@pytest.mark.parametrize(
    ("failure", "cls"),
    [
        (FailureKind.AUTH, ProviderAuthError),
        (FailureKind.RATE_LIMITED, ProviderRateLimitError),
        (FailureKind.TIMEOUT, ProviderTimeoutError),
        (FailureKind.BROKEN, ProviderError),
        (FailureKind.OVERLOADED, ProviderError),
    ],
)
@pytest.mark.contract(50)
def test_a_failure_has_the_class_of_its_kind(failure: FailureKind, cls: type[UpstreamError]) -> None:
    error = upstream_error("no", "p", failure)

    assert type(error) is cls
    assert isinstance(error, ProviderError)


def test_a_content_filter_has_openais_code_and_says_the_reason_beside_it() -> None:
    error = upstream_error("no", "p", FailureKind.CONTENT_FILTER, 400)

    assert (error.code, error.details) == ("content_policy_violation", {"reason": "content_filter"})


def test_an_exception_of_ours_is_told_as_ours_and_names_the_request() -> None:
    error = internal_error("p", "req-7")

    assert (error.status, error.code, error.kind) == (500, "internal_error", "server_error")
    assert "req-7" in error.message


def test_cases_22_and_23_a_refusal_is_a_runtime_error_whose_text_begins_as_tests_expect() -> None:
    none, unfit = NoProvidersAvailable("vision", vision=True), NoSuitableProviders("chat_smart", "too dear")

    assert isinstance(none, RuntimeError)
    assert isinstance(unfit, RuntimeError)
    assert str(none) == "No providers available for task 'vision' (vision=True)"
    assert str(unfit) == "No suitable providers available for task 'chat_smart': too dear"


def test_a_wrong_configuration_is_a_value_error() -> None:
    assert isinstance(ConfigError("wrong"), ValueError)


def test_an_unknown_model_is_answered_with_those_there_are() -> None:
    assert str(ModelNotFound("gpt-5", ["gpt-4o", "auto"])) == (
        "The model 'gpt-5' does not exist. Available: gpt-4o, auto"
    )


def test_what_happens_between_router_and_authority_is_no_callers_business() -> None:
    assert not issubclass(ControlUnreachable, SekhaError)


def test_advice_is_told_after_the_message_and_travels_with_the_error() -> None:
    error = pickle.loads(pickle.dumps(PriceUnknown("a/m", "").advising("These can take it: b/n")))

    assert str(error) == (
        "The price of 'a/m' is unknown, and a cost limit applies: "
        "configure cost_per_1k_input and cost_per_1k_output for it. These can take it: b/n"
    )
