"""What a caller may use: models and tasks, from the plan to the words of a refusal."""

import orjson
import pytest

from serve_app.caller import ANYONE, Caller
from serve_app.config.model import ModelTask
from serve_app.errors import GatewayError, ModelNotAllowed, ModelNotFound
from serve_app.events import RequestFailed
from serve_app.formats.anthropic_messages.request import read_messages
from serve_app.formats.openai_chat.request import read_chat
from serve_app.formats.openai_embeddings import read_embedding
from serve_app.gateway.request import GatewayRequest, Operation
from serve_app.gateway.requirements_reader import RequirementsReader
from serve_app.pricing.usage import Usage
from serve_app.providers.base import Answer
from serve_app.routing.eligibility import Obstacle
from serve_app.routing.requirements import Requirements
from tests.support.clock import FakeClock
from tests.support.harness import Harness, ListedProvider
from tests.support.settings import HYBRID, settings, two_providers

pytestmark = pytest.mark.anyio

ANSWER = Answer(b'{"id":"1"}', Usage(10, 5), 0.1)
SECOND = Caller(models=frozenset({"second-chat", "second/second-embed"}))
EMBEDS = Caller(tasks=frozenset({"embedding"}))
SEES = Caller(tasks=frozenset({"vision"}))


def harness() -> Harness:
    providers = {name: ListedProvider(ANSWER) for name in ("first", "second")}
    return Harness(two_providers(), providers, FakeClock())


def chat_body(**fields: object) -> bytes:
    return orjson.dumps({"messages": [{"role": "user", "content": "hi"}], **fields})


async def test_a_caller_is_served_by_what_it_may_use() -> None:
    made = harness()

    reply = await made.chat(read_chat(chat_body()), "r", caller=SECOND)

    assert reply.routed.target.name == "second/second-chat"
    assert made.providers["first"].calls == []


@pytest.mark.parametrize(
    ("betas", "widens"),
    [
        ("context-1m-2025-08-07", True),
        ("files-api-2025-04-14, Context-1M-2025-08-07", True),
        ("context-management-2025-06-27", False),
        ("", False),
    ],
)
def test_a_window_that_a_header_widens_is_known_before_anything_is_reserved(betas: str, widens: bool) -> None:
    content = read_messages(chat_body(max_tokens=9))
    asked = GatewayRequest("r", Operation.CHAT, content, headers=(("anthropic-beta", betas),))
    made = harness()

    extent = RequirementsReader(made.running.settings, made.access, made.control).read(asked).extent

    assert extent is not None
    assert extent.widens_window is widens


async def test_a_model_that_is_not_for_the_caller_is_a_403_that_lists_what_is() -> None:
    made = harness()

    with pytest.raises(ModelNotAllowed) as refused:
        await made.chat(read_chat(chat_body(model="first-chat")), "r", caller=SECOND)

    assert (refused.value.status, refused.value.code) == (403, "model_not_allowed")
    assert refused.value.allowed == ("second-chat", "second-embed")
    assert [e.code for e in made.events if isinstance(e, RequestFailed)] == ["model_not_allowed"]


@pytest.mark.parametrize("name", ["first-chat", "first/first-chat"])
async def test_a_preference_for_a_forbidden_model_is_refused_as_well(name: str) -> None:
    with pytest.raises(ModelNotAllowed):
        await harness().chat(read_chat(chat_body(preferred_model=name)), "r", caller=SECOND)


async def test_an_embedding_model_may_be_allowed_by_its_full_name() -> None:
    request = read_embedding(orjson.dumps({"input": "hi", "model": "second-embed"}))

    reply = await harness().embed(request, "r", caller=SECOND)

    assert reply.routed.target.name == "second/second-embed"


async def test_a_task_that_is_not_for_the_caller_is_a_403() -> None:
    with pytest.raises(ModelNotAllowed) as refused:
        await harness().chat(read_chat(chat_body()), "r", caller=EMBEDS)

    assert "first-chat" not in refused.value.message


async def test_an_unknown_model_is_a_404_that_names_no_model_of_others() -> None:
    with pytest.raises(ModelNotFound) as missing:
        await harness().chat(read_chat(chat_body(model="gpt-9")), "r", caller=SECOND)

    assert "second-chat" in missing.value.known
    assert "first-chat" not in missing.value.known


async def test_a_refusal_for_another_reason_names_no_model_of_others() -> None:
    wanted = Requirements(ModelTask.CHAT_SMART, context_size=9_000_000)

    with pytest.raises(GatewayError) as refused:
        harness().route(wanted, SECOND)

    assert "first" not in refused.value.message


def test_the_plan_says_which_targets_were_left_out_for_the_caller() -> None:
    plan = harness().plan(Requirements(ModelTask.CHAT_SMART), SECOND)

    assert [c.target.name for c in plan.ordered] == ["second/second-chat"]
    left_out = {d.candidate.target.name for d in plan.dropped if d.obstacle is Obstacle.FORBIDDEN}
    assert left_out == {"first/first-chat"}


def test_who_may_only_show_pictures_reaches_the_chat_models_that_see() -> None:
    gateway = Harness(settings(HYBRID), {}, FakeClock())

    seen = gateway.plan(Requirements(ModelTask.VISION, require_vision=True), SEES)
    talked = gateway.plan(Requirements(ModelTask.CHAT_SMART), SEES)

    assert [c.target.model_id for c in seen.ordered] == ["gpt-4o"]
    assert not talked.ordered
    assert [t.model_id for t in gateway.access.targets_for(SEES)] == ["gpt-4o"]


def test_anyone_may_use_everything() -> None:
    access = harness().access

    assert access.targets_for(ANYONE) == access.targets


async def test_who_names_a_tier_of_ones_own_hears_that_there_is_no_machine_for_it() -> None:
    with pytest.raises(ModelNotFound) as caught:
        await harness().chat(read_chat(chat_body(model="qwen")))

    assert "served by providers of type 'vllm', and none is configured" in caught.value.told
