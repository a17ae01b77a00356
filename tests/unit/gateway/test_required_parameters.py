"""A request that wants all of its parameters to be taken."""

from typing import Any

import orjson
import pytest

from serve_app.errors import InvalidRequest
from serve_app.formats.json_body import InvalidField
from serve_app.formats.openai_chat.request import read_chat
from serve_app.formats.openai_embeddings import read_embedding
from tests.support.clock import FakeClock
from tests.support.harness import Harness, ListedProvider
from tests.support.settings import settings

HI = [{"role": "user", "content": "hi"}]
EVERYTHING = {"seed": 7, "n": 2, "logit_bias": {"1": 1}}


def provider(id_: str, type_: str, **tasks: str) -> dict[str, Any]:
    models = [{"model_id": model, "task": task} for task, model in tasks.items()]
    where = {"base_url": "http://127.0.0.1:9", "api_key": "k"}
    return {"id": id_, "type": type_, "models": models, **where}


def gateway(*providers: dict[str, Any], **routing: Any) -> Harness:
    listed = [{**given, "priority": rank} for rank, given in enumerate(providers, start=1)]
    configured = settings({"llm_providers": listed, "default_models": {}}, routing=routing)
    nobody = {given["id"]: ListedProvider(RuntimeError()) for given in listed}
    return Harness(configured, nobody, FakeClock())


CAREFREE = provider("small", "ollama", chat_smart="llama", embedding="nomic")
ABLE = provider("able", "openai_compatible", chat_smart="big", chat_large="bigger")


def chosen(at: Harness, **asked: Any) -> str:
    request = read_chat(orjson.dumps({"messages": HI, **asked}))
    return at.route(at.requirements(request)).ordered[0].target.name


def test_a_target_that_takes_everything_goes_before_a_better_one_that_does_not() -> None:
    at = gateway(CAREFREE, ABLE)

    assert chosen(at, **EVERYTHING) == "small/llama"
    assert chosen(at, **EVERYTHING, provider={"require_parameters": True}) == "able/big"
    assert chosen(at, **EVERYTHING, require_parameters=True) == "able/big"
    assert chosen(at, seed=7, n=1, require_parameters=True) == "small/llama"


def test_an_operator_may_require_it_of_every_request() -> None:
    at = gateway(CAREFREE, ABLE, require_parameters=True)

    assert chosen(at, **EVERYTHING) == "able/big"
    assert chosen(at, seed=7) == "small/llama"


def test_the_refusal_names_the_parameters_and_who_takes_them() -> None:
    others = provider("able", "openai_compatible", chat_large="bigger", vision="eye")
    at = gateway(CAREFREE, others)

    with pytest.raises(InvalidRequest) as refused:
        chosen(at, **EVERYTHING, model="chat_smart", require_parameters=True)

    assert (refused.value.status, refused.value.code) == (400, "unsupported_parameters")
    assert "small/llama: does not take logit_bias, n" in str(refused.value)
    assert "able/bigger" in str(refused.value)


def test_a_named_model_is_not_replaced_for_a_parameter() -> None:
    at = gateway(CAREFREE, ABLE)

    with pytest.raises(InvalidRequest) as refused:
        chosen(at, **EVERYTHING, model="llama", require_parameters=True)

    assert (refused.value.status, refused.value.code) == (400, "unsupported_parameters")
    assert "logit_bias, n" in str(refused.value)
    assert "able/big" in str(refused.value)


def test_a_vendor_that_only_the_translator_knows_promises_nothing_special() -> None:
    at = gateway(provider("cloud", "cohere_chat", chat_smart="command"), ABLE)

    assert chosen(at, seed=7, require_parameters=True) == "able/big"
    assert chosen(at, temperature=0.5, require_parameters=True) == "cloud/command"


def test_vectors_may_require_it_too() -> None:
    at = gateway(provider("small", "mistral", embedding="embed"))
    body = {"input": "x", "user": "u", "require_parameters": True}

    with pytest.raises(InvalidRequest, match="does not take user"):
        at.route(at.requirements(read_embedding(orjson.dumps(body))))


@pytest.mark.parametrize("wrong", [{"require_parameters": 1}, {"provider": {"require_parameters": "yes"}}])
def test_it_is_true_or_false(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidField, match="require_parameters"):
        read_chat(orjson.dumps({"messages": HI, **wrong}))
