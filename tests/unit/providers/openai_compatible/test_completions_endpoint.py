"""The endpoint of text completions: what is sent, whole answers, streams, and what came as the other."""

from typing import Any

import orjson
import pytest

from serve_app.errors import FailureKind, UpstreamError
from serve_app.formats.openai_chat.chunks import chunks_in, frame_of
from serve_app.pricing.usage import Usage
from serve_app.providers.base import Call
from serve_app.providers.catalogue.rows import VENDORS
from serve_app.providers.http.endpoint import WholeAnswer
from serve_app.providers.openai_compatible.completions_endpoint import CompletionsEndpoint
from tests.support.upstream import completion_choice

ENDPOINT = CompletionsEndpoint("p", VENDORS["openai"].dialect, "sk-ours", False)
USAGE = {"prompt_tokens": 2, "completion_tokens": 3, "total_tokens": 5}
CALL = Call("unknown-model", b'{"prompt":"a"}', 5.0)


def answer_of(*choices: Any, **fields: Any) -> bytes:
    return orjson.dumps({"id": "a", "object": "text_completion", "choices": choices, **fields})


def failure_of(answer: bytes) -> UpstreamError:
    found = ENDPOINT.whole(answer, {})
    assert isinstance(found, UpstreamError)
    return found


def test_the_request_is_sent_as_it_is_with_our_model_and_what_was_reserved() -> None:
    body = b'{"model":"x","prompt":[1,2],"suffix":"z","n_predict":99,"best_of":2.0,"max_cost":1}'

    fitted = ENDPOINT.fitted(Call("gpt-5", body, 5.0, output_tokens=9))

    assert fitted.fields == {"model": "gpt-5", "prompt": [1, 2], "suffix": "z", "best_of": 2, "max_tokens": 9}
    assert fitted.dropped == ()


def test_a_whole_answer_tells_its_usage_or_how_much_text_there_is() -> None:
    told = ENDPOINT.whole(answer_of(completion_choice(0, "Hi", "stop"), usage=USAGE), {})
    silent = ENDPOINT.whole(answer_of(completion_choice(0, "Hi", "stop")), {})

    assert isinstance(told, WholeAnswer)
    assert isinstance(silent, WholeAnswer)
    assert told.usage == Usage(2, 3)
    assert (silent.usage, silent.chars) == (None, 2)


@pytest.mark.parametrize(
    "answer",
    [
        b"[]",
        answer_of(),
        answer_of(1),
        answer_of({"index": 0, "message": {"content": "a chat"}, "finish_reason": "stop"}),
        answer_of(completion_choice(0, "Hi", "stop"), completion_choice(1, "Hi", None)),
        answer_of(completion_choice(0, "Hi", "abort")),
    ],
)
def test_an_answer_that_is_not_whole_is_a_failure(answer: bytes) -> None:
    assert failure_of(answer).failure is FailureKind.BROKEN


def test_a_stream_is_whole_when_each_choice_of_each_prompt_has_ended() -> None:
    reader = ENDPOINT.reader(CALL, {"prompt": ["a", "b"], "n": 2}, 1e6)
    for n in range(4):
        assert not reader.is_complete
        reader.feed(frame_of({"choices": [completion_choice(n, "Hi", None)]}))
        reader.feed(frame_of({"choices": [completion_choice(n, "", "stop")]}))

    assert reader.is_complete
    assert reader.shortfall is None


def test_a_stream_begins_with_its_first_word_and_hides_a_usage_that_nobody_wants() -> None:
    reader = ENDPOINT.reader(CALL, {"prompt": "a"}, 1e6)
    empty = reader.feed(frame_of({"choices": [completion_choice(0, "", None)]}))
    word = reader.feed(frame_of({"choices": [completion_choice(0, "Hi", "stop")]}))
    usage = reader.feed(frame_of({"choices": [], "usage": USAGE}))

    assert (reader.has_begun(empty), reader.has_begun(word), usage) == (False, True, b"")
    assert reader.usage == Usage(2, 3)


def test_what_came_as_the_other_is_made_into_what_was_asked_for() -> None:
    answer = answer_of(completion_choice(0, "Hi", "stop"), usage=USAGE)

    spread = ENDPOINT.spread(answer, {})
    assert isinstance(spread, bytes)
    assert [chunk["choices"] for chunk in chunks_in(spread)] == [[completion_choice(0, "Hi", "stop")], []]
    gathered = ENDPOINT.gathered(CALL, spread, {"prompt": "a"})
    assert isinstance(gathered, bytes)
    assert orjson.loads(gathered) == orjson.loads(answer)
    assert isinstance(ENDPOINT.spread(b"[]", {}), UpstreamError)
    assert isinstance(ENDPOINT.gathered(CALL, spread[:20], {"prompt": "a"}), UpstreamError)
