"""Speech and transcripts through a whole gateway over real HTTP, with the official client."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import httpx
import openai
import pytest
import uvicorn

from serve_app.api.app import build_api
from serve_app.clock import SystemClock
from serve_app.config.settings import Settings
from serve_app.events import AttemptFailed, RequestFailed, RequestServed
from serve_app.observability.metrics import exposition
from serve_app.providers.factory import build_provider
from tests.support.harness import Harness
from tests.support.keyrings import keyring
from tests.support.sounds import opus, wav
from tests.support.upstream import MP3, ScriptedUpstream

pytestmark = pytest.mark.anyio

TEXT = "one two three four five"
SPEECH = {"model": "tts-1", "input": TEXT, "voice": "alloy"}
MODELS = [
    {"model_id": "tts-1", "task": "speech"},
    {"model_id": "whisper-1", "task": "transcription"},
    {"model_id": "gpt-4o", "task": "chat_smart"},
]


class Gateway:
    """A gateway in front of two upstreams, `first` and `second`, with the same models."""

    def __init__(self, url: str, harness: Harness, upstreams: list[ScriptedUpstream]) -> None:
        self.url = url
        self.harness = harness
        self.first, self.second = upstreams
        self.http = httpx.AsyncClient(base_url=url, trust_env=False, timeout=30)
        self.openai = openai.AsyncOpenAI(
            base_url=f"{url}/v1",
            api_key="none",
            max_retries=0,
            http_client=httpx.AsyncClient(trust_env=False),
        )

    async def speech(self, **fields: Any) -> httpx.Response:
        return await self.http.post("/v1/audio/speech", json={**SPEECH, **fields})

    async def transcript(
        self, content: bytes = wav(2), path: str = "transcriptions", name: str = "a.wav", **fields: Any
    ) -> httpx.Response:
        files = {"file": (name, content, "audio/wav")}
        return await self.http.post(f"/v1/audio/{path}", data={"model": "whisper-1", **fields}, files=files)

    def told(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.harness.events if isinstance(event, kind)]

    @property
    def served(self) -> RequestServed:
        return self.told(RequestServed)[-1]


@pytest.fixture
async def start() -> AsyncIterator[Callable[..., Any]]:
    """Starts a gateway; more keys of the configuration may be given."""
    async with AsyncExitStack() as stack:

        async def begin(models: list[dict[str, Any]] = MODELS, **more: Any) -> Gateway:
            upstreams = [await stack.enter_async_context(ScriptedUpstream()) for _ in range(2)]
            settings = Settings.model_validate(
                {
                    "llm_providers": [
                        {
                            "id": name,
                            "type": "openai_compatible",
                            "base_url": f"{upstream.url}/v1",
                            "priority": place,
                            "retry": {"max_retries": 0},
                            "models": models,
                            **more.pop(name, {}),
                        }
                        for place, (name, upstream) in enumerate(
                            zip(("first", "second"), upstreams, strict=True), 1
                        )
                    ],
                    "default_models": {},
                    **more,
                }
            )
            clock = SystemClock()
            providers: Any = {p.id: build_provider(p, {}, clock) for p in settings.llm_providers}
            for provider in providers.values():
                stack.push_async_callback(provider.aclose)
            harness = Harness(settings, providers, clock)
            await harness.control.start()
            stack.push_async_callback(harness.control.stop)
            app = build_api(harness.running, keyring(), exposition)
            listening = socket.create_server(("127.0.0.1", 0))
            server = uvicorn.Server(uvicorn.Config(app, log_level="critical", lifespan="off"))  # type: ignore[arg-type]
            serving = asyncio.create_task(server.serve([listening]))
            while not server.started:  # noqa: ASYNC110 (uvicorn has no event for it)
                await asyncio.sleep(0.01)

            async def stop() -> None:
                server.should_exit = True
                await serving

            stack.push_async_callback(stop)
            gateway = Gateway(f"http://127.0.0.1:{listening.getsockname()[1]}", harness, upstreams)
            stack.push_async_callback(gateway.http.aclose)
            stack.push_async_callback(gateway.openai.close)
            return gateway

        yield begin


Start = Callable[..., Any]


# Speech


async def test_speech_comes_as_it_is_with_the_upstreams_type_and_its_routing(start: Start) -> None:
    gateway = await start()

    answer = await gateway.speech()

    assert answer.status_code == 200
    assert answer.content == 5 * MP3
    assert answer.headers["content-type"] == "audio/mpeg"
    assert answer.headers["x-sekha-provider"] == "first"
    assert answer.headers["x-sekha-model"] == "tts-1"
    assert gateway.first.last.json == SPEECH
    assert gateway.served.operation == "speech"
    assert gateway.served.task == "speech"


async def test_speech_is_charged_by_its_characters(start: Start) -> None:
    gateway = await start()

    await gateway.speech()

    usage = gateway.served.usage
    assert usage.characters == len(TEXT)
    assert usage.estimated
    assert gateway.served.cost == len(TEXT) * 15_000  # nano-dollars, as the price list has tts-1


async def test_the_official_client_streams_speech(start: Start) -> None:
    gateway = await start()
    gateway.first.mode = {"chunk_delay_s": 0.05}

    pieces = []
    async with gateway.openai.audio.speech.with_streaming_response.create(**SPEECH) as answer:
        async for piece in answer.iter_bytes():
            pieces.append(piece)

    assert b"".join(pieces) == 5 * MP3
    assert len(pieces) > 1  # as it comes, not when it is whole


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 500},
        {"status": 429},
        {"reset": True},
        {"html": True},
        {"empty": True},
        {"cut_after": 0},
        {"content_type": "text/event-stream"},
        {"error_in_answer": "server_error"},
    ],
)
async def test_speech_that_fails_before_its_first_sound_comes_from_the_next(
    start: Start, fault: dict[str, Any]
) -> None:
    gateway = await start()
    gateway.first.mode = fault

    answer = await gateway.speech()

    assert answer.status_code == 200
    assert answer.content == 5 * MP3
    assert answer.headers["x-sekha-provider"] == "second"
    (failed,) = gateway.told(AttemptFailed)
    assert failed.usage is None


async def test_an_error_that_is_called_sound_is_an_error(start: Start) -> None:
    gateway = await start()
    gateway.first.mode = {"error_in_answer": "invalid_voice"}

    answer = await gateway.speech(model="first/tts-1")

    assert answer.status_code == 502
    assert answer.json()["error"]["message"] == "scripted failure invalid_voice"


async def test_speech_that_is_cut_off_breaks_the_connection(start: Start) -> None:
    gateway = await start()
    gateway.first.mode = {"cut_after": 3, "chunk_delay_s": 0.02}
    heard: list[bytes] = []

    async def listen() -> None:
        async with gateway.http.stream("POST", "/v1/audio/speech", json=SPEECH) as answer:
            assert answer.status_code == 200
            heard.extend([piece async for piece in answer.aiter_bytes()])

    with pytest.raises(httpx.RemoteProtocolError):
        await listen()

    (failed,) = gateway.told(AttemptFailed)
    assert failed.usage.characters == len(TEXT)  # the vendor has been asked for all of it
    assert gateway.told(RequestFailed)[0].status == 502


async def test_speech_that_falls_silent_breaks_the_connection(start: Start) -> None:
    gateway = await start(first={"stream_idle_timeout_s": 0.2})
    gateway.first.mode = {"stall_after": 2}

    with pytest.raises(httpx.RemoteProtocolError):
        await gateway.speech()


async def test_speech_above_the_limit_of_an_answer_breaks_the_connection(start: Start) -> None:
    gateway = await start(first={"max_answer_mb": 0.001})

    with pytest.raises(httpx.RemoteProtocolError):
        await gateway.speech()


async def test_speech_that_is_held_back_comes_from_who_finishes_it(start: Start) -> None:
    gateway = await start()
    gateway.first.mode = {"cut_after": 3}

    answer = await gateway.http.post(
        "/v1/audio/speech", json=SPEECH, headers={"x-sekha-on-stream-failure": "hold"}
    )

    assert answer.content == 5 * MP3
    assert answer.headers["x-sekha-provider"] == "second"
    assert answer.headers["content-type"] == "audio/mpeg"


@pytest.mark.parametrize(
    ("fields", "status", "param"),
    [
        ({"input": None}, 422, "input"),
        ({"input": ""}, 422, "input"),
        ({"input": 7}, 422, "input"),
        ({"input": "x" * 100_001}, 422, "input"),
        ({"response_format": "midi"}, 422, "response_format"),
        ({"speed": 5}, 422, "speed"),
        ({"stream_format": "sse"}, 400, "stream_format"),
        ({"stream": True}, 400, "stream"),
        ({"voice": {"id": "voice_1"}}, 400, "voice"),
        ({"voice": 3}, 422, "voice"),
        ({"model": "gpt-4o"}, 404, "model"),
        ({"model": "nobody"}, 404, "model"),
        ({"api_base": "http://elsewhere"}, 400, "api_base"),
    ],
)
async def test_speech_that_cannot_be_is_refused(
    start: Start, fields: dict[str, Any], status: int, param: str
) -> None:
    gateway = await start()

    answer = await gateway.speech(**fields)

    assert answer.status_code == status, answer.text
    assert answer.json()["error"]["param"] == param
    assert not gateway.first.asked


async def test_without_a_model_the_gateway_chooses_one_for_the_task(start: Start) -> None:
    gateway = await start()

    spoken = await gateway.http.post("/v1/audio/speech", json={"input": "hi", "voice": "alloy"})
    written = await gateway.transcript(model="auto")

    assert spoken.headers["x-sekha-model"] == "tts-1"
    assert written.headers["x-sekha-model"] == "whisper-1"


# Transcripts


async def test_a_transcript_passes_with_its_file_and_its_fields(start: Start) -> None:
    gateway = await start()
    sound = wav(2)

    answer = await gateway.transcript(
        sound, name='Grüße an "dich".wav', language="de", **{"timestamp_granularities[]": ["word", "segment"]}
    )

    assert answer.status_code == 200, answer.text
    assert answer.json()["text"].startswith(f"{len(sound)} bytes of Grüße")
    assert answer.json()["sekha_metadata"]["routing"]["task"] == "transcription"
    seen = gateway.first.last
    assert seen.path == "/v1/audio/transcriptions"
    assert seen.json["file"]["content"] == sound
    assert seen.json["file"]["content_type"] == "audio/wav"
    assert seen.json["model"] == "whisper-1"
    assert seen.json["language"] == "de"
    assert seen.json["timestamp_granularities[]"] == ["word", "segment"]


async def test_a_translation_goes_to_its_own_path(start: Start) -> None:
    gateway = await start()

    answer = await gateway.transcript(path="translations")

    assert answer.status_code == 200
    assert gateway.first.last.path == "/v1/audio/translations"
    assert gateway.served.operation == "translation"


async def test_the_official_client_reads_every_format(start: Start) -> None:
    gateway = await start()
    ask = gateway.openai.audio.transcriptions.create
    file = ("a.wav", wav(1))

    plain = await ask(file=file, model="whisper-1")
    detailed = await ask(
        file=file, model="whisper-1", response_format="verbose_json", timestamp_granularities=["word"]
    )
    text = await ask(file=file, model="whisper-1", response_format="text")
    srt = await ask(file=file, model="whisper-1", response_format="srt")
    vtt = await ask(file=file, model="whisper-1", response_format="vtt")
    english = await gateway.openai.audio.translations.create(file=file, model="whisper-1")

    said = plain.text
    assert said.endswith("bytes of a.wav")
    assert (detailed.text, detailed.duration, english.text) == (said, 3.2, said)
    assert text == f"{said}\n"
    assert srt.startswith("1\n00:00")
    assert vtt.startswith("WEBVTT")


@pytest.mark.parametrize("format_", ["text", "srt", "vtt"])
async def test_a_transcript_in_text_has_the_upstreams_type(start: Start, format_: str) -> None:
    gateway = await start()

    answer = await gateway.transcript(response_format=format_)

    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert b"sekha_metadata" not in answer.content
    assert answer.headers["x-sekha-provider"] == "first"


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 500},
        {"reset": True},
        {"html": True},
        {"empty": True},
        {"malformed": True},
        {"cut_after": 1},
        {"oversize": 2_000_000},
        {"error_in_answer": "server_error"},
    ],
)
async def test_a_transcript_that_fails_is_made_by_the_next_from_the_same_file(
    start: Start, fault: dict[str, Any]
) -> None:
    gateway = await start(first={"max_answer_mb": 1})
    gateway.first.mode = fault
    sound = wav(60)

    answer = await gateway.transcript(sound)

    assert answer.status_code == 200, answer.text
    assert answer.headers["x-sekha-provider"] == "second"
    assert gateway.first.last.json["file"]["content"] == sound
    assert gateway.second.last.json["file"]["content"] == sound


@pytest.mark.parametrize(
    ("fault", "format_"), [({"html": True}, "text"), ({"cut_after": 1}, "srt"), ({"status": 502}, "vtt")]
)
async def test_a_transcript_in_text_that_fails_is_made_by_the_next(
    start: Start, fault: dict[str, Any], format_: str
) -> None:
    gateway = await start()
    gateway.first.mode = fault

    answer = await gateway.transcript(response_format=format_)

    assert answer.status_code == 200
    assert answer.headers["x-sekha-provider"] == "second"


async def test_a_transcript_is_charged_by_the_seconds_that_are_reported_or_known(start: Start) -> None:
    gateway = await start()

    await gateway.transcript(wav(2.5))
    unreported = gateway.served
    await gateway.transcript(wav(2.5), response_format="verbose_json")
    by_duration = gateway.served
    gateway.first.mode = {"usage": {"type": "duration", "seconds": 7}}
    await gateway.transcript(wav(2.5))
    reported = gateway.served

    assert (unreported.usage.seconds, unreported.usage.estimated) == (3, True)
    assert (by_duration.usage.seconds, by_duration.usage.estimated) == (4, False)
    assert (reported.usage.seconds, reported.cost) == (7, 7 * 100_000)


async def test_tokens_of_a_transcript_are_charged_where_those_are_reported(start: Start) -> None:
    models = [{"model_id": "gpt-4o-transcribe", "task": "transcription"}]
    gateway = await start(models)
    gateway.first.mode = {
        "usage": {
            "type": "tokens",
            "input_tokens": 40,
            "output_tokens": 10,
            "total_tokens": 50,
            "input_token_details": {"audio_tokens": 38, "text_tokens": 2},
        }
    }

    await gateway.transcript(model="gpt-4o-transcribe")

    assert gateway.served.usage.audio_input == 38
    assert gateway.served.cost == (40 * 2500) + (10 * 10_000)


@pytest.mark.parametrize(
    ("change", "status", "param"),
    [
        ({"content": b""}, 400, "file"),
        ({"response_format": "pdf"}, 422, "response_format"),
        ({"temperature": "hot"}, 422, "temperature"),
        ({"temperature": "1.5"}, 422, "temperature"),
        ({"stream": "true"}, 400, "stream"),
        ({"url": "http://elsewhere/a.wav"}, 400, "url"),
        ({"api_base": "http://elsewhere"}, 400, "api_base"),
        ({"metadata[api_key]": "x", "x": '{"y": [{"base_url": "x"}]}'}, 400, "x.y[0].base_url"),
        ({"model": ["whisper-1", "whisper-1"]}, 400, "model"),
        ({"model": "gpt-4o"}, 404, "model"),
        ({"max_cost": "much"}, 422, "max_cost"),
        ({"provider": "[1]"}, 422, "provider"),
        ({"path": "translations", "response_format": "diarized_json"}, 422, "response_format"),
    ],
)
async def test_a_form_that_asks_for_what_cannot_be_is_refused(
    start: Start, change: dict[str, Any], status: int, param: str
) -> None:
    gateway = await start()

    answer = await gateway.transcript(**change)

    assert answer.status_code == status, answer.text
    assert answer.json()["error"]["param"] == param
    assert not gateway.first.asked


async def test_a_request_without_its_one_file_is_refused(start: Start) -> None:
    gateway = await start()
    path, data = "/v1/audio/transcriptions", {"model": "whisper-1"}
    sound = ("a.wav", wav(1))

    refused = [
        await gateway.http.post(path, json=data),
        await gateway.http.post(path, data=data),
        await gateway.http.post(path, data=data, files={"audio": sound}),
        await gateway.http.post(path, data=data, files=[("file", sound), ("file", sound)]),
        await gateway.http.post(path, data={**data, "file": "abc"}, files={"x": ("x", b"")}),
    ]

    assert [(r.status_code, r.json()["error"]["param"]) for r in refused] == [
        (415, "content-type"),
        (415, "content-type"),
        (422, "file"),
        (400, "file"),
        (400, "file"),
    ]


async def test_a_file_above_the_limit_is_refused(start: Start) -> None:
    gateway = await start(router={"max_upload_mb": 0.1})

    answer = await gateway.transcript(wav(60))

    assert answer.status_code == 413
    assert answer.json()["error"]["code"] == "request_too_large"


# Budgets


async def test_a_sound_of_unknown_length_is_refused_under_a_budget_only(start: Start) -> None:
    free, limited = await start(), await start(budgets=[{"limit": 100}])
    unknown = b"no kind of sound that is known"

    assert (await free.transcript(unknown)).status_code == 200
    refused = await limited.transcript(unknown)

    assert refused.status_code == 402
    assert "length of the sound is unknown" in refused.json()["error"]["message"]
    assert refused.json()["error"]["param"] == "file"


async def test_what_is_reserved_for_a_sound_rests_on_what_is_there(start: Start) -> None:
    # A cent pays for 100 seconds. An Ogg file of 150,000 bytes may hold 200, whatever its header says.
    budgets = [{"limit": 0.01}]
    honest, modest = await start(budgets=budgets), await start(budgets=budgets)

    assert (await honest.transcript(wav(90))).status_code == 200
    refused = await modest.transcript(opus(2, 150_000), name="a.ogg")

    assert refused.status_code == 402, refused.text
    assert not modest.first.asked


async def test_speech_is_reserved_by_its_characters(start: Start) -> None:
    budgets = [{"limit": 0.001}]  # pays for 66 characters

    assert (await (await start(budgets=budgets)).speech(input="x" * 60)).status_code == 200
    assert (await (await start(budgets=budgets)).speech(input="x" * 70)).status_code == 402


async def test_prices_by_the_minute_and_the_character_can_be_configured(start: Start) -> None:
    models = [
        {"model_id": "own-tts", "task": "speech", "cost_per_1k_characters": 0.5},
        {"model_id": "own-stt", "task": "transcription", "cost_per_minute": 0.6},
    ]
    gateway = await start(models)

    await gateway.speech(model="own-tts", input="12345")
    spoken = gateway.served.cost
    await gateway.transcript(wav(6), model="own-stt")

    assert spoken == 2_500_000
    assert gateway.served.cost == 7 * 10_000_000  # the header of the file counts as sound: 7 seconds begun
