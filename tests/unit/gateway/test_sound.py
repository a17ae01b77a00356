"""What is reserved for sound bounds what its vendor can charge, whatever its caller wrote."""

import random
from typing import Any

import orjson
import pytest

from serve_app.formats.form import Form, SpooledFile, Upload
from serve_app.formats.openai_speech import OPENAI_SPEECH
from serve_app.formats.openai_transcription import OPENAI_TRANSCRIPTION
from serve_app.formats.route_question import RouteQuestion
from serve_app.formats.sound_request import SoundRequest
from serve_app.gateway.affordable_targets import most_usage, worst_at
from serve_app.gateway.request import GatewayRequest, Operation
from serve_app.pricing.price import Price
from serve_app.pricing.usage import Usage
from serve_app.providers.base import Answer
from serve_app.routing.requirements import Requirements
from serve_app.routing.target import Target, targets_of
from serve_app.routing.target_stats import TargetStats
from tests.support.clock import FakeClock
from tests.support.harness import Harness, ListedProvider
from tests.support.settings import settings
from tests.support.sounds import mp3, opus, wav

PRICES = [
    Price(0, 0, second=100_000),
    Price(2_500_000_000, 10_000_000_000, audio_input=6_000_000_000),
    Price(2_500_000_000, 10_000_000_000, second=100_000),
    Price(600_000_000, 10_000_000_000, audio_output=12_000_000_000),
    Price(0, 0, character=15_000),
]
PROVIDER: dict[str, Any] = {
    "id": "one",
    "type": "openai_compatible",
    "base_url": "http://localhost:1",
    "models": [{"model_id": "listens", "task": "transcription"}, {"model_id": "speaks", "task": "speech"}],
}
CONFIG = settings({"llm_providers": [PROVIDER], "default_models": {}})
LISTENS, SPEAKS = targets_of(CONFIG)


def requirements(content: SoundRequest) -> Requirements:
    harness = Harness(CONFIG, {"one": ListedProvider(Answer(b"{}", None, 0.1))}, FakeClock())
    is_speech = not content.files
    request = GatewayRequest(
        "r",
        Operation.SPEECH if is_speech else Operation.TRANSCRIPTION,
        content,
        format=OPENAI_SPEECH if is_speech else OPENAI_TRANSCRIPTION,
    )
    return harness._reader.read(request)


def transcript(content: bytes, **fields: str) -> Requirements:
    upload = Upload("file", "a", None, SpooledFile.holding(content))
    return requirements(OPENAI_TRANSCRIPTION.parse_form(Form(tuple(fields.items()), (upload,))))


def speech(text: str, **fields: Any) -> Requirements:
    return requirements(OPENAI_SPEECH.parse(orjson.dumps({"input": text, **fields})))


def reserved(price: Price, target: Target, needs: Requirements) -> int:
    return price.cost(worst_at(price, most_usage(target, needs), needs))


@pytest.mark.parametrize("price", PRICES[:3], ids=str)
@pytest.mark.parametrize("seed", range(20))
def test_a_transcript_costs_at_most_what_was_reserved(seed: int, price: Price) -> None:
    rng = random.Random(seed)
    true_s = rng.uniform(0.1, 300)
    lies = bytearray(wav(true_s))
    lies[40:44] = rng.randbytes(4)  # the size that the header says
    frames = round(true_s / (576 / 24_000))
    in_ogg = opus(0.1, round(true_s * 750) + 200)
    sound = rng.choice([bytes(lies), mp3(frames, b"\xff\xf3\x14\xc0", 24), in_ogg])
    needs = transcript(sound, prompt="x" * rng.randrange(100))

    billed = [
        Usage(seconds=round(true_s)),
        Usage(len("x" * 99), round(15 * true_s), audio_input=round(32 * true_s)),
    ]

    bound = reserved(price, LISTENS, needs)
    assert all(price.cost(usage) <= bound for usage in billed)


@pytest.mark.parametrize("price", PRICES[3:], ids=str)
@pytest.mark.parametrize("text", ["Hello!", "word " * 800, "这是一个测试。" * 300])
@pytest.mark.parametrize("speed", [0.25, 1, 4])
def test_speech_costs_at_most_what_was_reserved(price: Price, text: str, speed: float) -> None:
    needs = speech(text, speed=speed)
    usual_s = len(text.encode()) / 15 / min(speed, 1)

    billed = Usage(len(text), audio_output=round(25 * usual_s), characters=len(text))

    assert price.cost(billed) <= reserved(price, SPEAKS, needs)


def test_what_routing_expects_is_what_the_header_says() -> None:
    needs = transcript(opus(30, 60_000))

    assert needs.seconds == 30
    assert needs.extent is not None
    assert needs.extent.seconds >= 80  # 60,000 bytes at 6 kbit/s


@pytest.mark.parametrize(("task", "target"), [("transcription", LISTENS), ("speech", SPEAKS)])
def test_a_question_to_the_router_is_about_a_minute_of_sound(task: str, target: Target) -> None:
    harness = Harness(CONFIG, {"one": ListedProvider(Answer(b"{}", None, 0.1))}, FakeClock())
    asked = GatewayRequest("", Operation.ROUTE, RouteQuestion(task))

    needs = harness._reader.read(asked)
    cost = TargetStats({target.name: Price(0, 0, second=1000, character=1000)}.get).cost(target, needs)

    assert cost == (60_000 if task == "transcription" else 960_000)


def test_a_short_sound_is_reserved_at_the_shortest_that_is_billed() -> None:
    needs = transcript(wav(0.5))

    assert needs.extent is not None
    assert (needs.seconds, needs.extent.seconds) == (1, 10)
