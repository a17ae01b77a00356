"""Which providers keep data on machines of one's own."""

import pytest

from serve_app.config.data_policy import is_private_address
from serve_app.config.provider import ProviderConfig

PRIVATE = [
    "http://localhost:11434",
    "http://127.0.0.1:8000/v1",
    "http://[::1]:8000",
    "http://0.0.0.0:11434",
    "http://10.1.2.3",
    "http://192.168.0.9:1234",
    "http://172.16.0.1",
    "http://[fd00::1]:8000",
    "http://[::ffff:10.0.0.1]",
    "http://gpu-box:8000",
    "http://vllm.default.svc.cluster.local:8000",
    "http://vllm.default.svc",
    "http://HOST.docker.internal:11434",
    "http://nas.local.",
]
PUBLIC = [
    "https://gpu.example.com",
    "https://ollama.com",
    "http://8.8.8.8",
    "http://172.32.0.1",
    "http://[2001:4860:4860::8888]",
    "http://[::ffff:8.8.8.8]",
    "http://169.254.169.254",
    "http://134744072",  # 8.8.8.8 as one number
    "http://0x08080808",
    "http://010",
    "http://10.0.0.1.example.com",
    "http://localhost.example.com",
    "http://user@8.8.8.8",
    "http://[",
    "",
]


@pytest.mark.parametrize("address", PRIVATE)
def test_an_address_that_nobody_else_can_have_is_private(address: str) -> None:
    assert is_private_address(address)


@pytest.mark.parametrize("address", PUBLIC)
def test_any_other_address_is_not(address: str) -> None:
    assert not is_private_address(address)


@pytest.mark.parametrize(
    ("fields", "is_local"),
    [
        ({"type": "ollama"}, True),
        ({"type": "ollama", "base_url": "https://ollama.com"}, False),
        ({"type": "vllm", "base_url": "http://10.0.0.5:8000"}, True),
        ({"type": "vllm", "base_url": "https://gpu.example.com"}, False),
        ({"type": "vllm", "base_url": "https://gpu.example.com", "local_data": True}, True),
        ({"type": "lmstudio"}, True),
        ({"type": "lmstudio", "local_data": False}, False),
        ({"type": "vllm", "local": {}, "models": [{"model_id": "m", "task": "chat_smart"}]}, True),
        ({"type": "scripted"}, True),
        ({"type": "openai_compatible", "base_url": "http://127.0.0.1:8000"}, False),
        ({"type": "openai_compatible", "base_url": "http://127.0.0.1:8000", "local_data": True}, True),
        ({"type": "anthropic"}, False),
    ],
    ids=str,
)
def test_a_provider_is_local_by_its_type_and_address_unless_it_is_said(
    fields: dict[str, object], is_local: bool
) -> None:
    assert ProviderConfig.model_validate({"id": "p", **fields}).keeps_data_local() is is_local
