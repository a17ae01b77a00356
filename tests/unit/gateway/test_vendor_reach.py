"""What a request may reach by way of whoever serves it: the operator's account, MCP servers, the network."""

from typing import Any

import orjson
import pytest

from serve_app.caller import ANYONE, Caller
from serve_app.config.settings import Settings
from serve_app.control.runtime_config import runtime_config_of
from serve_app.errors import InvalidRequest
from serve_app.formats.anthropic_messages.format import ANTHROPIC_MESSAGES
from serve_app.formats.base import ChatFormat
from serve_app.formats.openai_chat.format import OPENAI_CHAT
from serve_app.formats.openai_responses.format import OPENAI_RESPONSES
from serve_app.gateway.gateway import Route
from serve_app.gateway.request import GatewayRequest, Operation
from tests.support.clock import FakeClock
from tests.support.harness import Harness, ListedProvider
from tests.support.settings import settings

TRUSTED = Caller(vendor_objects=True)
LINK = "https://pictures.example/1.png"


def provider(id_: str, type_: str, **more: Any) -> dict[str, Any]:
    models = [{"model_id": f"{id_}-model", "task": "chat_smart", "supports_vision": True}]
    return {"id": id_, "type": type_, "api_key": "k", "models": models, **more}


def gateway(*providers: dict[str, Any], **routing: Any) -> Harness:
    listed = [{**given, "priority": rank} for rank, given in enumerate(providers, start=1)]
    configured = settings({"llm_providers": listed, "default_models": {}}, routing=routing)
    nobody = {given["id"]: ListedProvider(RuntimeError()) for given in listed}
    return Harness(configured, nobody, FakeClock())


OWN = provider("own", "vllm", base_url="http://10.0.0.5:8000")
CLOUD = provider("cloud", "openai")


def routed(at: Harness, wire: ChatFormat, caller: Caller = ANYONE, **body: Any) -> Route:
    content = wire.parse(orjson.dumps(body))
    return at.gateway.route(GatewayRequest("r", Operation.ROUTE, content, caller, format=wire))


def refusal(at: Harness, wire: ChatFormat, caller: Caller = ANYONE, **body: Any) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as refused:
        routed(at, wire, caller, **body)
    return refused.value


CHAT = [{"role": "user", "content": "hi"}]


def chat_with(*parts: dict[str, Any]) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": [{"type": "text", "text": "see"}, *parts]}]}


def picture(url: str = LINK) -> dict[str, Any]:
    return chat_with({"type": "image_url", "image_url": {"url": url}})


NAMED = [
    pytest.param(OPENAI_CHAT, chat_with({"type": "file", "file": {"file_id": "f"}}), id="chat-file"),
    pytest.param(OPENAI_CHAT, {"messages": CHAT, "container": "c"}, id="chat-container"),
    pytest.param(
        OPENAI_CHAT,
        {"messages": CHAT, "tools": [{"type": "file_search", "vector_store_ids": ["v"]}]},
        id="chat-tool",
    ),
    pytest.param(OPENAI_RESPONSES, {"input": "hi", "conversation": "conv_1"}, id="responses-conversation"),
    pytest.param(OPENAI_RESPONSES, {"prompt": {"id": "pmpt_1"}}, id="responses-prompt"),
    pytest.param(
        OPENAI_RESPONSES,
        {"input": [{"role": "user", "content": [{"type": "input_image", "file_id": "f"}]}]},
        id="responses-file",
    ),
    pytest.param(
        ANTHROPIC_MESSAGES, {"messages": CHAT, "max_tokens": 5, "container": "c"}, id="messages-container"
    ),
]


@pytest.mark.parametrize(("wire", "body"), NAMED)
def test_objects_of_the_operators_account_are_for_tenants_that_may_use_them(
    wire: ChatFormat, body: dict[str, Any]
) -> None:
    at = gateway(CLOUD, provider("claude", "anthropic"))

    refused = refusal(at, wire, **body)
    allowed = routed(at, wire, TRUSTED, **body)

    assert (refused.status, refused.code) == (400, "unsupported_parameter")
    assert "vendor_objects" in refused.message
    assert wire.name in allowed.chosen.target.formats


def test_an_id_is_never_translated_into_another_vendors_format() -> None:
    body = {"messages": CHAT, "max_tokens": 5, "container": "c"}

    refused = refusal(gateway(CLOUD), ANTHROPIC_MESSAGES, TRUSTED, **body)
    named = refusal(gateway(CLOUD), ANTHROPIC_MESSAGES, TRUSTED, **body, model="cloud-model")

    assert (refused.status, refused.code) == (400, "vendor_objects_not_supported")
    assert (named.status, named.code) == (400, "vendor_objects_not_supported")


def test_the_permission_is_the_tenants() -> None:
    tenants = [{"id": "trusted", "vendor_objects": True}, {"id": "other"}]
    configured = Settings.model_validate({"llm_providers": [CLOUD], "default_models": {}, "tenants": tenants})
    runtime_config = runtime_config_of(configured, (), 0)

    assert runtime_config.caller("k", "trusted").vendor_objects
    assert not runtime_config.caller("k", "other").vendor_objects
    assert not runtime_config.caller("k").vendor_objects


def mcp(url: str) -> dict[str, Any]:
    return {"input": "hi", "tools": [{"type": "mcp", "server_label": "s", "server_url": url}]}


def test_no_mcp_server_is_called_unless_the_operator_lists_its_host() -> None:
    at = gateway(CLOUD, allowed_mcp_servers=["mcp.example", "*.tools.example"])

    for url in ("https://mcp.example/sse", "https://a.tools.example"):
        assert routed(at, OPENAI_RESPONSES, **mcp(url)).chosen.target.provider_id == "cloud"
    for url in ("https://other.example", "http://mcp.example", "https://mcp.example@10.0.0.1/", "10.0.0.1"):
        refused = refusal(at, OPENAI_RESPONSES, TRUSTED, **mcp(url))
        assert (refused.status, refused.code) == (400, "mcp_server_not_allowed")
        assert refused.param == "tools[0].server_url"


@pytest.mark.parametrize(
    ("wire", "body", "param"),
    [
        (OPENAI_RESPONSES, mcp("https://mcp.example/sse?key=s3cret"), "tools[0].server_url"),
        (
            ANTHROPIC_MESSAGES,
            {"messages": CHAT, "max_tokens": 5, "mcp_servers": [{"url": "https://mcp.example/?key=s3cret"}]},
            "mcp_servers[0].url",
        ),
        (
            OPENAI_CHAT,
            {"messages": CHAT, "mcp_servers": [{"url": "https://mcp.example/?key=s3cret"}]},
            "mcp_servers[0].url",
        ),
    ],
    ids=["responses", "messages", "chat"],
)
def test_without_a_list_no_format_reaches_an_mcp_server(
    wire: ChatFormat, body: dict[str, Any], param: str
) -> None:
    refused = refusal(gateway(CLOUD), wire, TRUSTED, **body)

    assert (refused.code, refused.param) == ("mcp_server_not_allowed", param)
    assert "https://mcp.example," in refused.message
    assert "s3cret" not in refused.message


def test_a_link_goes_past_the_machines_of_ones_own_to_the_vendor_that_fetches_it() -> None:
    at = gateway(OWN, CLOUD)

    assert routed(at, OPENAI_CHAT, **picture()).chosen.target.provider_id == "cloud"
    assert routed(at, OPENAI_CHAT, **picture("data:image/png;base64,AAAA")).chosen.target.provider_id == "own"
    assert routed(at, OPENAI_CHAT, messages=CHAT).chosen.target.provider_id == "own"


@pytest.mark.parametrize(
    "local",
    [
        OWN,
        provider("own", "vllm", base_url="https://vllm.public.example"),
        provider("own", "openai_compatible", base_url="http://localhost:8000/v1"),
        provider("own", "openai", base_url="http://proxy.internal/v1"),
        provider("own", "openai_compatible", base_url="https://llm.example/v1", local_data=True),
        provider("own", "openai_compatible", base_url="https://llm.example/v1", local_data=True)
        | {"allowed_media_domains": ["other.example", "http://pictures.example"]},
    ],
    ids=["vllm", "public vllm", "loopback", "private", "local data", "another host"],
)
@pytest.mark.parametrize("model", [None, "own-model"], ids=["any", "named"])
def test_where_nobody_may_fetch_a_link_the_refusal_says_what_would_do(
    local: dict[str, Any], model: str | None
) -> None:
    refused = refusal(gateway(local), OPENAI_CHAT, **picture(), model=model)

    assert (refused.status, refused.code) == (400, "link_not_allowed")
    assert "may not fetch https://pictures.example" in refused.message
    assert "allowed_media_domains of provider 'own'" in refused.message
    assert "data: URI" in refused.message


def test_a_host_that_the_operator_lists_is_fetched_from_inside() -> None:
    at = gateway(OWN | {"allowed_media_domains": ["*.example"]})

    assert routed(at, OPENAI_CHAT, **picture()).chosen.target.provider_id == "own"
    for url in ("http://pictures.example/1.png", "https://pictures.example:8443/1", "https://10.0.0.9/1.png"):
        assert refusal(at, OPENAI_CHAT, **picture(url)).code == "link_not_allowed"
    assert refusal(at, OPENAI_CHAT, **chat_with(*picture()["messages"][0]["content"][1:], {
        "type": "video_url", "video_url": {"url": "file:///etc/passwd"}
    })).code == "link_not_allowed"  # fmt: skip


def test_links_of_every_format_count() -> None:
    at = gateway(OWN)
    source = {"type": "url", "url": LINK}
    document = [{"role": "user", "content": [{"type": "document", "source": source}]}]
    file = [{"role": "user", "content": [{"type": "input_file", "file_url": LINK}]}]

    assert refusal(at, ANTHROPIC_MESSAGES, messages=document, max_tokens=5).code == "link_not_allowed"
    assert refusal(at, OPENAI_RESPONSES, input=file).code == "link_not_allowed"


def test_litellm_runs_in_the_gateway_and_fetches_nothing_either() -> None:
    audio = chat_with({"type": "audio_url", "audio_url": {"url": "https://sounds.example/1.mp3"}})

    assert refusal(gateway(provider("g", "gemini")), OPENAI_CHAT, **audio).code == "link_not_allowed"


def test_a_hosted_model_fetches_what_its_engine_allows() -> None:
    def hosted(**more: Any) -> dict[str, Any]:
        return {name: value for name, value in provider("own", "vllm", **more).items() if name != "api_key"}

    engine = gateway(hosted(local={"engine": {"allowed_media_domains": ["pictures.example"]}}))
    listed = gateway(hosted(local={}, allowed_media_domains=["pictures.example"]))

    for at in (engine, listed):
        assert at.access.targets[0].media_domains is not None
        assert "pictures.example" in at.access.targets[0].media_domains
    assert gateway(hosted(local={})).access.targets[0].media_domains == ()
    with pytest.raises(ValueError, match=r"takes exact hosts only, not '\*.example'"):
        settings(
            {
                "llm_providers": [hosted(local={}, allowed_media_domains=["*.example"])],
                "default_models": {},
            }
        )


def test_functions_of_the_callers_may_have_parameters_of_any_name() -> None:
    schema = {
        "type": "object",
        "properties": {"file_id": {"type": "string"}, "server_url": {"type": "string"}},
    }
    function = {"name": "f", "parameters": schema}
    call = {"type": "function_call", "call_id": "c", "name": "f", "arguments": '{"file_id": "x"}'}
    done = {"type": "function_call_output", "call_id": "c", "output": "file_id: x"}
    anthropic = [{"name": "f", "input_schema": schema}]
    at = gateway(CLOUD)

    assert routed(at, OPENAI_CHAT, messages=CHAT, tools=[{"type": "function", "function": function}])
    assert routed(at, OPENAI_RESPONSES, input=[call, done], tools=[{"type": "function", **function}])
    assert routed(at, ANTHROPIC_MESSAGES, messages=CHAT, max_tokens=5, tools=anthropic)
