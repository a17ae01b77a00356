"""One hosted model next to a provider in the cloud: answers, streams, leaving, too long, tools, adapters."""

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.api import Api, chunks_of, eventually, frames_of, streamed_text, text_of
from tests.support.serving import Cluster
from tests.support.upstream import ScriptedUpstream
from tests.vllm.graph import at_home, cloudy, deployed, hosted, served_by

pytestmark = pytest.mark.timeout(600)  # the first test waits for the engine

SMALL = {"model_id": "tiny", "task": "chat_small"}
EXACT = {"model": "tiny", "temperature": 0, "max_tokens": 24}
ENDLESS = {"model": "tiny", "max_tokens": 1500, "ignore_eos": True}
TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {
            "type": "object",
            "properties": {"rain": {"type": "string", "enum": ["yes", "no"]}},
            "required": ["rain"],
            "additionalProperties": False,
        },
    },
}


@pytest.fixture(scope="module")
def home(cluster: Cluster, weights: Path, cloud: ScriptedUpstream) -> Iterator[Api]:
    provider = hosted(
        weights,
        SMALL,
        local={"max_running": 2, "burst_queue": 1},
        engine={
            "structured_outputs_config": {"backend": "xgrammar", "disable_any_whitespace": True},
            "enable_auto_tool_choice": True,
            "tool_call_parser": "hermes",
        },
    )
    with deployed(cluster, "serving", provider, cloudy(cloud.url)) as api:
        yield api


class Stream(threading.Thread):
    """A caller who reads an endless answer until told to leave."""

    def __init__(self, api: Api) -> None:
        super().__init__(daemon=True)
        self._api = api
        self._leaves = threading.Event()
        self.has_begun = threading.Event()

    def run(self) -> None:
        body = {"messages": [{"role": "user", "content": "hi"}], "stream": True, **ENDLESS}
        with (
            httpx.Client(base_url=self._api.url, timeout=120, trust_env=False) as http,
            http.stream("POST", "/v1/chat/completions", json=body) as answer,
        ):
            for _ in answer.iter_raw():
                self.has_begun.set()
                if self._leaves.is_set():
                    return

    def leave(self) -> None:
        self._leaves.set()
        self.join(30)


def test_a_whole_answer_comes_with_its_usage_and_where_it_was_made(home: Api) -> None:
    answer = home.chat("hello", **EXACT)

    assert answer.status_code == 200, answer.text
    assert served_by(answer) == "home"
    assert answer.json()["model"] == "tiny"
    usage = answer.json()["usage"]
    assert usage["prompt_tokens"] > 0
    assert 0 < usage["completion_tokens"] <= 24


def test_a_stream_says_the_same_as_a_whole_answer_each_time(home: Api) -> None:
    whole = home.chat("the quick brown fox", **EXACT)
    streams = [home.chat("the quick brown fox", stream=True, **EXACT) for _ in range(2)]

    assert text_of(whole)
    assert [streamed_text(stream) for stream in streams] == [text_of(whole)] * 2


def test_a_stream_ends_with_its_usage_and_done(home: Api) -> None:
    whole = home.chat("hello", **EXACT)
    stream = home.chat("hello", stream=True, stream_options={"include_usage": True}, **EXACT)

    assert frames_of(stream)[-1] == "[DONE]"
    told = chunks_of(stream)[-1]["usage"]
    assert told["total_tokens"] == whole.json()["usage"]["total_tokens"]


def test_a_stream_comes_token_by_token_and_not_in_batches(home: Api) -> None:
    stream = home.chat("hello", stream=True, **EXACT)

    assert len(chunks_of(stream)) > 12


def test_a_caller_who_leaves_frees_the_engine_for_the_next(home: Api) -> None:
    began = time.monotonic()
    home.chat("hello", **{**ENDLESS, "max_tokens": 400})
    whole_s = (time.monotonic() - began) / 400 * 1500
    leavers = [Stream(home) for _ in range(2)]  # as many as the engine works on at once
    for leaver in leavers:
        leaver.start()
        assert leaver.has_begun.wait(60)
    for leaver in leavers:
        leaver.leave()

    began = time.monotonic()
    answer = home.chat("hello", model="home/tiny", max_tokens=1)
    waited_s = time.monotonic() - began

    assert served_by(answer) == "home"
    assert waited_s < whole_s / 3  # of what those before it would still have taken
    eventually(lambda: at_home(home)["running"] == 0)


def test_a_request_that_leaves_before_its_whole_answer_frees_the_engine_too(home: Api) -> None:
    body = {"messages": [{"role": "user", "content": "hi"}], **ENDLESS}
    with (
        httpx.Client(base_url=home.url, timeout=0.5, trust_env=False) as impatient,
        pytest.raises(httpx.ReadTimeout),
    ):
        impatient.post("/v1/chat/completions", json=body)

    eventually(lambda: at_home(home)["running"] == 0, within_s=10)


def test_what_is_too_long_for_it_goes_to_a_larger_window(home: Api) -> None:
    answer = home.chat("too long " * 2000, model="tiny", max_tokens=10)

    assert answer.status_code == 200
    assert served_by(answer) == "cloud"


def test_what_is_too_long_for_all_is_the_callers_400(home: Api) -> None:
    refused = json.dumps({"refuse": "context_length"})

    answer = home.chat(f"{'too long ' * 2000} [[{refused}]]", model="tiny", max_tokens=10)

    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "context_length_exceeded"


def test_a_request_that_it_does_not_understand_is_the_callers_400(home: Api) -> None:
    answer = home.chat("hello", **EXACT, min_tokens=99)

    assert answer.status_code == 400
    assert "min_tokens" in answer.text


def test_an_answer_can_be_bound_to_a_schema(home: Api) -> None:
    schema = TOOL["function"]["parameters"]
    form = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema, "strict": True}}

    answer = home.chat("will it rain?", response_format=form, **{**EXACT, "max_tokens": 60})

    assert served_by(answer) == "home"
    assert json.loads(text_of(answer))["rain"] in ("yes", "no")


def test_a_tool_is_called_when_it_has_to_be(home: Api) -> None:
    choice = {"type": "function", "function": {"name": "weather"}}
    # At temperature 0 it writes line ends between the words for ever.
    random = {"temperature": 1, "seed": 0, "max_tokens": 400}

    answer = home.chat("rain?", model="tiny", tools=[TOOL], tool_choice=choice, **random)

    assert answer.status_code == 200, answer.text
    assert served_by(answer) == "home", answer.text
    call: dict[str, Any] = answer.json()["choices"][0]["message"]["tool_calls"][0]["function"]
    assert call["name"] == "weather"
    assert json.loads(call["arguments"])["rain"] in ("yes", "no")


def test_no_picture_is_fetched_for_a_caller(home: Api, cloud: ScriptedUpstream) -> None:
    cloud.requests.clear()
    picture = {"type": "image_url", "image_url": {"url": f"{cloud.url}/cat.png"}}

    home.chat([{"type": "text", "text": "what is this"}, picture], model="home/tiny", max_tokens=2)

    assert not [seen for seen in cloud.requests if "cat.png" in seen.path]


def test_while_too_many_wait_requests_go_to_the_cloud_and_come_back(home: Api) -> None:
    crowd = [Stream(home) for _ in range(3)]  # two at work, one waits
    for one in crowd[:2]:
        one.start()
        assert one.has_begun.wait(60)
    crowd[2].start()
    eventually(lambda: at_home(home)["running"] == 3)
    fourth = Stream(home)
    fourth.start()
    eventually(lambda: at_home(home)["state"] == "saturated")

    elsewhere = home.chat("hello", model="chat_small", max_tokens=2)
    for one in [*crowd, fourth]:
        one.leave() if one.has_begun.is_set() else one._leaves.set()
    eventually(lambda: at_home(home)["state"] == "warm" and at_home(home)["running"] == 0)
    back = home.chat("hello", model="chat_small", max_tokens=2)

    assert served_by(elsewhere) == "cloud"
    assert served_by(back) == "home"
