"""OpenAI's text completions: what is read of a request, and the chunks of a stream."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve_app.errors import InvalidRequest, ModelNotAllowed
from serve_app.formats.base import ChatFormat
from serve_app.formats.json_body import InvalidField
from serve_app.formats.openai_chat.chunks import DONE, chunks_in, frame_of
from serve_app.formats.openai_completions.chunks import frames_of, says_something, whole_of
from serve_app.formats.openai_completions.format import OPENAI_COMPLETIONS
from serve_app.pricing.usage import Usage
from serve_app.providers.catalogue.wire_format import WireFormat
from tests.support.upstream import completion_choice


def body_of(prompt: Any = "def add(", **fields: Any) -> bytes:
    return orjson.dumps({"model": "m", "prompt": prompt, **fields})


def chunk_of(*choices: dict[str, Any], **fields: Any) -> bytes:
    return frame_of({"id": "a", "object": "text_completion", "choices": choices, **fields})


def test_it_is_a_format_with_streams() -> None:
    assert isinstance(OPENAI_COMPLETIONS, ChatFormat)
    assert OPENAI_COMPLETIONS.name is WireFormat.OPENAI_COMPLETIONS
    assert OPENAI_COMPLETIONS.end == DONE
    assert OPENAI_COMPLETIONS.count_images(body_of()) == 0


@pytest.mark.parametrize(
    ("prompt", "tokens", "prompts"),
    [
        ("12345678", 2, 1),
        ("ü" * 4, 2, 1),
        (["1234", "12345678"], 3, 2),
        ([1, 2, 3.0], 3, 1),
        ([[1, 2], [3]], 3, 2),
        (["1234", [1, 2]], 3, 2),
    ],
)
def test_a_prompt_is_a_text_or_tokens_or_several_of_these(prompt: Any, tokens: int, prompts: int) -> None:
    request = OPENAI_COMPLETIONS.parse(body_of(prompt))

    assert (request.input_tokens, request.prompts, request.answers) == (tokens, prompts, prompts)


@pytest.mark.parametrize(
    "prompt", [None, 1, True, {}, [], [[]], ["a", 1], [1, -1], [1.5], [True], [["a"]], [None], ["a"] * 2049]
)
def test_any_other_prompt_is_refused(prompt: Any) -> None:
    with pytest.raises(InvalidField) as refused:
        OPENAI_COMPLETIONS.parse(body_of(prompt))

    assert refused.value.param == "prompt"


@pytest.mark.parametrize(
    "fields",
    [
        {"suffix": 1},
        {"echo": "yes"},
        {"best_of": 0},
        {"n": 129},
        {"logprobs": True},
        {"max_tokens": 0},
        {"stream": 1},
        {"stop": [1]},
        {"Best_Of": 3},
    ],
)
def test_a_field_of_the_wrong_kind_is_refused_by_its_name(fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest) as refused:
        OPENAI_COMPLETIONS.parse(body_of(**fields))

    assert [refused.value.param] == list(fields)


@pytest.mark.parametrize(
    "name",
    ["messages", "tools", "functions", "web_search_options", "modalities", "audio", "prediction"],
)
def test_what_only_a_chat_has_is_refused_since_a_server_might_answer_it(name: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        OPENAI_COMPLETIONS.parse(body_of(**{name: [{"role": "user"}]}))

    assert (refused.value.status, refused.value.param) == (400, name)
    assert OPENAI_COMPLETIONS.parse(body_of(**{name: None}))


def test_a_search_of_the_vendors_has_no_bound() -> None:
    assert OPENAI_COMPLETIONS.parse(body_of(plugins=[{"id": "web"}])).tools.unbounded == "plugins"


def test_every_answer_to_every_prompt_is_counted_also_those_that_are_not_shown() -> None:
    request = OPENAI_COMPLETIONS.parse(body_of(["a", "b"], n=2, best_of=5, max_tokens=30))

    assert (request.answers, request.output_limit, request.output_tokens) == (10, 30, 300)


def test_without_a_bound_an_answer_has_what_openai_gives_it() -> None:
    assert OPENAI_COMPLETIONS.parse(body_of()).output_limit == 16


def test_the_prompt_is_no_parameter() -> None:
    assert OPENAI_COMPLETIONS.parse(body_of(echo=True)).parameters == {"echo": True}


@pytest.mark.parametrize(
    ("prompt", "last", "with_text"),
    [
        ("a", "a", "Facts\n\na"),
        (["a", "b"], "b", ["Facts\n\na", "Facts\n\nb"]),
        ([1, 2], "", [1, 2]),
        ([[1], [2]], "", [[1], [2]]),
    ],
)
def test_a_text_for_the_model_stands_before_every_prompt_that_is_one(
    prompt: Any, last: str, with_text: Any
) -> None:
    body = body_of(prompt)

    assert OPENAI_COMPLETIONS.last_user_text(body) == last
    assert orjson.loads(OPENAI_COMPLETIONS.with_system_text(body, "Facts"))["prompt"] == with_text


def test_the_chunks_of_a_block_say_what_is_in_them() -> None:
    usage = {"prompt_tokens": 2, "completion_tokens": 1, "total_tokens": 3}
    block = chunk_of(completion_choice(0, "Hi", None)) + chunk_of(completion_choice(0, "", "stop"))
    block += chunk_of(completion_choice(1, "x", None)) + chunk_of(usage=usage)

    word, end, other, told = OPENAI_COMPLETIONS.chunks(block)

    assert (word.text, word.is_plain, word.is_end, word.answer_id) == ("Hi", True, False, "a")
    assert (end.text, end.is_end, end.is_needed) == ("", True, True)
    assert not other.is_plain
    assert told.usage == Usage(2, 1)
    assert OPENAI_COMPLETIONS.count_chars(block) == 3
    [again] = chunks_in(OPENAI_COMPLETIONS.rewritten(word, "i", "b"))
    assert (again["id"], again["choices"][0]["text"]) == ("b", "i")


def test_what_the_gateway_adds_to_an_answer_is_found_in_it() -> None:
    first = chunk_of(completion_choice(0, "Hi", None))

    [begun] = chunks_in(OPENAI_COMPLETIONS.first_block(first, {"x": 1}))
    [usage] = chunks_in(OPENAI_COMPLETIONS.usage_block(first, Usage(2, 1)))

    assert begun["x"] == 1
    assert (usage["id"], usage["object"], usage["choices"]) == ("a", "text_completion", [])
    assert usage["usage"] == {"prompt_tokens": 2, "completion_tokens": 1, "total_tokens": 3}
    assert orjson.loads(OPENAI_COMPLETIONS.response(b'{"id":"1"}', {"x": 1})) == {"id": "1", "x": 1}
    error = ModelNotAllowed("m", [])
    [broken] = chunks_in(OPENAI_COMPLETIONS.error_block(error))
    assert broken == orjson.loads(OPENAI_COMPLETIONS.error(error))


def test_an_answer_and_its_stream_are_made_of_each_other() -> None:
    logprobs = {"tokens": ["Hi"], "token_logprobs": [-0.1]}
    choices = [
        {**completion_choice(0, "Hi", "stop"), "logprobs": logprobs},
        completion_choice(1, "x", "length"),
    ]
    answer = {"id": "a", "object": "text_completion", "choices": choices, "usage": {"prompt_tokens": 1}}

    assert whole_of(frames_of(answer)) == answer
    pieces = chunk_of(completion_choice(0, "a", None)) + chunk_of(completion_choice(0, "b", "stop"))
    assert whole_of(pieces)["choices"] == [completion_choice(0, "ab", "stop")]


@pytest.mark.parametrize(
    ("block", "begun"),
    [
        (chunk_of(completion_choice(0, "", None)), False),
        (chunk_of(completion_choice(0, "a", None)), True),
        (chunk_of(completion_choice(0, "", "stop")), True),
        (frame_of({"ping": 1}), False),
    ],
)
def test_an_answer_begins_with_a_word_or_an_end(block: bytes, begun: bool) -> None:
    assert says_something(block) is begun


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
CHOICES = st.fixed_dictionaries(
    {}, optional=dict.fromkeys(("index", "text", "logprobs", "finish_reason"), JSON)
)


@given(st.fixed_dictionaries({}, optional={"choices": JSON | st.lists(CHOICES), "usage": JSON, "id": JSON}))
def test_no_chunk_of_an_upstream_is_too_strange_to_be_read(chunk: dict[str, Any]) -> None:
    block = frame_of(chunk)

    for read in OPENAI_COMPLETIONS.chunks(block):
        OPENAI_COMPLETIONS.rewritten(read, "x", "a")
    OPENAI_COMPLETIONS.count_chars(block)
    says_something(block)
    whole_of(block)
    frames_of(chunk)


@given(
    st.dictionaries(st.sampled_from(["prompt", "n", "best_of", "suffix", "stop", "logprobs", "stream"]), JSON)
)
def test_every_body_is_read_or_refused(fields: dict[str, Any]) -> None:
    try:
        request = OPENAI_COMPLETIONS.parse(orjson.dumps(fields))
    except InvalidRequest:
        return
    assert request.output_tokens >= request.answers >= request.prompts >= 1
