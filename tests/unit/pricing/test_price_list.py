"""What models cost, and when nobody knows."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from serve_app.config.model import ModelConfig
from serve_app.pricing.estimate import estimate_cost
from serve_app.pricing.price import FREE, Price
from serve_app.pricing.price_list import (
    TABLE,
    PriceCatalogue,
    bundled_catalogue,
    classic_catalogue,
    litellm_price_file,
    per_1k,
    target_price,
)
from serve_app.pricing.usage import Usage

TABLE_ALONE = PriceCatalogue(classic=True)


def listing(folder: Path, *, classic: bool = False, **rows: Any) -> PriceCatalogue:
    path = folder / "prices.json"
    path.write_text(json.dumps(rows), encoding="utf-8")
    return PriceCatalogue(path, classic=classic)


def row(input_dollars: float, output_dollars: float | None = 0.0, **more: Any) -> dict[str, Any]:
    return {
        "mode": "chat",
        "input_cost_per_token": input_dollars,
        "output_cost_per_token": output_dollars,
        **more,
    }


# fmt: off
LISTED_IDS = [
    "gpt-4o", "gpt-4o-mini", "gpt-4-turbo", "gpt-4", "gpt-3.5-turbo", "text-embedding-3-large",
    "text-embedding-3-small", "text-embedding-ada-002", "claude-3-opus", "claude-3-opus-20240229",
    "claude-3-sonnet", "claude-3-sonnet-20240229", "claude-3-haiku", "claude-3-haiku-20240307",
    "claude-3-5-sonnet-20241022", "claude-3-5-haiku-20241022", "kimi-2.5", "moonshot-v1-8k",
    "moonshot-v1-32k", "moonshot-v1-128k", "deepseek-v3", "deepseek-chat", "llama3.1:8b", "llama3.1:70b",
    "llama3.1:405b", "llama3.2:1b", "llama3.2:3b", "mistral:7b", "mixtral:8x7b", "mixtral:8x22b",
    "nomic-embed-text", "llava:7b", "llava:13b", "llava:34b", "claude-3.5-sonnet", "mxbai-embed-large",
    "llama3.3", "Qwen/Qwen2.5-7B-Instruct",
]
# fmt: on


@pytest.mark.parametrize("model_id", LISTED_IDS)
@pytest.mark.contract(56)
def test_every_model_of_the_bundled_table_has_a_price(model_id: str) -> None:
    assert TABLE_ALONE.price(model_id) is not None
    assert classic_catalogue().price(model_id) == TABLE_ALONE.price(model_id)
    assert bundled_catalogue().price(model_id) is not None


@pytest.mark.contract(56)
def test_a_dated_id_is_priced_as_the_longest_id_it_begins_with() -> None:
    assert TABLE_ALONE.price("gpt-4o-mini-2024-07-18") == TABLE["gpt-4o-mini"].price
    assert TABLE_ALONE.price("gpt-4-0613") == TABLE["gpt-4"].price
    assert TABLE_ALONE.price("openai/gpt-4o-2024-08-06") == TABLE["gpt-4o"].price
    assert TABLE_ALONE.price("nomic-embed-text:latest") == FREE


@pytest.mark.parametrize(
    "model_id",
    [
        None,
        "",
        "nope",
        "m",
        "GPT-4O",
        "gpt-4o-custom",
        "gpt-4o-",
        "Qwen/Qwen2.5-7B-Instruct-Turbo",
        "a/b/gpt-4o",
        "/",
    ],
)
def test_an_id_that_nobody_lists_has_no_price(model_id: str | None) -> None:
    assert TABLE_ALONE.price(model_id) is None


def test_one_leading_provider_may_stand_before_the_id() -> None:
    assert TABLE_ALONE.price("openai/gpt-4o") == TABLE["gpt-4o"].price
    assert TABLE_ALONE.price("deepseek/deepseek-chat") == TABLE["deepseek-chat"].price


def test_the_price_file_wins_over_the_table_which_has_what_vendors_no_longer_list(tmp_path: Path) -> None:
    catalogue = listing(
        tmp_path, **{"gpt-4o": row(1e-6), "azure/gpt-4o": row(3e-6), "claude-3-opus": row(9e-6)}
    )

    assert catalogue.price("gpt-4o", "azure") == Price(3_000_000_000)
    assert catalogue.price("gpt-4o") == Price(1_000_000_000)
    assert catalogue.price("claude-3-opus-20240229") == TABLE["claude-3-opus-20240229"].price


def test_todays_gpt_4o_costs_what_todays_list_says_and_the_functions_of_version_1_keep_the_old_price() -> (
    None
):
    assert bundled_catalogue().price("gpt-4o", "openai").cost(Usage(1_000_000, 1_000_000)) == 12_500_000_000
    assert estimate_cost("gpt-4o", 1000, 500) == 0.0125


def test_the_classic_table_wins_over_the_price_file(tmp_path: Path) -> None:
    rows = {"gpt-4o": row(1.0), "azure/gpt-4o": row(1.0), "new": row(2e-6, 8e-6)}
    catalogue = listing(tmp_path, classic=True, **rows)

    assert catalogue.price("gpt-4o", "azure") == per_1k("0.005", "0.015").with_cache(2_500_000_000, None)
    assert catalogue.price("new") == Price(2_000_000_000, 8_000_000_000)
    assert catalogue.price("new-2031-01-02") == catalogue.price("new")


def test_the_table_says_of_each_model_whether_it_makes_vectors() -> None:
    vectors = {name for name, entry in TABLE.items() if entry.embedding}

    assert vectors == {
        "text-embedding-3-large", "text-embedding-3-small", "text-embedding-ada-002", "nomic-embed-text",
        "mxbai-embed-large",
    }  # fmt: skip


def test_what_this_provider_charges_comes_before_what_others_do(tmp_path: Path) -> None:
    catalogue = listing(
        tmp_path, **{"m": row(1e-6), "groq/m": row(3e-6), "together_ai/Qwen/Qwen2.5-7B-Instruct": row(4e-6)}
    )

    assert catalogue.price("m", "groq") == Price(3_000_000_000)
    assert catalogue.price("m", "other") == Price(1_000_000_000)
    assert catalogue.price("Qwen/Qwen2.5-7B-Instruct", "together") == Price(4_000_000_000)
    assert catalogue.price("Qwen/Qwen2.5-7B-Instruct", "vllm") == FREE


def test_a_row_that_gives_no_price_per_token_is_no_price(tmp_path: Path) -> None:
    catalogue = listing(
        tmp_path,
        zeros=row(0.0, 0.0),
        half=row(1e-6, None),
        negative=row(-1.0, 1e-6),
        filmed=row(1e-6, 1e-6, mode="video_generation"),
        words={"mode": "one of: chat", "input_cost_per_token": "many"},
    )

    assert [catalogue.price(name) for name in ("zeros", "half", "negative", "filmed", "words")] == [None] * 5


def test_cached_input_and_embeddings_are_read(tmp_path: Path) -> None:
    catalogue = listing(
        tmp_path,
        chat=row(2e-6, 8e-6, cache_read_input_token_cost=5e-7),
        vectors=row(1e-7, None, mode="embedding"),
    )

    assert catalogue.price("chat") == Price(2_000_000_000, 8_000_000_000, 500_000_000)
    entry = catalogue.entry("vectors")
    assert entry is not None
    assert entry.embedding
    assert entry.price == Price(100_000_000, 0)


@pytest.mark.process
def test_the_file_of_the_installed_litellm_is_found_and_read_without_importing_it() -> None:
    script = (
        "import sys\n"
        "from serve_app.pricing.price_list import bundled_catalogue\n"
        "price = bundled_catalogue().price('gemini-2.5-flash', 'gemini')\n"
        "print(price.input, price.output, price.cached_read)\n"
        "assert 'litellm' not in sys.modules and 'ray' not in sys.modules\n"
    )
    file = litellm_price_file()
    assert file is not None
    listed = json.loads(file.read_bytes())["gemini/gemini-2.5-flash"]
    told = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout

    names = ("input_cost_per_token", "output_cost_per_token", "cache_read_input_token_cost")
    assert [int(price) for price in told.split()] == [round(listed[name] * 10**15) for name in names]


def model(**more: Any) -> ModelConfig:
    return ModelConfig.model_validate({"model_id": "gpt-4o", "task": "chat_smart", **more})


def priced(kind: str, is_free: bool, configured: ModelConfig) -> Price | None:
    return target_price(kind, is_free, configured, TABLE_ALONE)


def test_a_target_is_priced_by_the_configuration_first() -> None:
    assert priced("openai", False, model(cost_per_1k_input=1, cost_per_1k_output=2)) == per_1k(1, 2)
    assert priced("ollama", True, model(cost_per_1k_tokens=0.5)) == per_1k(0.5, 0.5)
    assert priced("openai", False, model(cost_per_1k_tokens=0.5, cost_per_1k_output=2)) == per_1k(0.5, 2)
    assert priced("openai", False, model(cost_per_1k_tokens=0)) == FREE


def test_a_side_left_out_is_filled_from_the_list_or_leaves_the_price_unknown() -> None:
    assert priced("openai", False, model(cost_per_1k_input=1)) == per_1k(1, "0.015")
    assert priced("x", False, model(model_id="nope", cost_per_1k_input=1)) is None
    assert priced("vllm", True, model(cost_per_1k_output=1)) == per_1k(0, 1)
    assert priced("x", False, model(model_id="nope", task="embedding", cost_per_1k_input=1)) == per_1k(1)


def test_a_configured_price_of_text_leaves_the_listed_prices_of_images() -> None:
    pictures = model(model_id="gpt-image-1", task="image_generation", cost_per_1k_input=0.001)

    price = target_price("openai", False, pictures)

    assert price is not None
    assert (price.input, price.image_input) == (1_000_000_000, 10_000_000_000)
    assert price.image_output == 40_000_000_000


def test_a_vendor_that_charges_nothing_is_free_whatever_the_list_says() -> None:
    assert priced("ollama", True, model()) == FREE
    assert priced("openai", False, model()) == TABLE["gpt-4o"].price


def test_an_unknown_model_of_a_vendor_that_charges_has_no_price() -> None:
    assert priced("openai", False, model(model_id="nope")) is None
