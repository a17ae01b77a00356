"""From file and environment to settings: what wins, what is refused, and in which words."""

import json
import logging
import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from serve_app.config.health import HealthPolicy
from serve_app.config.load import Loaded, load, load_settings
from serve_app.config.model import CLASSIC_TASKS, ModelConfig, ModelTask, VisionCapabilities
from serve_app.config.policy import BreakerPolicy
from serve_app.config.provider import ProviderConfig, ProviderType
from serve_app.config.provider_types import litellm_types, unknown_type
from serve_app.config.secret import Secret
from serve_app.config.settings import DefaultModels, Settings
from serve_app.errors import ConfigError
from serve_app.providers.catalogue.wire_format import WireFormat

MODELS = [
    {"model_id": "nomic-embed-text", "task": "embedding", "dimension": 768},
    {"model_id": "llama3.1:8b", "task": "chat_small"},
    {"model_id": "llama3.1:8b", "task": "chat_smart"},
]
LOCAL = {
    "llm_providers": [{"id": "ollama_local", "type": "ollama", "models": MODELS}],
    "default_models": {
        "embedding": "nomic-embed-text",
        "chat_fast": "llama3.1:8b",
        "chat_smart": "llama3.1:8b",
    },
}
NOWHERE = Path("/nonexistent")


def loaded(source: Any = None, folder: Path = NOWHERE, **environ: str) -> Loaded:
    return load(source, environ, folder=folder, ollama_models=lambda _: None, vllm_models=lambda _: None)


def settings(source: Any = None, folder: Path = NOWHERE, **environ: str) -> Settings:
    return loaded(source, folder, **environ).settings


def complaint(source: Any = None, folder: Path = NOWHERE, **environ: str) -> str:
    with pytest.raises(ConfigError) as caught:
        loaded(source, folder, **environ)
    return str(caught.value)


def with_provider(**changes: Any) -> dict[str, Any]:
    return {**LOCAL, "llm_providers": [{"id": "p", "type": "ollama", "models": MODELS, **changes}]}


def file_of(folder: Path, data: Any, name: str = "config.yaml") -> Path:
    path = folder / name
    path.write_text(data if isinstance(data, str) else json.dumps(data), encoding="utf-8")
    return path


# What everybody relies on


@pytest.mark.contract(47)
def test_an_empty_breaker_section_means_five_sixty_thirty() -> None:
    for section in ({}, None):
        breaker = settings({**LOCAL, "circuit_breaker": section}).circuit_breaker

        assert (breaker.failure_threshold, breaker.reset_timeout, breaker.half_open_timeout) == (5, 60, 30)
        assert breaker.success_threshold == 2


def test_without_a_breaker_section_a_provider_is_tried_again_after_twenty_seconds_or_a_check() -> None:
    breaker = settings(LOCAL).circuit_breaker

    assert (breaker.failure_threshold, breaker.reset_timeout, breaker.half_open_timeout) == (5, 20, 30)
    assert (breaker.reset_timeout_max, breaker.check_interval_s) == (55, 5)


def test_a_wait_that_is_written_counts_exactly() -> None:
    breaker = settings({**LOCAL, "circuit_breaker": {"timeout_secs": 40}}).circuit_breaker

    assert [breaker.wait_s(openings) for openings in (1, 2, 3)] == [40, 40, 40]
    assert breaker.check_interval_s == 0


@pytest.mark.parametrize(
    ("written", "patience", "short_s"),
    [
        ({}, "last_target", 3),
        ({"max_retries": 2}, "every_target", 3),
        ({"first_delay_s": 0.5}, "every_target", 3),
        ({"retry_after_max_s": 5}, "last_target", 5),
        ({"max_retries": 2, "patience": "last_target"}, "last_target", 3),
    ],
    ids=str,
)
def test_retries_that_are_written_hold_at_every_target(
    written: dict[str, Any], patience: str, short_s: float
) -> None:
    retry = settings(with_provider(retry=written)).llm_providers[0].retry

    assert (retry.patience, retry.retry_after_short_s) == (patience, short_s)


@pytest.mark.contract(58)
def test_older_words_for_provider_types_tasks_and_default_models_are_read() -> None:
    assert [kind.value for kind in ProviderType] == ["ollama", "openai", "anthropic"]
    assert list(CLASSIC_TASKS) == [
        "embedding",
        "chat_small",
        "chat_large",
        "chat_smart",
        "vision",
        "audio",
    ]
    assert DefaultModels().chat_vision is None


@pytest.mark.contract(59)
def test_without_providers_nothing_starts() -> None:
    assert "No providers configured" in complaint({"default_models": {}})
    with pytest.raises(ValueError, match="No providers"):
        Settings(llm_providers=(), default_models=DefaultModels())


def test_default_models_that_are_not_said_are_chosen_from_the_models_and_the_notes_say_so() -> None:
    found = load({"llm_providers": LOCAL["llm_providers"]}, {})

    assert found.settings.default_models == Settings.model_validate(LOCAL).default_models
    [note] = found.notes
    assert note.startswith("default_models is not set: embedding nomic-embed-text, chat_fast llama3.1:8b")


@pytest.mark.contract(59)
def test_settings_made_in_python_have_to_say_their_default_models() -> None:
    with pytest.raises(ValueError, match="default_models must be specified"):
        Settings.model_validate({"llm_providers": LOCAL["llm_providers"]})


@pytest.mark.parametrize(
    ("type_", "said"),
    [
        ("opnai", "did you mean 'openai'?"),
        ("antropic", "did you mean 'anthropic'?"),
        ("bedrok", "did you mean 'bedrock'?"),
        ("nothing-like-it", "there are: anthropic, "),
    ],
)
def test_a_type_that_nothing_here_can_speak_to_is_a_mistake_with_a_way_out(type_: str, said: str) -> None:
    text = complaint(with_provider(type=type_))

    assert "llm_providers[0].type: is not a type of provider" in text
    assert said in text
    assert f"'{type_}'" in text


def test_every_provider_litellm_knows_is_a_type() -> None:
    assert len(litellm_types()) > 100
    assert [type_ for type_ in litellm_types() if unknown_type(type_)] == []


def test_litellms_own_list_of_providers_is_the_one_read_off_its_files(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # or it asks the network for prices
    litellm = pytest.importorskip("litellm")

    assert {provider.value for provider in litellm.LlmProviders} <= litellm_types()


@pytest.mark.parametrize("type_", ["openai_compatible", "vllm"])
def test_a_server_that_is_nobodys_in_particular_needs_an_address(type_: str) -> None:
    models = [{"model_id": "m", "task": "chat_small"}]
    source = {"llm_providers": [{"id": "own", "type": type_, "models": models}], "default_models": {}}

    assert f"llm_providers[0].base_url: is required for type {type_}" in complaint(source)
    placed = {**source, "llm_providers": [{**source["llm_providers"][0], "base_url": "http://h"}]}
    assert load(placed, {}).settings.llm_providers


def test_an_endpoint_of_vllm_is_the_address_of_the_first_vllm_without_one() -> None:
    models = [{"model_id": "m", "task": "chat_small"}]
    source = {"llm_providers": [{"id": "own", "type": "vllm", "models": models}], "default_models": {}}

    found = load(source, {"VLLM_ENDPOINT": "http://box:8000"}).settings

    assert found.llm_providers[0].base_url == "http://box:8000"


@pytest.mark.parametrize("kind", ["embedding", "chat_fast", "chat_smart", "chat_vision"])
@pytest.mark.contract(59)
def test_a_default_model_must_be_listed(kind: str) -> None:
    text = complaint({**LOCAL, "default_models": {kind: "missing"}})

    assert f"Default {kind} model 'missing' not found in any provider" in text


@pytest.mark.contract(59)
def test_provider_ids_are_unique() -> None:
    twice = {**LOCAL, "llm_providers": LOCAL["llm_providers"] * 2}

    assert "Duplicate provider IDs found in configuration: ollama_local" in complaint(twice)


@pytest.mark.contract(59)
def test_a_configuration_error_is_a_value_error_too() -> None:
    with pytest.raises(ValueError, match="No providers"):
        load_settings({}, {})


@pytest.mark.contract(62)
def test_a_key_stays_a_reference_and_is_looked_up_later() -> None:
    provider = settings(with_provider(api_key="${OPENAI_API_KEY}"), OPENAI_API_KEY="sk-live").llm_providers[0]

    assert provider.api_key is not None
    assert provider.api_key.reveal({"OPENAI_API_KEY": "sk-live"}) == "sk-live"
    assert provider.api_key.reveal({}) is None
    assert not provider.api_key.is_literal


@pytest.mark.parametrize("key", ["sk-live-1", "${NO_SUCH_KEY:-sk-live-1}"])
@pytest.mark.contract(62)
def test_no_form_of_the_settings_shows_a_key(key: str) -> None:
    found = settings({**with_provider(api_key=key), "auth": {"api_keys": [key]}})

    for text in (repr(found), str(found), found.model_dump_json(), str(found.model_dump()), repr(found.auth)):
        assert "sk-live-1" not in text
    assert pickle.loads(pickle.dumps(found)) == found


@pytest.mark.parametrize(
    "mistake",
    [
        with_provider(api_key="sk-live-1", typ="x"),
        with_provider(apikey="sk-live-1"),
        with_provider(api_key=["sk-live-1"]),
        with_provider(api_key={"key": "sk-live-1"}),
        with_provider(api_key="sk-live-1${HALF}"),
        {**LOCAL, "auth": {"api_keys": "sk-live-1"}},
        {**LOCAL, "auth": ["sk-live-1"]},
        {**LOCAL, "openai_api_key": "sk-live-1"},
    ],
)
@pytest.mark.contract(62)
def test_no_mistake_shows_a_key(mistake: dict[str, Any]) -> None:
    assert "sk-live-1" not in complaint(mistake)
    with pytest.raises(ValueError, match="validation error") as caught:
        Settings.model_validate(mistake)
    assert "sk-live-1" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        'api_key: "sk-live-1\nport: 1',
        "api_key: sk-live-1: x",
        "api_key: *sk-live-1",
        "api_key: !sk-live-1 x",
        "api_key: {sk-live-1",
        "api_key: sk-live-1\n\tport: 1",
    ],
)
@pytest.mark.contract(62)
def test_broken_yaml_does_not_quote_the_line(tmp_path: Path, text: str) -> None:
    said = complaint(file_of(tmp_path, text))

    assert "not valid YAML" in said
    assert "line" in said
    assert "sk-live-1" not in said


@pytest.mark.contract(63)
def test_synonyms_load_to_the_same_settings() -> None:
    other = {
        "config_version": "2.0",
        "providers": [
            {
                "id": "ollama_local",
                "provider_type": "ollama",
                "timeout_secs": 30,
                "models": MODELS,
            }
        ],
        "default_models": LOCAL["default_models"],
        "circuit_breaker": {"timeout_seconds": 9, "half_open_requests": 3},
        "routing": {"enable_fallback": False, "cost_limit_per_request": 0.5, "require_vision": False},
        "server_host": "127.0.0.1",
        "server_port": 6001,
    }
    usual = {
        "version": "2.0",
        "llm_providers": [{"id": "ollama_local", "type": "ollama", "timeout": 30, "models": MODELS}],
        "default_models": LOCAL["default_models"],
        "circuit_breaker": {"reset_timeout": 9, "success_threshold": 3},
        "routing": {
            "auto_fallback": False,
            "max_cost_per_request": 0.5,
            "require_vision_for_images": False,
        },
        "host": "127.0.0.1",
        "port": 6001,
    }

    assert settings(other) == settings(usual)


@pytest.mark.contract(64)
def test_broken_json_in_a_variable_is_refused_by_name() -> None:
    text = complaint(SEKHA__LLM_PROVIDERS='[{"id": "a",}]', OLLAMA_URL="http://old:11434")

    assert re.fullmatch(r"SEKHA__LLM_PROVIDERS: not valid JSON: .* \(line 1, column \d+\)", text)


@pytest.mark.contract(78)
def test_a_model_that_sees_has_limits() -> None:
    seeing = ModelConfig(model_id="m", task=ModelTask.CHAT_SMART, supports_vision=True)

    assert seeing.vision_capabilities == VisionCapabilities()
    assert VisionCapabilities().max_images == 10
    assert VisionCapabilities().max_image_size_mb == 20
    assert VisionCapabilities().supported_formats == ("jpg", "jpeg", "png", "gif", "webp")
    assert ModelConfig(model_id="m", task=ModelTask.CHAT_SMART).vision_capabilities is None
    blind = ModelConfig.model_validate({"model_id": "m", "task": "audio", "supports_vision": "false"})
    assert blind.vision_capabilities is None


# Which file


def test_the_argument_beats_the_variables_and_the_folder(tmp_path: Path) -> None:
    mine = file_of(tmp_path, {**LOCAL, "port": 1111}, "mine.yaml")
    named = file_of(tmp_path, {**LOCAL, "port": 2222}, "named.yaml")
    file_of(tmp_path, {**LOCAL, "port": 3333})

    assert settings(mine, tmp_path, CONFIG_PATH=str(named)).port == 1111
    assert settings(str(mine), tmp_path).port == 1111
    assert settings(None, tmp_path, CONFIG_PATH=str(named)).port == 2222
    assert settings(None, tmp_path, SEKHA_CONFIG=str(named)).port == 2222
    assert settings(None, tmp_path, LLM_CONFIG_PATH=str(named)).port == 2222
    assert settings(None, tmp_path, CONFIG_PATH=" ").port == 3333
    assert loaded(None, tmp_path).source == str(tmp_path / "config.yaml")


def test_a_file_that_is_not_there_is_a_mistake_and_no_reason_to_look_elsewhere(tmp_path: Path) -> None:
    file_of(tmp_path, LOCAL)

    assert complaint(tmp_path / "gone.yaml", tmp_path).startswith("there is no configuration file")
    assert complaint(None, tmp_path, SEKHA_CONFIG="/gone.yaml").startswith("SEKHA_CONFIG: there is no")


def test_a_folder_and_bytes_are_no_configuration(tmp_path: Path) -> None:
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe\x00")

    assert "Is a directory" in complaint(tmp_path)
    assert "UTF-8" in complaint(tmp_path / "bytes.yaml")


def test_an_empty_file_configures_nothing(tmp_path: Path) -> None:
    assert "No providers configured" in complaint(file_of(tmp_path, "# nothing yet\n"))


@pytest.mark.parametrize("text", ["- a\n", "just words\n", "5\n"])
def test_a_file_is_a_mapping_at_the_top(tmp_path: Path, text: str) -> None:
    assert "must be a mapping" in complaint(file_of(tmp_path, text))


def test_a_key_that_stands_twice_is_refused_with_its_line(tmp_path: Path) -> None:
    text = complaint(file_of(tmp_path, "port: 5001\nhost: a\nport: 5002\n"))

    assert "line 3" in text
    assert "“port” stands already on line 1" in text


def test_anchors_may_be_shared_and_overridden(tmp_path: Path) -> None:
    text = """
llm_providers:
  - &base {id: a, type: ollama, timeout: 10, models: [{model_id: m, task: chat_small}]}
  - {<<: *base, id: b}
default_models: {chat_fast: m}
"""
    assert [p.id for p in settings(file_of(tmp_path, text)).llm_providers] == ["a", "b"]


@pytest.mark.parametrize("text", ["a: &a [*a]\n", "a: !!bool x\n", "a: 2024-99-99\n", "[" * 20_000])
def test_odd_yaml_is_a_mistake_like_any_other(tmp_path: Path, text: str) -> None:
    assert complaint(file_of(tmp_path, text))


def test_the_version_may_be_written_without_quotes() -> None:
    assert settings({**LOCAL, "version": 2.0}).version == "2.0"
    assert "must be 2.0" in complaint({**LOCAL, "version": "1.0"})


# Variables


def test_providers_from_a_variable_replace_the_files_list() -> None:
    mine = [{"id": "b", "type": "openai", "models": MODELS}]
    found = loaded(LOCAL, SEKHA__LLM_PROVIDERS=json.dumps(mine))

    assert [p.id for p in found.settings.llm_providers] == ["b"]
    assert found.source == "SEKHA__LLM_PROVIDERS"


@pytest.mark.parametrize("prefix", ["SEKHA__", "SEKHA_", ""])
def test_two_variables_are_a_configuration(prefix: str) -> None:
    found = settings(
        **{
            f"{prefix}LLM_PROVIDERS": json.dumps(LOCAL["llm_providers"]),
            f"{prefix}DEFAULT_MODELS": json.dumps(LOCAL["default_models"]),
        }
    )

    assert found == settings(LOCAL)


def test_the_longest_prefix_wins() -> None:
    lists = {name: json.dumps([{"id": name.lower(), "type": "ollama", "models": MODELS}]) for name in "ABC"}

    found = settings(
        LOCAL, LLM_PROVIDERS=lists["A"], SEKHA_LLM_PROVIDERS=lists["B"], SEKHA__LLM_PROVIDERS=lists["C"]
    )
    assert found.llm_providers[0].id == "c"
    found = settings(LOCAL, LLM_PROVIDERS=lists["A"], SEKHA_LLM_PROVIDERS=lists["B"])
    assert found.llm_providers[0].id == "b"


def test_providers_alone_choose_their_default_models_and_say_so(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        found = loaded(SEKHA__LLM_PROVIDERS=json.dumps(LOCAL["llm_providers"]))

    assert found.settings.default_models == settings(LOCAL).default_models
    assert "default_models is not set" in caplog.text
    assert found.notes == (caplog.messages[0],)


def test_default_models_alone_replace_the_files() -> None:
    found = settings(LOCAL, SEKHA__DEFAULT_MODELS='{"chat_fast": "llama3.1:8b"}')

    assert found.default_models == DefaultModels(chat_fast="llama3.1:8b")


def test_nested_variables_reach_every_section() -> None:
    found = settings(
        LOCAL,
        SEKHA__CIRCUIT_BREAKER__FAILURE_THRESHOLD="7",
        SEKHA__CIRCUIT_BREAKER__TIMEOUT_SECS="12",
        SEKHA__ROUTING__CIRCUIT_BREAKER__HALF_OPEN_TIMEOUT="8",
        SEKHA__ROUTING__AUTO_FALLBACK="false",
        SEKHA__ROUTING__MAX_COST_PER_REQUEST="0.25",
        SEKHA__ROUTER__AUTOSCALING__MAX_REPLICAS="9",
        SEKHA__HOST="127.0.0.1",
        SEKHA__PORT="6000",
        SEKHA__LOG_LEVEL="debug",
    )

    assert found.circuit_breaker == BreakerPolicy(failure_threshold=7, reset_timeout=12, half_open_timeout=8)
    assert (found.routing.auto_fallback, found.routing.max_cost_per_request) == (False, 0.25)
    assert found.router.autoscaling.max_replicas == 9
    assert found.router.autoscaling.target_ongoing_requests == 200
    assert (found.host, found.port, found.log_level) == ("127.0.0.1", 6000, "DEBUG")


def test_a_variable_overrides_the_files_synonym_for_the_same_thing() -> None:
    source = {**LOCAL, "routing": {"circuit_breaker": {"timeout_secs": 5, "success_threshold": 4}}}

    breaker = settings(source, CB_RESET_TIMEOUT="6").circuit_breaker

    assert (breaker.reset_timeout, breaker.success_threshold, breaker.failure_threshold) == (6, 4, 3)


@pytest.mark.parametrize(
    "source",
    [
        {"health_check_interval": 30},
        {"health_check_interval": 30, "health": None},
        {"health": {"health_check_interval": 30}},
        {"health": {"interval": 30}},
        {"health": {"interval_s": 30}},
    ],
    ids=str,
)
def test_the_interval_of_health_checks_may_be_written_as_before(source: dict[str, Any]) -> None:
    assert settings({**LOCAL, **source}).health == HealthPolicy(interval_s=30)


@pytest.mark.parametrize("variable", ["SEKHA__HEALTH_CHECK_INTERVAL", "SEKHA__HEALTH__INTERVAL_S"])
def test_a_variable_overrides_the_files_interval_of_health_checks(variable: str) -> None:
    source = {**LOCAL, "health_check_interval": 90, "health": {"timeout_s": 2}}

    assert settings(source, **{variable: "30"}).health == HealthPolicy(interval_s=30, timeout_s=2)


def test_compose_names_work_and_yield_to_the_long_ones() -> None:
    compose = {
        "CB_FAILURE_THRESHOLD": "4",
        "CB_RESET_TIMEOUT": "61",
        "CB_HALF_OPEN_TIMEOUT": "31",
        "ROUTING_AUTO_FALLBACK": "false",
        "ROUTING_MAX_COST": "0.10",
    }
    found = settings(LOCAL, **compose)

    assert found.circuit_breaker == BreakerPolicy(failure_threshold=4, reset_timeout=61, half_open_timeout=31)
    assert (found.routing.auto_fallback, found.routing.max_cost_per_request) == (False, 0.10)
    assert settings(LOCAL, **compose, SEKHA__ROUTING__MAX_COST_PER_REQUEST="null").routing == (
        found.routing.model_copy(update={"max_cost_per_request": None})
    )


def test_an_empty_variable_is_not_set() -> None:
    assert settings(LOCAL, SEKHA__LLM_PROVIDERS="", ROUTING_MAX_COST="", SEKHA_API_KEYS=" ") == settings(
        LOCAL
    )


def test_an_indexed_variable_changes_one_provider_and_keeps_a_key_in_its_place() -> None:
    environ = {"SEKHA__LLM_PROVIDERS__0__API_KEY": "sk-live", "SEKHA__LLM_PROVIDERS__0__TIMEOUT": "9"}
    found = settings({**LOCAL}, **environ)

    assert found.llm_providers[0].timeout == 9
    assert found.llm_providers[0].api_key == Secret("${SEKHA__LLM_PROVIDERS__0__API_KEY}")
    assert found.llm_providers[0].api_key.reveal(environ) == "sk-live"
    assert LOCAL["llm_providers"][0] == {"id": "ollama_local", "type": "ollama", "models": MODELS}


def test_indexed_variables_may_make_a_whole_provider() -> None:
    found = settings(
        SEKHA__LLM_PROVIDERS__0__ID="a",
        SEKHA__LLM_PROVIDERS__0__TYPE="ollama",
        SEKHA__LLM_PROVIDERS__0__MODELS=json.dumps(MODELS),
        SEKHA__DEFAULT_MODELS="{}",
    )

    assert found.llm_providers[0].id == "a"


def test_a_position_behind_the_end_is_refused() -> None:
    text = complaint(LOCAL, SEKHA__LLM_PROVIDERS__5__TIMEOUT="9")

    assert text.startswith("SEKHA__LLM_PROVIDERS__5__TIMEOUT: llm_providers[5].timeout: cannot be set")


def test_caller_keys_are_kept_by_reference_and_added_to_the_files() -> None:
    environ = {"SEKHA_API_KEYS": "one, two,", "MINE": "three"}
    auth = settings({**LOCAL, "auth": {"api_keys": ["${MINE}"]}}, **environ).auth

    assert [entry.key for entry in auth.api_keys] == [Secret("${MINE}"), Secret("${SEKHA_API_KEYS}")]
    assert auth.keys(environ) == {"one", "two", "three"}
    assert not auth.is_open


def test_a_caller_key_that_leads_nowhere_still_closes_the_door() -> None:
    auth = settings({**LOCAL, "auth": {"api_keys": ["${MINE}"]}}).auth

    assert auth.keys({}) == frozenset()
    assert not auth.is_open
    assert settings(LOCAL).auth.is_open


def test_kubernetes_may_set_a_port_that_is_no_number() -> None:
    assert settings(LOCAL, SEKHA_PORT="tcp://10.0.0.1:80").port == 5001


@pytest.mark.parametrize(
    ("variable", "hint"),
    [
        ("SEKHA__LLM_PROVIDER", "did you mean 'llm_providers'?"),
        ("SEKHA__ROUTING__AUTO_FALBACK", "did you mean 'auto_fallback'?"),
        ("SEKHA__FROBNICATE", "there are: version"),
        ("SEKHA__PORT__NUMBER", "this setting has no members"),
        ("SEKHA__LLM_PROVIDERS__FIRST__ID", "must be a number"),
        ("SEKHA__", "unknown setting ''"),
    ],
)
def test_a_variable_nobody_knows_is_refused(variable: str, hint: str) -> None:
    text = complaint(LOCAL, **{variable: "[]"})

    assert text.startswith(f"{variable}: ")
    assert hint in text


def test_json_has_no_twins_and_no_nan() -> None:
    assert "appears twice" in complaint(SEKHA__LLM_PROVIDERS='[{"id": "a", "id": "b"}]')
    assert "NaN" in complaint(SEKHA__LLM_PROVIDERS='[{"timeout": NaN}]')


# ${VAR}


def test_variables_are_put_into_any_string() -> None:
    provider = settings(
        with_provider(base_url="http://${HOST}:${PORT:-11434}${TAIL:-}", timeout="${SECONDS}"),
        HOST="box",
        SECONDS="30",
    ).llm_providers[0]

    assert (provider.base_url, provider.timeout) == ("http://box:11434", 30)


def test_a_doubled_dollar_stays_text() -> None:
    source = with_provider(type="scripted", script={"answer": "$${HOME} and $5"})

    assert settings(source, HOME="/root").llm_providers[0].script.answer == "${HOME} and $5"


def test_an_unset_variable_is_null_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        found = loaded(with_provider(base_url="http://${NOWHERE}/v1"))

    assert found.settings.llm_providers[0].base_url is None
    assert "llm_providers[0].base_url: variable NOWHERE is not set" in caplog.text
    assert found.notes == tuple(caplog.messages)


def test_an_unset_variable_explains_the_mistake_it_makes() -> None:
    assert complaint({**LOCAL, "port": "${MY_PORT}"}) == (
        "configuration: port: must be a valid integer, not '${MY_PORT}' (MY_PORT is not set)"
    )


def test_a_message_shows_what_was_written_and_not_the_variables_value() -> None:
    text = complaint(with_provider(base_url="${DSN}"), DSN="postgres://me:secret@db")

    assert "'${DSN}'" in text
    assert "secret" not in text


# Mistakes


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (with_provider(timout=1), "llm_providers[0].timout: unknown key; did you mean 'timeout'?"),
        (with_provider(timeout=0), "llm_providers[0].timeout: must be greater than or equal to 1, not 0"),
        (with_provider(timeout=601), "llm_providers[0].timeout: must be less than or equal to 600, not 601"),
        (
            with_provider(priority=101),
            "llm_providers[0].priority: must be less than or equal to 100, not 101",
        ),
        (with_provider(id="A b"), "llm_providers[0].id: must match pattern '^[a-z0-9_-]+$', not 'A b'"),
        (with_provider(base_url="box"), "base_url: must be a web address that starts with http:// or https"),
        (with_provider(models=7), "llm_providers[0].models: must be a list, not 7"),
        ({**LOCAL, "routing": 7}, "routing: must be a mapping, not 7"),
        ({**LOCAL, "port": 80}, "port: must be between 1024 and 65535, or 0 for any free port, not 80"),
        ({**LOCAL, "log_level": "loud"}, "log_level: must be one of debug, info, warn, error, not 'loud'"),
        ({**LOCAL, "circuit_breaker": {"failure_threshold": 11}}, "less than or equal to 10, not 11"),
        ({**LOCAL, "routing": {"max_cost_per_request": float("inf")}}, "must be a finite number, not inf"),
        ({**LOCAL, "routing": {"strategy": "cheap"}}, "did you mean 'cheapest'?"),
        (
            {**LOCAL, "router": {"autoscaling": {"min_replicas": 5}}},
            "router.autoscaling: min_replicas 5 is above max_replicas 4",
        ),
        (
            {**LOCAL, "circuit_breaker": {}, "routing": {"circuit_breaker": {}}},
            "'circuit_breaker' is set at the top level and under 'routing'",
        ),
        (
            {**LOCAL, "health_check_interval": 30, "health": {"interval": 30}},
            "'health_check_interval' means the same as 'health.interval_s'",
        ),
        ({**LOCAL, "health_check_interval": 0}, "health.interval_s: must be greater than or equal to 1"),
        ({**LOCAL, "health_check_interval": 30, "health": 7}, "health: must be a mapping, not 7"),
        (with_provider(timeout_secs=1, timeout=1), "timeout: means the same as 'timeout_secs': keep one"),
        (with_provider(models=MODELS + MODELS[:1]), "lists model 'nomic-embed-text' for embedding more than"),
    ],
)
def test_a_mistake_names_its_place_its_value_and_what_would_do(
    source: Mapping[str, Any], expected: str
) -> None:
    assert expected in complaint(source)


def test_an_unknown_task_lists_the_tasks(tmp_path: Path) -> None:
    models = [{"model_id": "m", "task": "chat_smal"}]
    path = file_of(tmp_path, with_provider(models=models))

    assert complaint(path) == (
        f"{path}: llm_providers[0].models[0].task: must be one of embedding, chat_small, chat_large, "
        "chat_smart, vision, audio, rerank, speech, transcription, moderation, image_generation, not "
        "'chat_smal'; did you mean 'chat_small'?"
    )


def test_several_mistakes_come_in_one_message_each_with_its_origin() -> None:
    text = complaint(
        with_provider(priority=0, typ="x"),
        SEKHA__ROUTING__STRATEGY="luck",
        SEKHA__NOPE="1",
        CB_RESET_TIMEOUT="x",
    )

    lines = text.splitlines()
    assert lines[0] == "the configuration has 5 mistakes:"
    assert [line.split(":")[0].strip() for line in lines[1:]] == [
        "SEKHA__NOPE",
        "configuration",
        "configuration",
        "CB_RESET_TIMEOUT",
        "SEKHA__ROUTING__STRATEGY",
    ]


def test_a_long_or_nested_value_is_not_repeated_in_full() -> None:
    assert len(complaint(with_provider(priority="9" * 5000))) < 200
    assert "a mapping" in complaint(with_provider(priority={"a": 1}))
    assert "a huge number" in complaint(with_provider(priority=10**4000))


def test_any_type_of_provider_is_taken_in_lower_case() -> None:
    assert ProviderConfig(id="m", type="Moonshot").type == "moonshot"


# Secrets


def test_a_secret_may_stand_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("sk-file\n", encoding="utf-8")

    assert Secret(f"${{file:{tmp_path}/key}}").reveal({}) == "sk-file"
    assert Secret(f"${{file:{tmp_path}/gone}}").reveal({}) is None
    assert Secret("${A:-spare}").reveal({}) == "spare"
    assert Secret("${A:-spare}").reveal({"A": "mine"}) == "mine"
    assert Secret("").reveal({}) is None
    assert (str(Secret("${A}")), str(Secret("sk-1"))) == ("Secret('${A}')", "Secret('***')")


@pytest.mark.parametrize("type_", ["anthropic", "scripted", "cohere"])
def test_a_task_with_an_endpoint_of_its_own_is_for_providers_that_have_such_endpoints(type_: str) -> None:
    models = [{"model_id": "m", "task": "rerank"}]

    with pytest.raises(ValueError, match="'m' is for rerank, which type"):
        settings(with_provider(type=type_, models=models))


@pytest.mark.parametrize("formats", [None, ["openai_chat"]])
def test_a_provider_is_asked_in_the_formats_of_its_models_tasks(formats: list[str] | None) -> None:
    models = [{"model_id": "m", "task": "rerank"}]

    [provider] = settings(
        {**with_provider(type="together", models=models, formats=formats), "default_models": {}}
    ).llm_providers

    assert {WireFormat.OPENAI_CHAT, WireFormat.RERANK} <= provider.spoken_formats
