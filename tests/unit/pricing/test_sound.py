"""What speech and transcripts cost: by seconds, characters or tokens, from the list and the configuration."""

from typing import Any

import pytest

from serve_app.config.model import ModelConfig
from serve_app.pricing.litellm_prices import price_of
from serve_app.pricing.price import FREE, Price
from serve_app.pricing.price_list import bundled_catalogue, target_price
from serve_app.pricing.sound import charges_tokens, speech_usage, transcript_usage
from serve_app.pricing.usage import Usage

BY_SECONDS = Price(0, 0, second=100_000)
BY_TOKENS = Price(2_500_000_000, 10_000_000_000)
BOTH = Price(2_500_000_000, 10_000_000_000, second=100_000)


def priced(task: str, model_id: str = "own", type_: str = "openai", **more: Any) -> Price | None:
    model = ModelConfig.model_validate({"model_id": model_id, "task": task, **more})
    return target_price(type_, False, model)


@pytest.mark.parametrize(
    ("row", "second"),
    [
        ({"input_cost_per_second": 0.0001, "output_cost_per_second": 0.0001}, 100_000),  # one price, twice
        ({"input_cost_per_second": 3.083e-05, "output_cost_per_second": 0.0}, 30_830),
        ({"input_cost_per_second": 0.0, "output_cost_per_second": 2.77778e-05}, 27_778),
        ({"input_cost_per_second": 5e-05}, 50_000),
    ],
)
def test_a_second_costs_what_has_a_price(row: dict[str, float], second: int) -> None:
    price = price_of({"mode": "audio_transcription", **row})

    assert price is not None
    assert (price.second, price.input, price.output) == (second, 0, 0)


def test_a_character_of_speech_has_a_price() -> None:
    price = price_of({"mode": "audio_speech", "input_cost_per_character": 1.5e-05})

    assert price is not None
    assert price.cost(Usage(characters=1000)) == 15_000_000


def test_speech_by_the_token_is_priced_as_sound() -> None:
    row = {"input_cost_per_token": 6e-7, "output_cost_per_token": 1e-5, "output_cost_per_audio_token": 1.2e-5}
    price = price_of({"mode": "audio_speech", "output_cost_per_second": 0.00025, **row})

    assert price is not None
    assert price.cost(speech_usage(10, 40, seconds=2)) == 10 * 600 + 50 * 12_000


@pytest.mark.parametrize(
    ("model_id", "task", "usage", "cost"),
    [
        ("whisper-1", "transcription", Usage(seconds=60), 6_000_000),
        ("tts-1", "speech", Usage(characters=1000), 15_000_000),
        ("gpt-4o-transcribe", "transcription", Usage(seconds=60), 6_000_000),
        ("gpt-4o-transcribe", "transcription", Usage(0, 100, audio_input=600), 2_500_000),
    ],
)
def test_the_price_list_knows_models_for_sound(model_id: str, task: str, usage: Usage, cost: int) -> None:
    price = priced(task, model_id)

    assert price is not None
    assert price.cost(usage) == cost


def test_a_price_for_sound_says_nothing_about_a_chat() -> None:
    assert bundled_catalogue().price("whisper-1", "openai") is not None
    assert priced("chat_small", "whisper-1") is None


def test_configured_prices_of_sound_replace_the_list() -> None:
    by_minute = priced("transcription", "gpt-4o-transcribe", cost_per_minute=0.06)
    by_character = priced("speech", cost_per_1k_characters=0.03)

    assert by_minute == Price(0, 0, second=1_000_000)
    assert by_character == Price(0, 0, character=30_000)
    assert priced("speech") is None


def test_a_transcript_without_a_report_counts_seconds_where_those_have_a_price() -> None:
    for price in (BY_SECONDS, BOTH, FREE):
        assert transcript_usage(price, 5, 60) == Usage(seconds=60, estimated=True)
    by_tokens = transcript_usage(BY_TOKENS, 5, 60)
    assert (by_tokens.input, by_tokens.audio_input, by_tokens.output) == (5, 600, 240)


def test_tokens_are_charged_unless_only_seconds_are() -> None:
    charged = [charges_tokens(price) for price in (None, BY_TOKENS, BOTH, BY_SECONDS, FREE)]

    assert charged == [True, True, True, False, False]
