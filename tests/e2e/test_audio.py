"""Sound through real Ray Serve and real HTTP: both transports, large files, cuts, callers who leave."""

import time
from collections.abc import Iterator
from typing import Any

import httpx
import openai
import pytest
import yaml

from serve_app.config.load import load_settings
from tests.support.api import eventually
from tests.support.commands import Command
from tests.support.serving import (
    HOST,
    ONE_REPLICA,
    Cluster,
    child_environment,
    free_port,
    gateway_config,
    inline,
)
from tests.support.sounds import wav
from tests.support.upstream import MP3, ScriptedUpstream

INLINE, HANDLE = "whisper-1", "whisper-large-v3"  # by the transport of their provider


@pytest.fixture(scope="module")
def upstream() -> Iterator[ScriptedUpstream]:
    with ScriptedUpstream() as upstream:
        yield upstream


@pytest.fixture(autouse=True)
def recovered(upstream: ScriptedUpstream) -> None:
    upstream.recover()


def config_for(upstream: str) -> dict[str, Any]:
    """Two providers at one upstream: within the router, and by a handle."""
    near = inline(
        "near",
        upstream,
        {"model_id": INLINE, "task": "transcription"},
        {"model_id": "tts-1", "task": "speech"},
    )
    far = inline(
        "far",
        upstream,
        {"model_id": HANDLE, "task": "transcription"},
        {"model_id": "tts-1-hd", "task": "speech"},
        transport="handle",
        **ONE_REPLICA,
    )
    return gateway_config(near, far, router=ONE_REPLICA, circuit_breaker={"failure_threshold": 10})


@pytest.fixture(scope="module", params=["default", "production"])
def url(
    request: pytest.FixtureRequest, upstream: ScriptedUpstream, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """Serve's own proxy in front, or `sekha serve` with HAProxy and gRPC."""
    config = config_for(upstream.url)
    if request.param == "default":
        cluster: Cluster = request.getfixturevalue("cluster")
        yield cluster.gateway(load_settings(config, {}), "audio").url
        return
    folder, port = tmp_path_factory.mktemp("serve"), free_port()
    file = folder / "gateway.yaml"
    file.write_text(yaml.safe_dump(config))
    command = ["sekha", "serve", "--config", str(file), "--port", str(port)]
    with Command(command, child_environment(), folder / "output") as running:
        running.says("is ready")
        yield f"http://{HOST}:{port}"


@pytest.fixture(scope="module")
def client(url: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client:
        yield client


SPEAKERS = pytest.mark.parametrize("model", ["tts-1", "tts-1-hd"])
LISTENERS = pytest.mark.parametrize("model", [INLINE, HANDLE])


@LISTENERS
def test_a_large_file_arrives_whole(client: openai.OpenAI, upstream: ScriptedUpstream, model: str) -> None:
    sound = wav(700, rate=16_000)  # 22 MB

    answer = client.audio.transcriptions.create(model=model, file=("talk.wav", sound))

    assert answer.text == f"{len(sound)} bytes of talk.wav"
    assert upstream.last.json["file"]["content"] == sound


@SPEAKERS
def test_speech_arrives_as_it_comes(client: openai.OpenAI, upstream: ScriptedUpstream, model: str) -> None:
    upstream.mode = {"chunk_delay_s": 0.2}
    began, first_s, heard = time.monotonic(), None, b""

    with client.audio.speech.with_streaming_response.create(
        model=model, voice="alloy", input="one two three four five six"
    ) as answer:
        assert answer.headers["content-type"] == "audio/mpeg"
        for piece in answer.iter_bytes():
            first_s = first_s or time.monotonic() - began
            heard += piece

    assert heard == 6 * MP3
    assert first_s is not None
    assert first_s < time.monotonic() - began - 0.5


@SPEAKERS
def test_speech_that_is_cut_off_does_not_look_whole(url: str, upstream: ScriptedUpstream, model: str) -> None:
    upstream.mode = {"cut_after": 3, "chunk_delay_s": 0.1}
    body = {"model": model, "voice": "alloy", "input": "one two three four five six"}

    with pytest.raises(httpx.RemoteProtocolError), httpx.Client(trust_env=False, timeout=30) as http:
        http.post(f"{url}/v1/audio/speech", json=body)


@SPEAKERS
def test_a_caller_who_leaves_ends_the_upstreams_work(
    url: str, upstream: ScriptedUpstream, model: str
) -> None:
    upstream.mode = {"chunks": 500, "chunk_delay_s": 0.05}
    body = {"model": model, "voice": "alloy", "input": "hi"}
    with (
        httpx.Client(trust_env=False, timeout=30) as http,
        http.stream("POST", f"{url}/v1/audio/speech", json=body) as answer,
    ):
        next(answer.iter_raw())

    eventually(lambda: not upstream.open_streams, within_s=5)
