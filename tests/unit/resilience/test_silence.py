"""How long a stream may say nothing."""

import pytest

from serve_app.resilience.silence import first_token_limit, thinks


@pytest.mark.parametrize(
    "name",
    [
        "o1", "o3-mini", "openai/o4-mini", "gpt-5", "gpt-5.1-codex", "deepseek-reasoner", "deepseek-r1:70b",
        "QwQ-32B", "Qwen/Qwen3-235B-A22B", "kimi-k2-thinking", "gemini-2.5-pro", "gemini-3-pro-preview",
        "grok-4", "magistral-medium", "sonar-reasoning-pro", "gpt-oss-120b", "o3-deep-research", "glm-4.6",
    ],
)  # fmt: skip
def test_a_model_that_thinks_is_known_by_its_name(name: str) -> None:
    assert thinks(name)


@pytest.mark.parametrize(
    "name",
    [
        "gpt-4o", "gpt-4o-mini", "gpt-5-chat-latest", "claude-sonnet-4-5", "llama3.1:8b", "gemini-2.0-flash",
        "mistral-large", "deepseek-chat", "phi3", "command-r", "Qwen/Qwen2.5-7B-Instruct", "grok-3",
    ],
)  # fmt: skip
def test_others_begin_at_once(name: str) -> None:
    assert not thinks(name)


@pytest.mark.parametrize(
    ("model", "asked", "tokens", "own", "limit_s"),
    [
        ("gpt-4o", False, 100, False, 15),
        ("gpt-4o", False, 32_000, False, 15),
        ("gpt-4o", False, 32_001, False, 60),
        ("claude-sonnet-4-5", True, 100, False, 60),
        ("o3", False, 100, False, 60),
        ("llama3.1:8b", False, 100, True, 60),
    ],
)
def test_who_needs_longer_gets_longer(
    model: str, asked: bool, tokens: int, own: bool, limit_s: float
) -> None:
    asking = {"is_asked_to_think": asked, "input_tokens": tokens, "is_own": own}

    assert first_token_limit(None, model, **asking) == limit_s
    assert first_token_limit(7.0, model, **asking) == 7.0, "what is configured counts exactly"
