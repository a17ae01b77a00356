"""
What vendors report, bucket by bucket, and what it costs, worked out by hand.

Prices here are in nano-dollars for one token: 1,250 is 1.25 dollars a million. A payload is the vendor's
whole answer, or the last chunk of its stream, without the text. Of Anthropic, Gemini and Ollama in their own
words only the usage counts, under the name that OpenAI gives it.
"""

from dataclasses import dataclass
from typing import Any

import pytest

from serve_app.formats.openai_chat.chunks import frame_of
from serve_app.pricing.price import MILLION, Price
from serve_app.pricing.reported_usage import usage_of
from serve_app.pricing.usage import Tier, Usage
from serve_app.providers.bodies import usage_in
from serve_app.providers.frames import ChatFrames


def per_token(**nano: Any) -> Price:
    kept = {"above", "tiers", "image", "second", "request"}
    return Price(**{kind: amount if kind in kept else amount * MILLION for kind, amount in nano.items()})


GPT_5 = per_token(
    input=1_250,
    output=10_000,
    cached_read=125,
    tiers=(
        (Tier.PRIORITY, per_token(input=2_500, output=20_000, cached_read=250)),
        (Tier.FLEX, per_token(input=625, output=5_000, cached_read=62)),
        (Tier.BATCH, per_token(input=625, output=5_000, cached_read=62)),
    ),
)
GPT_5_4 = per_token(
    input=2_500,
    output=15_000,
    cached_read=250,
    above=((272_000, per_token(input=5_000, output=22_500, cached_read=500)),),
    tiers=((Tier.PRIORITY, per_token(input=5_000, output=30_000, cached_read=500)),),
)
GPT_4O = per_token(input=2_500, output=10_000, cached_read=1_250)
GPT_AUDIO = per_token(input=2_500, output=10_000, audio_input=32_000, audio_output=64_000)
GPT_IMAGE = per_token(input=5_000, image_input=10_000, image_output=40_000)
TRANSCRIBE = per_token(input=2_500, output=10_000, audio_input=6_000)
WHISPER = per_token(input=0, second=100_000)
SMALL_EMBEDDING = per_token(input=20)
PICTURE_EMBEDDING = per_token(input=800, image=100_000)
SONNET = per_token(
    input=3_000,
    output=15_000,
    cached_read=300,
    cache_write_5m=3_750,
    cache_write_1h=6_000,
    above=(
        (
            200_000,
            per_token(
                input=6_000, output=22_500, cached_read=600, cache_write_5m=7_500, cache_write_1h=12_000
            ),
        ),
    ),
    tiers=((Tier.BATCH, per_token(input=1_500, output=7_500, cached_read=150, cache_write_5m=1_875)),),
)
GEMINI_PRO = per_token(
    input=1_250,
    output=10_000,
    cached_read=125,
    above=((200_000, per_token(input=2_500, output=15_000, cached_read=250)),),
)
GEMINI_FLASH = per_token(input=300, output=2_500, cached_read=30, audio_input=1_000, image_output=30_000)
DEEPSEEK = per_token(input=280, output=420, cached_read=28)
KIMI = per_token(input=600, output=3_000, cached_read=100)
GROK = per_token(input=300, output=500, cached_read=75)
SONAR = per_token(input=1_000, output=1_000, request=5_000_000)
FREE = per_token(input=0)


@dataclass(frozen=True)
class Golden:
    name: str
    told: dict[str, Any]
    price: Price
    used: Usage
    cost: int


def chat(prompt: int, completion: int, **more: Any) -> dict[str, Any]:
    counts = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
    return {"id": "chatcmpl-1", "object": "chat.completion", "choices": [], "usage": {**counts, **more}}


def tiered(answer: dict[str, Any], tier: str) -> dict[str, Any]:
    return {**answer, "service_tier": tier}


OPENAI_NOTHING = {
    "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
    "completion_tokens_details": {
        "reasoning_tokens": 0,
        "audio_tokens": 0,
        "accepted_prediction_tokens": 0,
        "rejected_prediction_tokens": 0,
    },
}

# In OpenAI's chat words; each is read as a whole answer and as the last chunk of a stream.
CHATS = [
    Golden("openai plain", chat(19, 10, **OPENAI_NOTHING), GPT_4O, Usage(19, 10), 19 * 2_500 + 10 * 10_000),
    Golden("openai of old, without details", chat(9, 12), GPT_4O, Usage(9, 12), 9 * 2_500 + 12 * 10_000),
    Golden(
        "openai cached",
        chat(2006, 300, prompt_tokens_details={"cached_tokens": 1920, "audio_tokens": 0}),
        GPT_4O,
        Usage(86, 300, cached_read=1920),
        86 * 2_500 + 1920 * 1_250 + 300 * 10_000,
    ),
    Golden(
        "openai reasoning",
        chat(75, 1186, completion_tokens_details={"reasoning_tokens": 1024, "audio_tokens": 0}),
        GPT_5,
        Usage(75, 162, reasoning=1024),
        75 * 1_250 + (162 + 1024) * 10_000,
    ),
    Golden(
        "openai cached and reasoning",
        chat(
            5000,
            900,
            prompt_tokens_details={"cached_tokens": 4096},
            completion_tokens_details={"reasoning_tokens": 640},
        ),
        GPT_5,
        Usage(904, 260, cached_read=4096, reasoning=640),
        904 * 1_250 + 4096 * 125 + 900 * 10_000,
    ),
    Golden(
        "openai predicted outputs are written and paid for, taken or not",
        chat(
            120,
            80,
            completion_tokens_details={"accepted_prediction_tokens": 30, "rejected_prediction_tokens": 20},
        ),
        GPT_4O,
        Usage(120, 80),
        120 * 2_500 + 80 * 10_000,
    ),
    Golden(
        "openai sound in and out",
        chat(
            300,
            250,
            prompt_tokens_details={"audio_tokens": 220, "text_tokens": 80, "cached_tokens": 0},
            completion_tokens_details={"audio_tokens": 200, "text_tokens": 50, "reasoning_tokens": 0},
        ),
        GPT_AUDIO,
        Usage(80, 50, audio_input=220, audio_output=200),
        80 * 2_500 + 220 * 32_000 + 50 * 10_000 + 200 * 64_000,
    ),
    Golden(
        "openai sound of which a part was cached",
        chat(
            300,
            10,
            prompt_tokens_details={
                "audio_tokens": 200,
                "cached_tokens": 160,
                "cached_tokens_details": {"audio_tokens": 120, "text_tokens": 40},
            },
        ),
        GPT_AUDIO,
        Usage(60, 10, cached_read=160, audio_input=80),
        (60 + 160) * 2_500 + 80 * 32_000 + 10 * 10_000,
    ),
    Golden(
        "openai priority",
        tiered(chat(1000, 200, prompt_tokens_details={"cached_tokens": 400}), "priority"),
        GPT_5,
        Usage(600, 200, cached_read=400, tier=Tier.PRIORITY),
        600 * 2_500 + 400 * 250 + 200 * 20_000,
    ),
    Golden(
        "openai flex",
        tiered(chat(1000, 200), "flex"),
        GPT_5,
        Usage(1000, 200, tier=Tier.FLEX),
        1000 * 625 + 200 * 5_000,
    ),
    Golden(
        "openai default tier",
        tiered(chat(1000, 200), "default"),
        GPT_5,
        Usage(1000, 200),
        1000 * 1_250 + 200 * 10_000,
    ),
    Golden(
        "openai a tier the model has no price for",
        tiered(chat(1000, 200), "priority"),
        GPT_4O,
        Usage(1000, 200, tier=Tier.PRIORITY),
        1000 * 2_500 + 200 * 10_000,
    ),
    Golden(
        "openai at the edge of a long prompt",
        chat(272_000, 100),
        GPT_5_4,
        Usage(272_000, 100),
        272_000 * 2_500 + 100 * 15_000,
    ),
    Golden(
        "openai long prompt, most of it cached",
        chat(300_000, 100, prompt_tokens_details={"cached_tokens": 290_000}),
        GPT_5_4,
        Usage(10_000, 100, cached_read=290_000),
        10_000 * 5_000 + 290_000 * 500 + 100 * 22_500,
    ),
    Golden(
        "deepseek",
        chat(
            1500,
            200,
            prompt_tokens_details={"cached_tokens": 1408},
            prompt_cache_hit_tokens=1408,
            prompt_cache_miss_tokens=92,
        ),
        DEEPSEEK,
        Usage(92, 200, cached_read=1408),
        92 * 280 + 1408 * 28 + 200 * 420,
    ),
    Golden(
        "deepseek of old, without details",
        chat(1500, 200, prompt_cache_hit_tokens=1408, prompt_cache_miss_tokens=92),
        DEEPSEEK,
        Usage(92, 200, cached_read=1408),
        92 * 280 + 1408 * 28 + 200 * 420,
    ),
    Golden(
        "deepseek reasoner",
        chat(
            24,
            512,
            prompt_cache_hit_tokens=0,
            prompt_cache_miss_tokens=24,
            completion_tokens_details={"reasoning_tokens": 400},
        ),
        DEEPSEEK,
        Usage(24, 112, reasoning=400),
        24 * 280 + 512 * 420,
    ),
    Golden(
        "openrouter with the cost it charged",
        chat(
            194,
            120,
            cost=0.002382,
            is_byok=False,
            prompt_tokens_details={"cached_tokens": 100, "audio_tokens": 0},
            completion_tokens_details={"reasoning_tokens": 64},
            cost_details={"upstream_inference_cost": None},
        ),
        SONNET,
        Usage(94, 56, cached_read=100, reasoning=64),
        94 * 3_000 + 100 * 300 + 120 * 15_000,
    ),
    Golden(
        "openrouter that wrote to a cache",
        chat(5000, 50, cost=0.0195, prompt_tokens_details={"cached_tokens": 0, "cache_write_tokens": 4800}),
        SONNET,
        Usage(200, 50, cache_write_5m=4800),
        200 * 3_000 + 4800 * 3_750 + 50 * 15_000,
    ),
    Golden("ollama /v1", chat(26, 298), FREE, Usage(26, 298), 0),
    Golden("vllm", chat(512, 64, prompt_tokens_details=None), FREE, Usage(512, 64), 0),
    Golden(
        "vllm rented, with prefix caching",
        chat(512, 64, prompt_tokens_details={"cached_tokens": 496}),
        per_token(input=100, output=200),
        Usage(16, 64, cached_read=496),
        512 * 100 + 64 * 200,
    ),
    Golden(
        "moonshot tells the cache beside the sums",
        chat(8000, 100, cached_tokens=7680),
        KIMI,
        Usage(320, 100, cached_read=7680),
        320 * 600 + 7680 * 100 + 100 * 3_000,
    ),
    Golden(
        "groq with its clock",
        chat(40, 20, queue_time=0.037, prompt_time=0.0006, completion_time=0.46, total_time=0.46),
        per_token(input=150, output=600),
        Usage(40, 20),
        40 * 150 + 20 * 600,
    ),
    Golden(
        "xai thinks beside what it writes",
        chat(
            37,
            8,
            total_tokens=37 + 8 + 300,
            prompt_tokens_details={
                "text_tokens": 37,
                "audio_tokens": 0,
                "image_tokens": 0,
                "cached_tokens": 6,
            },
            completion_tokens_details={"reasoning_tokens": 300, "audio_tokens": 0},
            num_sources_used=0,
        ),
        GROK,
        Usage(31, 8, cached_read=6, reasoning=300),
        31 * 300 + 6 * 75 + (8 + 300) * 500,
    ),
    Golden(
        "gemini /openai thinks without saying so, but in the total",
        chat(7, 4, total_tokens=512),
        GEMINI_PRO,
        Usage(7, 4, reasoning=501),
        7 * 1_250 + (4 + 501) * 10_000,
    ),
    Golden(
        "perplexity takes something for every request",
        chat(14, 200, search_context_size="low"),
        SONAR,
        Usage(14, 200),
        5_000_000 + 14 * 1_000 + 200 * 1_000,
    ),
    Golden(
        "anthropic by litellm, plain",
        chat(
            21,
            393,
            cache_creation_input_tokens=0,
            cache_read_input_tokens=0,
            service_tier="standard",
            prompt_tokens_details={"cached_tokens": 0, "cache_creation_tokens": 0, "text_tokens": 21},
            completion_tokens_details={"reasoning_tokens": 0, "text_tokens": 393},
        ),
        SONNET,
        Usage(21, 393),
        21 * 3_000 + 393 * 15_000,
    ),
    Golden(
        "anthropic by litellm, the cache read and written for both times",
        chat(
            19_521,
            393,
            cache_creation_input_tokens=1500,
            cache_read_input_tokens=18_000,
            prompt_tokens_details={
                "cache_write_tokens": 1500,
                "cache_creation_tokens": 1500,
                "cached_tokens": 18_000,
                "text_tokens": 21,
                "cache_creation_token_details": {
                    "ephemeral_5m_input_tokens": 1000,
                    "ephemeral_1h_input_tokens": 500,
                },
            },
        ),
        SONNET,
        Usage(21, 393, cached_read=18_000, cache_write_5m=1000, cache_write_1h=500),
        21 * 3_000 + 18_000 * 300 + 1000 * 3_750 + 500 * 6_000 + 393 * 15_000,
    ),
    Golden(
        "anthropic by an older litellm, the cache beside the details",
        chat(1021, 10, cache_creation_input_tokens=600, cache_read_input_tokens=400),
        SONNET,
        Usage(21, 10, cached_read=400, cache_write_5m=600),
        21 * 3_000 + 400 * 300 + 600 * 3_750 + 10 * 15_000,
    ),
    Golden(
        "anthropic by litellm, thinking",
        chat(21, 393, completion_tokens_details={"reasoning_tokens": 108, "text_tokens": 285}),
        SONNET,
        Usage(21, 285, reasoning=108),
        21 * 3_000 + 393 * 15_000,
    ),
    Golden(
        "anthropic by litellm, long: cached tokens count towards the length",
        chat(
            250_000,
            1000,
            prompt_tokens_details={"cached_tokens": 240_000, "cache_creation_tokens": 0},
            cache_read_input_tokens=240_000,
        ),
        SONNET,
        Usage(10_000, 1000, cached_read=240_000),
        10_000 * 6_000 + 240_000 * 600 + 1000 * 22_500,
    ),
    Golden(
        "gemini by litellm, cached, heard and thought about",
        chat(
            10_000,
            1000,
            cache_read_input_tokens=6000,
            prompt_tokens_details={"audio_tokens": 500, "cached_tokens": 6000, "text_tokens": 3500},
            completion_tokens_details={"reasoning_tokens": 700, "text_tokens": 300},
        ),
        GEMINI_FLASH,
        Usage(3500, 300, cached_read=6000, audio_input=500, reasoning=700),
        3500 * 300 + 500 * 1_000 + 6000 * 30 + 1000 * 2_500,
    ),
    Golden(
        "gemini by litellm, a picture drawn",
        chat(
            10,
            1295,
            prompt_tokens_details={"text_tokens": 10},
            completion_tokens_details={"text_tokens": 5, "image_tokens": 1290},
        ),
        GEMINI_FLASH,
        Usage(10, 5, image_output=1290),
        10 * 300 + 5 * 2_500 + 1290 * 30_000,
    ),
    Golden(
        "gemini by litellm, above 200,000",
        chat(200_001, 500, prompt_tokens_details={"text_tokens": 200_001}),
        GEMINI_PRO,
        Usage(200_001, 500),
        200_001 * 2_500 + 500 * 15_000,
    ),
    Golden(
        "more cached than read is not believed",
        chat(100, 10, prompt_tokens_details={"cached_tokens": 5000}),
        GPT_4O,
        Usage(0, 10, cached_read=100),
        100 * 1_250 + 10 * 10_000,
    ),
    Golden(
        "details that are no numbers are left aside",
        chat(
            100,
            10,
            prompt_tokens_details={"cached_tokens": "some", "audio_tokens": -7},
            completion_tokens_details={"reasoning_tokens": [3]},
        ),
        GPT_4O,
        Usage(100, 10),
        100 * 2_500 + 10 * 10_000,
    ),
]

# Whole answers only, or usage in a vendor's own words.
OTHERS = [
    Golden(
        "openai embedding",
        {"object": "list", "data": [], "usage": {"prompt_tokens": 8000, "total_tokens": 8000}},
        SMALL_EMBEDDING,
        Usage(8000),
        8000 * 20,
    ),
    Golden(
        "openai responses",
        {
            "usage": {
                "input_tokens": 328,
                "input_tokens_details": {"cached_tokens": 128},
                "output_tokens": 52,
                "output_tokens_details": {"reasoning_tokens": 32},
                "total_tokens": 380,
            }
        },
        GPT_5,
        Usage(200, 20, cached_read=128, reasoning=32),
        200 * 1_250 + 128 * 125 + 52 * 10_000,
    ),
    Golden(
        "openai responses in a batch",
        {
            "usage": {"input_tokens": 1000, "output_tokens": 100, "total_tokens": 1100},
            "service_tier": "batch",
        },
        GPT_5,
        Usage(1000, 100, tier=Tier.BATCH),
        1000 * 625 + 100 * 5_000,
    ),
    Golden(
        "openai picture",
        {
            "usage": {
                "input_tokens": 50,
                "input_tokens_details": {"text_tokens": 10, "image_tokens": 40},
                "output_tokens": 1056,
                "output_tokens_details": {"image_tokens": 1056, "text_tokens": 0},
                "total_tokens": 1106,
            }
        },
        GPT_IMAGE,
        Usage(10, 0, image_input=40, image_output=1056),
        10 * 5_000 + 40 * 10_000 + 1056 * 40_000,
    ),
    Golden(
        "openai transcription by tokens",
        {
            "usage": {
                "type": "tokens",
                "input_tokens": 114,
                "input_token_details": {"text_tokens": 14, "audio_tokens": 100},
                "output_tokens": 45,
                "total_tokens": 159,
            }
        },
        TRANSCRIBE,
        Usage(14, 45, audio_input=100),
        14 * 2_500 + 100 * 6_000 + 45 * 10_000,
    ),
    Golden(
        "openai transcription by seconds, begun ones counted",
        {"usage": {"type": "duration", "seconds": 8.4}},
        WHISPER,
        Usage(seconds=9),
        9 * 100_000,
    ),
    Golden(
        "vertex embedding of pictures by litellm",
        {"usage": {"prompt_tokens": 5, "total_tokens": 5, "prompt_tokens_details": {"image_count": 2}}},
        PICTURE_EMBEDDING,
        Usage(5, images=2),
        5 * 800 + 2 * 100_000,
    ),
    Golden(
        "anthropic",
        {"usage": {"input_tokens": 2095, "output_tokens": 503}},
        SONNET,
        Usage(2095, 503),
        2095 * 3_000 + 503 * 15_000,
    ),
    Golden(
        "anthropic, the cache beside the input",
        {
            "usage": {
                "input_tokens": 50,
                "cache_creation_input_tokens": 248,
                "cache_read_input_tokens": 100_000,
                "cache_creation": {"ephemeral_5m_input_tokens": 148, "ephemeral_1h_input_tokens": 100},
                "output_tokens": 503,
                "service_tier": "standard",
                "server_tool_use": {"web_search_requests": 0},
            }
        },
        SONNET,
        Usage(50, 503, cached_read=100_000, cache_write_5m=148, cache_write_1h=100),
        50 * 3_000 + 100_000 * 300 + 148 * 3_750 + 100 * 6_000 + 503 * 15_000,
    ),
    Golden(
        "anthropic, written for five minutes unless it says otherwise",
        {
            "usage": {
                "input_tokens": 3,
                "cache_creation_input_tokens": 12_304,
                "cache_read_input_tokens": 0,
                "output_tokens": 10,
            }
        },
        SONNET,
        Usage(3, 10, cache_write_5m=12_304),
        3 * 3_000 + 12_304 * 3_750 + 10 * 15_000,
    ),
    Golden(
        "anthropic, long by what it read from the cache",
        {"usage": {"input_tokens": 1, "cache_read_input_tokens": 200_000, "output_tokens": 10}},
        SONNET,
        Usage(1, 10, cached_read=200_000),
        1 * 6_000 + 200_000 * 600 + 10 * 22_500,
    ),
    Golden(
        "anthropic, thinking within the output",
        {
            "usage": {
                "input_tokens": 12,
                "cache_creation_input_tokens": 20,
                "cache_read_input_tokens": 300,
                "output_tokens": 40,
                "output_tokens_details": {"thinking_tokens": 9},
            }
        },
        SONNET,
        Usage(12, 31, cached_read=300, cache_write_5m=20, reasoning=9),
        12 * 3_000 + 300 * 300 + 20 * 3_750 + 40 * 15_000,
    ),
    Golden(
        "anthropic, the summary of a conversation beside the sums",
        {
            "usage": {
                "input_tokens": 10,
                "cache_read_input_tokens": 0,
                "output_tokens": 5,
                "iterations": [
                    {"type": "compaction", "input_tokens": 1000, "output_tokens": 200},
                    {"type": "message", "input_tokens": 10, "output_tokens": 5},
                ],
            }
        },
        SONNET,
        Usage(1010, 205),
        1010 * 3_000 + 205 * 15_000,
    ),
    Golden(
        "anthropic in a batch",
        {
            "usage": {
                "input_tokens": 100,
                "cache_read_input_tokens": 1000,
                "output_tokens": 10,
                "service_tier": "batch",
            }
        },
        SONNET,
        Usage(100, 10, cached_read=1000, tier=Tier.BATCH),
        100 * 1_500 + 1000 * 150 + 10 * 7_500,
    ),
    Golden(
        "gemini",
        {"usage": {"promptTokenCount": 8, "candidatesTokenCount": 20, "totalTokenCount": 28}},
        GEMINI_PRO,
        Usage(8, 20),
        8 * 1_250 + 20 * 10_000,
    ),
    Golden(
        "gemini, thinking beside the candidates",
        {
            "usage": {
                "promptTokenCount": 100,
                "candidatesTokenCount": 50,
                "thoughtsTokenCount": 900,
                "totalTokenCount": 1050,
                "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 100}],
            }
        },
        GEMINI_PRO,
        Usage(100, 50, reasoning=900),
        100 * 1_250 + 950 * 10_000,
    ),
    Golden(
        "gemini, cached text and sound",
        {
            "usage": {
                "promptTokenCount": 10_000,
                "cachedContentTokenCount": 6000,
                "candidatesTokenCount": 300,
                "totalTokenCount": 10_300,
                "promptTokensDetails": [
                    {"modality": "TEXT", "tokenCount": 9000},
                    {"modality": "AUDIO", "tokenCount": 1000},
                ],
                "cacheTokensDetails": [
                    {"modality": "TEXT", "tokenCount": 5500},
                    {"modality": "AUDIO", "tokenCount": 500},
                ],
            }
        },
        GEMINI_FLASH,
        Usage(3500, 300, cached_read=6000, audio_input=500),
        3500 * 300 + 6000 * 30 + 500 * 1_000 + 300 * 2_500,
    ),
    Golden(
        "gemini, above 200,000, nearly all of it cached",
        {
            "usage": {
                "promptTokenCount": 210_000,
                "cachedContentTokenCount": 200_000,
                "candidatesTokenCount": 10,
            }
        },
        GEMINI_PRO,
        Usage(10_000, 10, cached_read=200_000),
        10_000 * 2_500 + 200_000 * 250 + 10 * 15_000,
    ),
    Golden(
        "gemini, a picture drawn, a tool's findings read",
        {
            "usage": {
                "promptTokenCount": 10,
                "toolUsePromptTokenCount": 40,
                "candidatesTokenCount": 1295,
                "totalTokenCount": 1345,
                "candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": 1290}],
            }
        },
        GEMINI_FLASH,
        Usage(50, 5, image_output=1290),
        50 * 300 + 5 * 2_500 + 1290 * 30_000,
    ),
    Golden(
        "ollama /api",
        {"usage": {"prompt_eval_count": 26, "eval_count": 298, "eval_duration": 4_799_921_000}},
        FREE,
        Usage(26, 298),
        0,
    ),
    Golden(
        "ollama /api, the prompt known from before",
        {"usage": {"eval_count": 298}},
        per_token(input=1, output=2),
        Usage(0, 298),
        298 * 2,
    ),
]


@pytest.mark.parametrize("golden", [*CHATS, *OTHERS], ids=lambda golden: golden.name)
def test_a_whole_answer_is_charged_by_what_it_used(golden: Golden) -> None:
    used = usage_in(golden.told)

    assert used == golden.used
    assert golden.price.cost(used) == golden.cost


@pytest.mark.parametrize("golden", CHATS, ids=lambda golden: golden.name)
def test_a_stream_is_charged_by_its_last_chunk(golden: Golden) -> None:
    frames = ChatFrames("p", wants_usage=False)
    frames.feed(b'data: {"choices":[{"index":0,"delta":{"content":"x"},"finish_reason":"stop"}]}\n\n')
    frames.feed(frame_of({**golden.told, "object": "chat.completion.chunk"}))

    assert frames.usage == golden.used
    assert golden.price.cost(frames.usage) == golden.cost


def test_a_usage_that_comes_in_parts_counts_as_it_stood_last() -> None:
    frames = ChatFrames("p", wants_usage=False)
    for written in (1, 2, 3):
        frames.feed(frame_of(chat(10, written)))

    assert frames.usage == Usage(10, 3)


@pytest.mark.parametrize(
    "told",
    [
        None,
        {},
        {"prompt_tokens": "many"},
        {"prompt_tokens": [1]},
        {"prompt_tokens": float("nan"), "completion_tokens": 3},
        {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0},
        {"cost": 0.1},
    ],
)
def test_a_usage_that_is_no_usage_is_none(told: dict[str, Any] | None) -> None:
    assert usage_of(told) is None


def test_a_side_that_is_not_told_is_nothing() -> None:
    assert usage_of({"prompt_tokens": 9, "completion_tokens": None}) == Usage(9)


def test_sums_that_can_be_no_count_are_returned_as_they_are_and_without_details() -> None:
    details = {"completion_tokens_details": {"reasoning_tokens": 5}}

    assert usage_of({"prompt_tokens": 9, "completion_tokens": -5, **details}) == Usage(9, -5)
    assert usage_of({"prompt_tokens": 9, "completion_tokens": 10**12 + 1}) == Usage(9, 10**12 + 1)
    assert usage_of({"prompt_tokens": 10**400}) == Usage(2**60)
    assert usage_of({"prompt_tokens": -(10**400)}) == Usage(-(2**60))
    assert usage_of({"prompt_tokens": 10**12, "completion_tokens": 10**12}) == Usage(10**12, 10**12)
    assert usage_of({"promptTokenCount": -1, "candidatesTokenCount": 3}) == Usage(-1, 3)


@pytest.mark.parametrize(
    "told",
    [
        {"input_tokens": 9, "output_tokens": 1, "server_tool_use": {"web_search_requests": 50}},
        {"prompt_tokens": 9, "completion_tokens": 1, "server_tool_use": {"web_search_requests": 50}},
        {"prompt_tokens": 9, "completion_tokens": 1, "prompt_tokens_details": {"web_search_requests": 50}},
        {"prompt_tokens": 9, "completion_tokens": 1, "num_search_queries": 50},
        {"prompt_tokens": 9, "completion_tokens": 1, "num_sources_used": 50},
    ],
)
def test_searches_that_the_vendor_ran_are_counted(told: dict[str, Any]) -> None:
    assert usage_of(told) == Usage(9, 1, searches=50)


def test_the_sums_are_over_all_kinds() -> None:
    used = Usage(*(10**n for n in range(10)))

    assert used.input_tokens == 101_011_101
    assert used.total_tokens == 1_111_111_111
