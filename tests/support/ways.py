"""What a gateway keeps whichever way one comes in."""

from tests.support.api import Api, eventually, user
from tests.support.upstream import ScriptedUpstream


def assert_leaving_ends_the_stream(api: Api, upstream: ScriptedUpstream) -> None:
    """Nobody pays for tokens that nobody reads."""
    question = {
        "messages": [user('[[{"chunks": 10000, "chunk_delay_s": 0.02}]]')],
        "model": "gpt-4o",
        "stream": True,
    }
    with api.http.stream("POST", "/v1/chat/completions", json=question) as answer:
        next(answer.iter_bytes())
        # An earlier stream, whose caller has all of it, may still be closing at the upstream.
        eventually(lambda: upstream.open_streams == 1)

    eventually(lambda: upstream.open_streams == 0)


def assert_request_id_comes_back_once(api: Api) -> None:
    """Of an answer, a stream, an error and a page of the documentation."""
    mine = {"x-request-id": "my-own-id"}
    for answer in (
        api.chat(headers=mine),
        api.chat(stream=True, headers=mine),
        api.chat(model="no-such-model", headers=mine),
        api.get("/api/v1/models", headers=mine),
        api.get("/nope", headers=mine),
    ):
        assert answer.headers.get_list("x-request-id") == ["my-own-id"]
    assert len(api.chat().headers.get_list("x-request-id")) == 1
