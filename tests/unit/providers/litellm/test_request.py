"""What of a caller's request is a word to LiteLLM itself."""

import inspect
import re
from typing import Any

import pytest

from serve_app.config.provider import ProviderConfig
from serve_app.providers.base import Call
from serve_app.providers.catalogue.rows import vendor
from serve_app.providers.litellm.request import Address, LiteLlmRequests

with pytest.MonkeyPatch.context() as _patch:  # or it asks the network for prices
    _patch.setenv("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    litellm = pytest.importorskip("litellm")

# What it reads and hands on to the model or the vendor.
TO_THE_MODEL = frozenset(
    {"dimensions", "encoding_format", "input", "prompt", "contents", "document", "file", "query"}
)
TO_THE_MODEL |= frozenset(
    {
        "session_id",
        "gigachat_scope",
        "safety_identifier",
        *litellm.constants.DEFAULT_CHAT_COMPLETION_PARAM_VALUES,
    }
)
READING = re.compile(r"kwargs(?:\.(?:get|pop)\(\s*|\[)[\"'](\w+)[\"']")


def requests() -> LiteLlmRequests:
    config = ProviderConfig.model_validate({"id": "p", "type": "anthropic", "models": []})
    row = vendor(config.type)
    return LiteLlmRequests(litellm, config, row, "key", Address(config, row, {}))


@pytest.mark.parametrize(
    "function",
    [
        litellm.completion,
        litellm.acompletion,
        litellm.embedding,
        litellm.aembedding,
        litellm.utils.function_setup,
    ],
)
def test_whatever_it_reads_beside_a_request_is_no_callers_word(function: Any) -> None:
    source = inspect.getsource(function)
    words = {*READING.findall(source), *inspect.signature(function).parameters}

    assert len(words) > 3
    assert {word for word in words if not requests().steers(word)} <= TO_THE_MODEL


def test_only_a_chat_is_kept_from_the_clients_of_tools() -> None:
    def sent(body: bytes) -> dict[str, Any]:
        made = requests()
        return made.arguments(made.of_embedding(Call("m", body, 5, "r", False, 5, 5)).fields)

    assert "_skip_mcp_handler" not in sent(b'{"input":"a cat"}')
    assert "_skip_mcp_handler" in sent(b'{"messages":[]}')
