"""Streams of Responses under an id of the gateway's own."""

from typing import Any

import orjson
import pytest

from serve_app.formats.openai_responses.events import event_of, events_in, frames_of
from serve_app.formats.openai_responses.kept_stream import KeptStream, Passed
from tests.support.responses import answer, said

OURS = {"id": "resp_ours", "store": True, "previous_response_id": None}
STREAM = frames_of(answer(said("hello")))


def kept(most: int = 10_000) -> KeptStream:
    return KeptStream(OURS, most)


def told(block: bytes) -> list[dict[str, Any]]:
    return [payload["response"] for payload in events_in(block) if "response" in payload]


@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_every_event_with_the_response_has_our_id(size: int) -> None:
    frames = [frame + b"\n\n" for frame in STREAM.split(b"\n\n") if frame]
    blocks = [b"".join(frames[at : at + size]) for at in range(0, len(frames), size)]
    stream = kept()

    passed = [stream.feed(block) for block in blocks]
    [last] = [one.last for one in passed if one.last is not None]
    shown = b"".join(one.before for one in passed) + event_of(stream.renamed(last))

    assert {response["id"] for response in told(shown)} == {"resp_ours"}
    ours = [{**payload, "response": {**payload["response"], **OURS}} if "response" in payload else payload
            for payload in events_in(STREAM)]  # fmt: skip
    assert list(events_in(shown)) == ours
    assert stream.whole(last)["output"] == [said("hello")]


@pytest.mark.parametrize(
    "block",
    [
        b'data: {"type":"response.output_text.delta","delta":"\\"response\\": {}"}\n\n',
        b": a comment\n\n",
        b"data: [DONE]\n\n",
        b'data: {"response": nonsense\n\n',
        b'data: {"response": "a text"}\n\n',
    ],
)
def test_what_has_no_response_goes_on_as_it_is(block: bytes) -> None:
    assert kept().feed(block) == Passed(block)


def test_what_follows_the_last_event_comes_after_it() -> None:
    passed = kept().feed(STREAM + b": a comment\n\n")

    assert passed.last is not None
    assert passed.after == b": a comment\n\n"


def test_an_output_that_the_last_event_leaves_out_is_gathered() -> None:
    stream = kept()
    last = orjson.loads(STREAM.strip().rpartition(b"data: ")[2])
    emptied = event_of({**last, "response": {**last["response"], "output": []}})

    passed = stream.feed(STREAM[: STREAM.rindex(b"event:")] + emptied)

    assert passed.last is not None
    assert stream.whole(passed.last)["output"] == [said("hello")]
    assert not stream.is_too_large


def test_items_are_gathered_up_to_a_size() -> None:
    stream = kept(most=50)

    stream.feed(STREAM)

    assert stream.is_too_large


def test_a_number_of_many_digits_keeps_them() -> None:
    block = b'data: {"type":"response.created","response":{"id":"x","n":123456789012345678901234567890}}\n\n'

    assert b"123456789012345678901234567890" in kept().feed(block).before


def test_an_event_that_cannot_be_written_again_goes_on_as_it_is() -> None:
    block = b'data: {"type":"response.created","response":' + b'{"a":' * 300 + b"1" + b"}" * 301 + b"\n\n"

    assert kept().feed(block) == Passed(block)
