"""What an operator is told of a configuration that is good, but may not do what it seems to."""

from typing import Any

import pytest

from serve_app.config.advice import advice
from serve_app.config.settings import Settings
from tests.support.settings import LOCAL


def told(environ: dict[str, str], **more: Any) -> str:
    return "\n".join(advice(Settings.model_validate({**LOCAL, **more}), environ))


def test_a_key_that_can_be_guessed_is_named_by_its_place_and_never_shown() -> None:
    keys = {"api_keys": ["${CALLERS}", "shorty"], "admin_keys": ["${ROOT}"]}
    said = told({"CALLERS": f"{'k' * 16},guess-me", "ROOT": "b"}, auth=keys)

    assert "auth.api_keys[0]: ${CALLERS} has a key of 8 characters" in said
    assert "auth.api_keys[1]: *** has a key of 6 characters" in said
    assert "auth.admin_keys[0]: ${ROOT} has a key of 1 characters" in said
    assert "guess-me" not in said
    assert "shorty" not in said
    assert told({"CALLERS": "k" * 16, "ROOT": "r" * 16}, auth={**keys, "api_keys": ["${CALLERS}"]}) == ""


def test_references_that_lead_nowhere_and_secrets_that_check_nothing_are_named() -> None:
    said = told({"S": "short"}, auth={"api_keys": ["${GONE}"], "jwt": {"secret": "${S}", "jwks": "/no/file"}})

    assert "auth.api_keys[0]: ${GONE} is not set, so this key admits no caller" in said
    assert "auth.jwt.secret: ${S} holds 5 bytes; HS256 needs 32" in said
    assert "auth.jwt.jwks: there is no file '/no/file'" in said


def test_an_endpoint_that_no_provider_belongs_to_is_named() -> None:
    said = told({}, backends={"vllm_endpoint": "http://box:8000"})

    assert "no provider of type vllm is configured, so no call goes to http://box:8000" in said


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("SEKHA_API_KEY", "SEKHA_API_KEYS"),
        ("SEKHA_ADMIN_KEYES", "SEKHA_ADMIN_KEYS"),
        ("SEKHA_STATEDIR", "SEKHA_STATE_DIR"),
        ("VLLM_ENDPOINTS", "VLLM_ENDPOINT"),
        ("BUDGET_LIMITS", "BUDGET_LIMIT"),
    ],
)
def test_a_variable_that_nothing_reads_is_named_where_it_looks_like_one_of_ours(
    name: str, meant: str
) -> None:
    assert f"{name} is set but not used; did you mean {meant}?" in told({name: "x" * 20})


@pytest.mark.parametrize(
    "name", ["SEKHA_PORT", "SEKHA_SERVICE_HOST", "SEKHA_PORT_5001_TCP", "HOME", "SEKHA_KEY"]
)
def test_other_variables_are_left_alone(name: str) -> None:
    assert told({name: "tcp://10.0.0.1:5001"}) == ""


def test_a_variable_that_the_configuration_refers_to_is_read() -> None:
    assert told({"SEKHA_API_KEY": "k" * 20}, auth={"api_keys": ["${SEKHA_API_KEY}"]}) == ""
