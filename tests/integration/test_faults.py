"""
What callers hear when an upstream misbehaves: a gateway on real Ray Serve, over real HTTP.

One gateway before seven upstreams, which its tasks and models tell apart. `first` and `second` serve
`chat_smart`; `first` is reached through a handle, the others are within the router's process. Where the tests
of the attempt engine check every cell, these check that each row is true of the whole.
"""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from tests.support.api import Api, chunks_of, eventually, frames_of, streamed_text, text_of, user
from tests.support.serving import ONE_REPLICA, Cluster, Gateway, gateway_config, inline
from tests.support.upstream import ScriptedUpstream

NAMES = ("first", "second", "limited", "spare", "primary", "standby", "narrow")
RETRY = {"max_retries": 2, "first_delay_s": 0.01, "retry_after_max_s": 3}
LIMITS = {
    "timeout": 2,
    "first_byte_timeout_s": 1,
    "first_token_timeout_s": 1,
    "stream_idle_timeout_s": 1,
    "max_answer_mb": 0.1,
}
PATIENT = {"timeout": 60, "first_byte_timeout_s": 60, "max_ongoing_requests": 4, "max_queued_requests": 2}
THRESHOLD, RESET_S = 5, 1
FOUND_AGAIN_S = RESET_S + 5
MAX_BODY_MB = 1
OVERSIZE = 300_000

Orders = Mapping[str, Any]
Question = Callable[[Api], httpx.Response]


@dataclass(frozen=True)
class Scene:
    """A gateway and its upstreams by provider id."""

    api: Api
    upstreams: dict[str, ScriptedUpstream]

    def __getitem__(self, provider_id: str) -> ScriptedUpstream:
        return self.upstreams[provider_id]

    def asked(self, *names: str) -> tuple[int, ...]:
        """How many requests for an answer reached these upstreams."""
        return tuple(len(self[name].asked) for name in names)


def model(name: str, task: str, window: int = 8192) -> dict[str, Any]:
    return {"model_id": name, "task": task, "context_window": window}


@pytest.fixture(scope="module")
def upstreams() -> Iterator[dict[str, ScriptedUpstream]]:
    with ExitStack() as running:
        yield {name: running.enter_context(ScriptedUpstream()) for name in NAMES}


@pytest.fixture(scope="module")
def api(gateway: Gateway, upstreams: dict[str, ScriptedUpstream]) -> Api:
    offers = {
        "first": [model("short", "chat_smart"), model("first-embed", "embedding")],
        "second": [model("long", "chat_smart", 128_000), model("second-embed", "embedding", 128_000)],
        "limited": [model("busy", "chat_small"), model("busy-embed", "embedding")],
        "spare": [model("idle", "chat_small"), model("idle-embed", "embedding")],
        "primary": [model("best", "chat_large")],
        "standby": [model("good", "chat_large"), model("waiting-embed", "embedding")],
        "narrow": [model("strait", "chat_large"), model("strait-embed", "embedding")],
    }
    more: dict[str, dict[str, Any]] = {
        "first": {"transport": "handle", **ONE_REPLICA},
        "narrow": {"transport": "handle", **ONE_REPLICA, **PATIENT},
    }
    providers = [
        inline(
            name,
            upstreams[name].url,
            *offers[name],
            **{"priority": place, "retry": RETRY, **LIMITS, **more.get(name, {})},
        )
        for place, name in enumerate(NAMES, start=1)
    ]
    return gateway(
        gateway_config(
            *providers,
            router={**ONE_REPLICA, "max_body_mb": MAX_BODY_MB},
            circuit_breaker={"failure_threshold": THRESHOLD, "reset_timeout": RESET_S},
        )
    )


@pytest.fixture
def scene(api: Api, upstreams: dict[str, ScriptedUpstream]) -> Scene:
    """All upstreams are well, and nothing is held against the first two."""
    for upstream in upstreams.values():
        upstream.recover()

    def is_well(provider_id: str, model_id: str) -> bool:
        answer = api.chat(model=model_id)
        return answer.headers["x-sekha-provider"] == provider_id and (
            api.breaker(provider_id)["failure_count"] == 0
        )

    eventually(lambda: is_well("first", "short"))
    eventually(lambda: is_well("second", "long"))
    for upstream in upstreams.values():
        upstream.requests.clear()
    return Scene(api, upstreams)


def whole(api: Api) -> httpx.Response:
    return api.chat()


def stream(api: Api) -> httpx.Response:
    return api.chat(stream=True)


def embedding(api: Api) -> httpx.Response:
    return api.post("/v1/embeddings", {"input": "hi"})


asking = pytest.mark.parametrize("ask", [whole, stream, embedding], ids=lambda ask: ask.__name__)
chatting = pytest.mark.parametrize("ask", [whole, stream], ids=lambda ask: ask.__name__)


def told(*orders: Orders | tuple[Any, ...]) -> Any:
    """One test for each of these orders, named after them."""
    return [
        pytest.param(*row, id=json.dumps(row[0]))
        for row in (entry if isinstance(entry, tuple) else (entry,) for entry in orders)
    ]


def is_whole(answer: httpx.Response) -> bool:
    """A 200 with all of an answer in it."""
    if "text/event-stream" in answer.headers["content-type"]:
        return answer.status_code == 200 and frames_of(answer)[-1] == "[DONE]"
    return answer.status_code == 200


def counted(api: Api, series: str) -> float:
    """What the metrics say of this series; nothing is zero."""
    lines = api.get("/metrics").text.splitlines()
    found = [line.removeprefix(series) for line in lines if line.startswith(series)]
    return float(found[0]) if found else 0.0


# --- again, or somebody else --------------------------------------------------------------------------


@asking
@pytest.mark.parametrize(
    "orders",
    told(
        {"status": 429, "retry_after": 0.5},
        {"status": 429, "retry_after_date": 1},
        {"status": 500},
        {"reset": True},
    ),
)
def test_what_passes_is_outlasted_at_the_same_target(scene: Scene, orders: Orders, ask: Question) -> None:
    scene["first"].mode = {**orders, "times": 1}

    answer = ask(scene.api)

    assert is_whole(answer)
    assert answer.headers["x-sekha-provider"] == "first"
    assert scene.asked("first", "second") == (2, 0)
    announced_s = orders.get("retry_after", orders.get("retry_after_date", 0))
    earlier, later = scene["first"].arrived
    assert later - earlier >= announced_s


@asking
@pytest.mark.parametrize(
    "orders",
    told(
        {"status": 429},
        {"status": 500},
        {"status": 502},
        {"status": 503},
        {"status": 504},
        {"status": 529},
        {"reset": True},
        {"html": True},
        {"empty": True},
    ),
)
def test_what_lasts_is_tried_three_times_and_then_somebody_else_is_asked(
    scene: Scene, orders: Orders, ask: Question
) -> None:
    scene["first"].mode = dict(orders)

    answer = ask(scene.api)

    assert is_whole(answer)
    assert answer.headers["x-sekha-provider"] == "second"
    assert scene.asked("first", "second") == (3, 1)


@pytest.mark.parametrize("ask", [whole, embedding], ids=lambda ask: ask.__name__)
@pytest.mark.parametrize(
    "orders", told({"oversize": OVERSIZE}, {"cut_after": 1}), ids=["over the limit", "cut half way"]
)
def test_an_answer_of_no_use_is_no_answer(scene: Scene, orders: Orders, ask: Question) -> None:
    scene["first"].mode = dict(orders)

    answer = ask(scene.api)

    assert is_whole(answer)
    assert scene.asked("first", "second") == (3, 1)


@asking
@pytest.mark.parametrize(
    "orders",
    told(
        {"stall": True},
        {"stall_headers": True},
        {"status": 401},
        {"status": 403},
        {"status": 404},
        {"refuse": "context_length"},
    ),
)
def test_where_another_try_would_not_help_the_next_target_is_asked_at_once(
    scene: Scene, orders: Orders, ask: Question
) -> None:
    scene["first"].mode = dict(orders)

    answer = ask(scene.api)

    assert is_whole(answer)
    assert answer.headers["x-sekha-provider"] == "second"
    assert scene.asked("first", "second") == (1, 1)


def test_the_last_target_may_use_what_remains_of_the_deadline(scene: Scene) -> None:
    late_s = 2 * LIMITS["first_token_timeout_s"]
    scene["first"].mode = {"stall_headers": True}
    scene["second"].mode = {"late_s": late_s}

    answer = scene.api.chat(stream=True, headers={"x-sekha-timeout": "30"})

    assert is_whole(answer)
    assert streamed_text(answer) == "Hello from long: hi"
    assert scene.asked("first", "second") == (1, 1)


def test_after_a_fallback_the_answer_names_who_gave_it(scene: Scene) -> None:
    scene["first"].mode = {"status": 503}

    answer = scene.api.chat("one two three")
    parts = scene.api.chat("one two three", stream=True, stream_options={"include_usage": True})

    for routing in (
        answer.json()["sekha_metadata"]["routing"],
        chunks_of(parts)[0]["sekha_metadata"]["routing"],
    ):
        assert (routing["provider_id"], routing["model_id"]) == ("second", "long")
    for headers in (answer.headers, parts.headers):
        assert (headers["x-sekha-provider"], headers["x-sekha-model"]) == ("second", "long")
    assert {answer.json()["model"], *(chunk["model"] for chunk in chunks_of(parts))} == {"long"}
    assert text_of(answer) == streamed_text(parts) == "Hello from long: one two three"
    assert answer.json()["usage"] == chunks_of(parts)[-1]["usage"]
    assert answer.json()["usage"]["prompt_tokens"] == 3


# --- the last word ------------------------------------------------------------------------------------


@chatting
@pytest.mark.parametrize(
    ("orders", "status", "code", "each"),
    told(
        ({"status": 429}, 429, "upstream_rate_limited", 3),
        ({"status": 500}, 502, "upstream_broken", 3),
        ({"status": 502}, 502, "upstream_broken", 3),
        ({"status": 503}, 503, "upstream_overloaded", 3),
        ({"status": 504}, 504, "upstream_timeout", 3),
        ({"status": 529}, 503, "upstream_overloaded", 3),
        ({"status": 401}, 502, "upstream_auth", 1),
        ({"status": 403}, 502, "upstream_auth", 1),
        ({"status": 404}, 502, "upstream_not_found", 1),
    ),
)
def test_when_all_fail_the_caller_hears_the_last_ones_reason(
    scene: Scene, orders: Orders, status: int, code: str, each: int, ask: Question
) -> None:
    scene["first"].mode = scene["second"].mode = dict(orders)

    answer = ask(scene.api)

    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    said = f"scripted failure {orders['status']}"
    quoted = f"Provider 'second' refused the gateway's credentials (HTTP {orders['status']})"
    assert answer.json()["error"]["message"] == (quoted if code == "upstream_auth" else said)
    assert answer.headers["x-sekha-provider"] == "second"
    assert scene.asked("first", "second") == (each, each)


@pytest.mark.parametrize(
    ("orders", "status", "code"),
    told(
        ({"reset": True}, 502, "upstream_unreachable"),
        ({"stall": True}, 504, "upstream_timeout"),
        ({"html": True}, 502, "upstream_broken"),
        ({"empty": True}, 502, "upstream_broken"),
    ),
)
def test_who_says_nothing_of_use_is_spoken_for(scene: Scene, orders: Orders, status: int, code: str) -> None:
    scene["first"].mode = dict(orders)

    answer = scene.api.post("/v1/embeddings", {"input": "hi", "model": "first-embed"})  # never swapped

    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert scene.asked("second") == (0,)


@chatting
@pytest.mark.parametrize(
    ("orders", "status", "code", "words"),
    told(
        ({"status": 400}, 400, "upstream_rejected", "scripted failure 400"),
        ({"status": 422}, 422, "upstream_rejected", "scripted failure 422"),
        ({"refuse": "content_filter"}, 400, "content_policy_violation", "content management policy"),
        ({"refuse": "prefill"}, 400, "upstream_rejected", "prefill is not supported"),
    ),
)
def test_what_the_caller_got_wrong_is_told_at_once_and_held_against_nobody(
    scene: Scene, orders: Orders, status: int, code: str, words: str, ask: Question
) -> None:
    scene["first"].mode = dict(orders)

    answer = ask(scene.api)

    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert words in answer.json()["error"]["message"]
    assert scene.asked("first", "second") == (1, 0)
    assert scene.api.breaker("first")["failure_count"] == 0


@chatting
def test_a_request_that_is_too_long_for_the_largest_model_is_told_so(scene: Scene, ask: Question) -> None:
    scene["first"].mode = scene["second"].mode = {"refuse": "context_length"}

    answer = ask(scene.api)

    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "context_length_exceeded")
    assert scene.asked("first", "second") == (1, 1)


def test_no_smaller_model_is_asked_about_a_request_that_is_too_long(scene: Scene) -> None:
    scene["second"].mode = {"refuse": "context_length"}

    answer = scene.api.chat(model="long")

    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "context_length_exceeded")
    assert scene.asked("first", "second") == (0, 1)


@chatting
def test_a_stand_ins_refusal_is_not_the_reason(scene: Scene, ask: Question) -> None:
    scene["first"].mode = {"status": 503}
    scene["second"].mode = {"refuse": "prefill"}

    answer = ask(scene.api)

    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "upstream_overloaded")
    assert answer.json()["error"]["message"] == "scripted failure 503"
    assert answer.headers["x-sekha-provider"] == "first"
    assert scene.asked("first", "second") == (3, 1)


# --- what operators read ------------------------------------------------------------------------------


def test_every_failed_attempt_is_a_line_in_the_log(scene: Scene, cluster: Cluster) -> None:
    def failures(request_id: str) -> list[dict[str, Any]]:
        return [line for line in cluster.log_lines(request_id) if line["level"] == "WARNING"]

    scene["first"].mode = {"status": 503}

    scene.api.chat(headers={"x-request-id": "faulty-503"})
    eventually(lambda: failures("faulty-503")[2:], every_s=0.3)

    lines = failures("faulty-503")
    assert [line["event"] for line in lines] == ["llm_call_retried"] * 2 + ["llm_call_failed"]
    assert [line["retry_count"] for line in lines] == [0, 1, 2]
    for line in lines:
        assert (line["backend"], line["model"], line["error_type"]) == ("first", "short", "overloaded")
        assert line["error_message"] == "scripted failure 503"


@pytest.mark.parametrize("status", [401, 403])
def test_a_key_that_is_refused_is_an_alert_and_counts_and_is_no_callers_business(
    scene: Scene, cluster: Cluster, status: int
) -> None:
    before = len(cluster.log_lines("provider_key_refused"))
    scene["first"].mode = {"status": status}

    answer = scene.api.chat()

    assert is_whole(answer)
    assert scene.api.breaker("first")["failure_count"] == 1
    eventually(lambda: len(cluster.log_lines("provider_key_refused")) > before, every_s=0.3)
    alert = cluster.log_lines("provider_key_refused")[-1]
    assert (alert["level"], alert["provider"]) == ("ERROR", "first")


def test_a_request_has_one_voice_at_the_breaker_however_often_it_tries(scene: Scene) -> None:
    scene["first"].mode = {"status": 503}

    scene.api.chat()

    assert scene.asked("first") == (3,)
    assert scene.api.breaker("first")["failure_count"] == 1


# --- patience -----------------------------------------------------------------------------------------


def test_nobody_asks_before_the_announced_time_is_over(scene: Scene) -> None:
    def ask(**headers: str) -> httpx.Response:
        return Api(scene.api.url).post(
            "/v1/embeddings", {"input": "hi", "model": "waiting-embed"}, headers=headers
        )

    scene["standby"].mode = {"status": 429, "retry_after": 1, "times": 1}
    hurried = ask(**{"x-sekha-timeout": "0.5"})  # a wait that would outlive the deadline is not begun
    with ThreadPoolExecutor() as callers:
        answers = list(callers.map(lambda _: ask(), range(4)))

    assert (hurried.status_code, hurried.headers["retry-after"]) == (429, "1")
    assert [answer.status_code for answer in answers] == [200] * 4
    first, *others = scene["standby"].arrived
    assert len(others) == 4
    assert min(others) - first >= 1


def test_who_wants_to_be_left_alone_for_long_is_passed_over(scene: Scene) -> None:
    scene["limited"].mode = {"status": 429, "retry_after": 60}

    answers = [scene.api.chat(model="chat_small") for _ in range(3)]

    assert [answer.headers["x-sekha-provider"] for answer in answers] == ["spare"] * 3
    assert scene.asked("limited", "spare") == (1, 3)


def test_where_nobody_else_can_answer_the_caller_is_told_how_long_to_wait(scene: Scene) -> None:
    scene["limited"].mode = {"status": 429, "retry_after": 60}
    asked = {"input": "hi", "model": "busy-embed"}

    answers = [scene.api.post("/v1/embeddings", asked) for _ in range(3)]

    assert [answer.status_code for answer in answers] == [429] * 3
    assert answers[0].headers["retry-after"] == "60"
    assert all(int(answer.headers["retry-after"]) >= 1 for answer in answers)
    assert {answer.json()["error"]["code"] for answer in answers} == {"upstream_rate_limited"}
    assert scene.asked("limited") == (1,)


@chatting
def test_one_deadline_bounds_all_attempts_together(scene: Scene, ask: Question) -> None:
    scene["first"].mode = scene["second"].mode = {"stall": True}
    asked = {"messages": [user("hi")], "stream": ask is stream}

    answer = scene.api.post("/v1/chat/completions", asked, headers={"x-sekha-timeout": "0.4"})

    assert (answer.status_code, answer.json()["error"]["code"]) == (504, "upstream_timeout")
    assert scene.asked("first", "second") == (1, 0)


@pytest.mark.parametrize(
    "headers",
    [
        {"x-sekha-timeout": "soon"},
        {"x-sekha-timeout": "-1"},
        {"x-sekha-timeout": "nan"},
        {"x-sekha-on-stream-failure": "pray"},
    ],
    ids=str,
)
def test_terms_that_make_no_sense_are_400(scene: Scene, headers: dict[str, str]) -> None:
    answer = scene.api.chat(stream=True, headers=headers)

    assert answer.status_code == 400
    assert next(iter(headers)) in answer.json()["error"]["message"]
    assert scene.asked("first", "second") == (0, 0)


# --- streams that break off ---------------------------------------------------------------------------

BREAKS_OFF = pytest.mark.parametrize(
    "orders", told({"cut_after": 2}, {"stall_after": 2}, {"error_after": 2}), ids=["cut", "silent", "error"]
)


def asked_to(policy: str) -> dict[str, str]:
    return {"x-sekha-on-stream-failure": policy}


def error_of(answer: httpx.Response) -> dict[str, Any]:
    """The error event that ends a stream; nothing before it may pretend that the answer is whole."""
    *chunks, last = chunks_of(answer)
    assert "[DONE]" not in frames_of(answer)
    assert not any(choice["finish_reason"] for chunk in chunks for choice in chunk["choices"])
    return dict(last["error"])


def said_before(answer: httpx.Response) -> str:
    deltas = (choice["delta"] for chunk in chunks_of(answer)[:-1] for choice in chunk["choices"])
    return "".join(delta.get("content") or "" for delta in deltas)


@BREAKS_OFF
def test_a_stream_that_breaks_off_ends_with_an_error_and_without_done(scene: Scene, orders: Orders) -> None:
    scene["first"].mode = {"chunks": 5, **orders}

    answer = scene.api.chat(stream=True)

    assert answer.status_code == 200
    assert error_of(answer)["code"] in ("upstream_broken", "upstream_timeout")
    assert said_before(answer) == "w0 w1 "
    assert scene.asked("first", "second") == (1, 0)


@BREAKS_OFF
def test_resume_goes_on_where_the_first_target_stopped(scene: Scene, orders: Orders) -> None:
    scene["first"].mode = {"chunks": 5, **orders}
    scene["second"].mode = {"chunks": 5}

    answer = scene.api.chat(stream=True, headers=asked_to("resume"))

    assert is_whole(answer)
    assert streamed_text(answer) == "w0 w1 w2 w3 w4 "
    assert len({chunk["id"] for chunk in chunks_of(answer)}) == 1
    assert scene.asked("first", "second") == (1, 1)


def test_resume_does_not_mend_an_answer_with_another(scene: Scene) -> None:
    scene["first"].mode = {"cut_after": 3}

    answer = scene.api.chat(stream=True, headers=asked_to("resume"))

    assert error_of(answer)["code"] == "upstream_broken"
    assert said_before(answer) == "Hello from short:"
    assert scene.asked("first", "second") == (1, 1)


@BREAKS_OFF
def test_hold_shows_nothing_of_an_answer_that_broke_off(scene: Scene, orders: Orders) -> None:
    scene["first"].mode = dict(orders)

    answer = scene.api.chat(stream=True, headers=asked_to("hold"))

    assert is_whole(answer)
    assert answer.headers["x-sekha-provider"] == "second"
    assert streamed_text(answer) == "Hello from long: hi"
    assert scene.asked("second") == (1,)


def test_hold_fails_like_a_whole_answer_where_nobody_finishes(scene: Scene) -> None:
    scene["first"].mode = scene["second"].mode = {"cut_after": 2}

    answer = scene.api.chat(stream=True, headers=asked_to("hold"))

    assert (answer.status_code, answer.json()["error"]["code"]) == (502, "upstream_broken")


def test_hold_keeps_the_connection_alive_with_comments(scene: Scene) -> None:
    scene["first"].mode = {"chunks": 20, "chunk_delay_s": 0.3}

    answer = scene.api.chat(stream=True, headers=asked_to("hold"))

    comments = [frame for frame in frames_of(answer) if frame.startswith(":")]
    frames = [frame for frame in frames_of(answer) if not frame.startswith(":")]
    assert comments
    assert frames_of(answer)[: len(comments)] == comments
    assert frames[-1] == "[DONE]"
    text = "".join(c["delta"].get("content") or "" for f in frames[:-1] for c in json.loads(f)["choices"])
    assert text == "".join(f"w{n} " for n in range(20))


def test_behind_a_broken_event_the_stream_goes_on_but_ends_in_an_error_and_it_is_counted(
    scene: Scene,
) -> None:
    def dropped() -> float:
        return counted(scene.api, 'sekha_dropped_frames_total{model="short",provider="first"}')

    before = dropped()
    scene["first"].mode = {"malformed": True}

    answer = scene.api.chat(stream=True)

    *chunks, last = chunks_of(answer)
    said = (choice["delta"].get("content") or "" for chunk in chunks for choice in chunk["choices"])
    assert "".join(said) == "Hello from short: hi"
    assert (last["error"]["code"], last["error"]["details"]) == ("upstream_broken", {"dropped_frames": 1})
    assert frames_of(answer)[-1] != "[DONE]"
    assert scene.asked("first", "second") == (1, 0)
    eventually(lambda: dropped() == before + 1)


@pytest.mark.parametrize("ask", [whole, embedding], ids=lambda ask: ask.__name__)
def test_an_answer_under_another_name_is_read_for_what_it_is(scene: Scene, ask: Question) -> None:
    scene["first"].mode = {"content_type": "text/plain"}

    assert is_whole(ask(scene.api))
    assert scene.asked("first", "second") == (1, 0)


def test_done_and_usage_are_added_where_the_upstream_leaves_them_out(scene: Scene) -> None:
    scene["first"].mode = {"no_done": True, "no_usage": True}

    answer = scene.api.chat("one two three", stream=True, stream_options={"include_usage": True})

    assert is_whole(answer)
    last = chunks_of(answer)[-1]
    assert last["choices"] == []
    assert last["usage"]["completion_tokens"] > 0
    assert last["usage"]["total_tokens"] == sum(
        last["usage"][name] for name in ("prompt_tokens", "completion_tokens")
    )
    assert scene.asked("first", "second") == (1, 0)


# --- breakers -----------------------------------------------------------------------------------------


def test_a_primary_that_is_down_is_left_alone_and_found_again(scene: Scene) -> None:
    scene["primary"].mode = {"status": 503}
    answers = [scene.api.chat(model="chat_large") for _ in range(THRESHOLD)]
    assert scene.api.breaker("primary")["state"] == "open"
    known = len(scene["primary"].arrived)

    def two_probes_later() -> bool:
        answers.append(scene.api.chat(model="chat_large"))
        return len(scene["primary"].arrived) >= known + 2

    eventually(two_probes_later, every_s=0.02)

    assert {answer.headers["x-sekha-provider"] for answer in answers} == {"standby"}
    alone = scene["primary"].arrived[known - 1 :]
    assert all(later - earlier >= RESET_S for earlier, later in pairwise(alone))  # nothing but probes
    assert len(answers) > len(scene["primary"].arrived)

    scene["primary"].recover()

    eventually(
        lambda: scene.api.chat(model="chat_large").headers["x-sekha-provider"] == "primary",
        within_s=FOUND_AGAIN_S,
    )


def test_a_provider_that_is_the_only_one_has_a_breaker_too(scene: Scene) -> None:
    scene["spare"].mode = {"status": 503}
    asked = {"input": "hi", "model": "idle-embed"}

    answers = [scene.api.post("/v1/embeddings", asked) for _ in range(THRESHOLD)]
    known = scene.asked("spare")
    left_alone = scene.api.post("/v1/embeddings", asked)

    assert {answer.json()["error"]["code"] for answer in answers} == {"upstream_overloaded"}
    assert (left_alone.status_code, left_alone.json()["error"]["code"]) == (503, "no_suitable_providers")
    assert int(left_alone.headers["retry-after"]) >= 1
    assert scene.asked("spare") == known


# --- overload -----------------------------------------------------------------------------------------

AT_ONCE = PATIENT["max_ongoing_requests"]
IN_ALL = AT_ONCE + PATIENT["max_queued_requests"]


@asynccontextmanager
async def clogged(scene: Scene, callers: int) -> AsyncIterator[httpx.AsyncClient]:
    """
    So many callers wait for `narrow`, which says nothing; at the end they go away.

    They come one after the other: all at once they would fill the queue before the first is out of it.
    """
    scene["narrow"].mode = {"stall": True}
    asked = {"input": "hi", "model": "strait-embed"}
    waiting: list[asyncio.Task[httpx.Response]] = []
    async with httpx.AsyncClient(base_url=scene.api.url, timeout=60, trust_env=False) as http:
        try:
            while len(waiting) < callers:
                waiting.append(asyncio.create_task(http.post("/v1/embeddings", json=asked)))
                await until(lambda: scene["narrow"].open_requests == min(len(waiting), AT_ONCE))
                await until(lambda: in_flight(scene.api, "narrow") == len(waiting))
            yield http
        finally:
            for caller in waiting:
                caller.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
            await until(lambda: scene["narrow"].open_requests == 0)
            await until(lambda: in_flight(scene.api, "narrow") == 0)


def in_flight(api: Api, provider_id: str) -> float:
    return counted(api, f'sekha_requests_in_flight{{provider="{provider_id}"}}')


async def until(condition: Callable[[], bool]) -> None:
    await asyncio.to_thread(eventually, condition)


@pytest.mark.anyio
async def test_a_hung_provider_slows_nobody_else(scene: Scene) -> None:
    chat = {"messages": [user("hi")]}
    async with clogged(scene, AT_ONCE) as http:
        answers = await asyncio.gather(*(http.post("/v1/chat/completions", json=chat) for _ in range(20)))

        assert [answer.status_code for answer in answers] == [200] * 20
        assert scene["narrow"].open_requests == AT_ONCE  # they were all answered while these wait


@pytest.mark.anyio
async def test_where_a_queue_is_full_somebody_else_is_asked_and_else_the_caller_comes_back_later(
    scene: Scene,
) -> None:
    async with clogged(scene, IN_ALL) as http:
        named = {"messages": [user("hi")], "model": "strait"}
        elsewhere = await http.post("/v1/chat/completions", json=named)
        refused = await http.post("/v1/embeddings", json={"input": "hi", "model": "strait-embed"})

    assert elsewhere.status_code == 200
    assert elsewhere.headers["x-sekha-provider"] in ("primary", "standby")
    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "upstream_saturated")
    assert int(refused.headers["retry-after"]) >= 1
    assert scene.api.breaker("narrow")["failure_count"] == 0


@pytest.mark.parametrize("framing", ["content-length: 10000000", "transfer-encoding: chunked"])
def test_a_body_over_the_limit_is_refused_before_it_is_read_whole(scene: Scene, framing: str) -> None:
    address = urlsplit(scene.api.url)
    head = (
        f"POST {address.path}/v1/chat/completions HTTP/1.1\r\nhost: {address.netloc}\r\n"
        f"content-type: application/json\r\n{framing}\r\n\r\n"
    )
    part = b"x" * 200_000
    with socket.create_connection((address.hostname, address.port), timeout=30) as connection:
        connection.sendall(head.encode())
        for _ in range(6):  # 1.2 MB of it, and never the end
            connection.sendall(part if "length" in framing else b"%x\r\n%s\r\n" % (len(part), part))
        answer = connection.recv(4096)

    assert answer.startswith(b"HTTP/1.1 413")
    assert scene.asked("first", "second") == (0, 0)


# --- as configured ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def lenient(gateway: Gateway, upstreams: dict[str, ScriptedUpstream]) -> Api:
    """Another gateway before the first two upstreams: filters are no last word, and streams go on."""
    providers = [
        inline(name, upstreams[name].url, model(name, "chat_smart"), priority=place, retry=RETRY, **LIMITS)
        for place, name in enumerate(NAMES[:2], start=1)
    ]
    routing = {"fallback_on_content_filter": True, "on_stream_failure": "resume"}
    return gateway(gateway_config(*providers, routing=routing))


@chatting
def test_where_it_is_configured_one_filters_verdict_is_no_others(
    scene: Scene, lenient: Api, ask: Question
) -> None:
    scene["first"].mode = {"refuse": "content_filter"}

    answer = ask(lenient)

    assert is_whole(answer)
    assert answer.headers["x-sekha-provider"] == "second"
    assert scene.asked("first", "second") == (1, 1)


def test_the_configured_policy_holds_where_the_caller_names_none(scene: Scene, lenient: Api) -> None:
    scene["first"].mode = {"chunks": 5, "cut_after": 2}
    scene["second"].mode = {"chunks": 5}

    resumed = lenient.chat(stream=True)
    cut = lenient.chat(stream=True, headers=asked_to("error"))

    assert is_whole(resumed)
    assert streamed_text(resumed) == "w0 w1 w2 w3 w4 "
    assert error_of(cut)["code"] == "upstream_broken"
