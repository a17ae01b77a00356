"""
What changed between releases, as data: one row for each default, name or format that works differently now.

`sekha check` names the rows that touch the configuration at hand, and docs/upgrading.md shows all of them; a
test compares the two.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from serve_app.config.load import Loaded
from serve_app.config.model import CHAT_TASKS
from serve_app.config.policy import BreakerPolicy, RetryPolicy
from serve_app.config.pricing import PriceTable
from serve_app.config.settings import Settings

Environ = Mapping[str, str]

# Models whose price in the classic table is not the one in the bundled list; a test compares them.
REPRICED = frozenset(
    {"gpt-4o", "moonshot-v1-8k", "moonshot-v1-32k", "moonshot-v1-128k", "deepseek-v3", "deepseek-chat"}
)


@dataclass(frozen=True, slots=True)
class Change:
    """
    One row.

    `since` is the first release that works like this; `restores` is the setting that brings the old behaviour
    back, or what to do where none does; `touches` says whether a configuration is affected.
    """

    id: str
    since: str
    before: str
    now: str
    restores: str
    touches: Callable[[Loaded, Environ], bool]


def touching(loaded: Loaded, environ: Environ) -> tuple[Change, ...]:
    """Return the rows that touch this configuration, in the order of the table."""
    return tuple(change for change in CHANGES if change.touches(loaded, environ))


def as_markdown(changes: Iterable[Change]) -> str:
    """Return the table of docs/upgrading.md."""
    lines = ["| Row | Since | Before | Now | To restore it |", "|---|---|---|---|---|"]
    lines += [f"| `{c.id}` | {c.since} | {c.before} | {c.now} | {c.restores} |" for c in changes]
    return "\n".join(lines) + "\n"


# --- predicates ---------------------------------------------------------------------------------------


def _switches_rays_token_off(loaded: Loaded, environ: Environ) -> bool:
    return environ.get("RAY_AUTH_MODE", "").strip().lower() == "disabled"


def _has_no_keys(loaded: Loaded, environ: Environ) -> bool:
    return loaded.settings.auth.is_open


def _is_found(loaded: Loaded, environ: Environ) -> bool:
    return loaded.source == "discovery" and any(p.api_key for p in loaded.settings.llm_providers)


def _goes_by_a_changed_price(loaded: Loaded, environ: Environ) -> bool:
    settings = loaded.settings
    return settings.pricing.table is PriceTable.CURRENT and any(
        model.cost_per_1k_input is None
        and model.cost_per_1k_tokens is None
        and model.model_id.rpartition("/")[2] in REPRICED
        for provider in settings.llm_providers
        for model in provider.models
    )


def _chose_default_models(loaded: Loaded, environ: Environ) -> bool:
    return any(note.startswith("default_models is not set") for note in loaded.notes)


def _has_several_chat_models(loaded: Loaded, environ: Environ) -> bool:
    chats = {
        (provider.id, model.model_id)
        for provider in loaded.settings.llm_providers
        for model in provider.models
        if model.task in CHAT_TASKS
    }
    return loaded.settings.routing.auto_fallback and len(chats) > 1


def _leaves_patience_to_us(loaded: Loaded, environ: Environ) -> bool:
    settings = loaded.settings
    return (
        _leaves_out(settings.circuit_breaker, BreakerPolicy)
        or any(_leaves_out(p.retry, RetryPolicy) for p in settings.llm_providers)
        or any("first_token_timeout_s" not in p.model_fields_set for p in settings.llm_providers)
    )


def _leaves_out(section: BreakerPolicy | RetryPolicy, kind: type[BreakerPolicy | RetryPolicy]) -> bool:
    return bool(set(kind.model_fields) - section.model_fields_set)


def _leaves_body_limit_to_us(loaded: Loaded, environ: Environ) -> bool:
    return "max_body_mb" not in loaded.settings.router.model_fields_set


def _has_vllm(loaded: Loaded, environ: Environ) -> bool:
    return _vllm_endpoint(loaded.settings) or any(p.type == "vllm" for p in loaded.settings.llm_providers)


def _vllm_endpoint(settings: Settings) -> bool:
    return settings.backends.vllm_endpoint is not None


def _endpoint_alone(loaded: Loaded, environ: Environ) -> bool:
    return loaded.source == "discovery" and _vllm_endpoint(loaded.settings)


def _has_tenants_and_admins(loaded: Loaded, environ: Environ) -> bool:
    return bool(loaded.settings.auth.admin_keys or loaded.settings.tenants)


# --- the table ----------------------------------------------------------------------------------------

CHANGES = (
    Change(
        "prices-current",
        "2.1.0",
        "routing, budgets and the ledger went by a short table of version 1 first: gpt-4o at $5 and $15 a "
        "million tokens",
        "they go by the dated list that comes with LiteLLM, or a newer one from `sekha prices update`; the "
        "Python functions of version 1 keep the old table",
        "`pricing: {table: classic}`",
        _goes_by_a_changed_price,
    ),
    Change(
        "zero-config-models",
        "2.1.0",
        "a vendor's key alone brought gpt-4o and gpt-4o-mini, Claude 3.5 Sonnet and Haiku, DeepSeek Chat at "
        "OpenRouter",
        "it brings gpt-5.4 and gpt-5.4-mini; Claude Sonnet 4.6, Haiku 4.5 and Opus 4.6; OpenAI's two at "
        "OpenRouter",
        "name the models in a file: `configs/cloud.yaml` is one to start from",
        _is_found,
    ),
    Change(
        "vllm-endpoint-provider",
        "2.1.0",
        "`VLLM_ENDPOINT` without a configuration made no provider; a switch to vllm reported success and "
        "changed nothing",
        "it makes the provider `vllm_own`; a switch to a backend without a provider fails",
        "leave `VLLM_ENDPOINT` unset",
        _endpoint_alone,
    ),
    Change(
        "vllm-endpoint-addresses",
        "2.1.0",
        "an endpoint set at run time could be any address",
        "link-local addresses, metadata services and the gateway itself are refused",
        "none; an address in the configuration is not restricted",
        _has_vllm,
    ),
    Change(
        "default-models-chosen",
        "2.1.0",
        "a file without `default_models` did not start",
        "they are chosen from the models, and the start names them",
        "write `default_models: {}` for none",
        _chose_default_models,
    ),
    Change(
        "tenants-set-partial",
        "2.1.0",
        "`sekha tenants set` removed every bound that it did not name",
        "it changes what is named, `--clear` removes; `PUT /api/admin/tenants/{id}` still replaces the whole "
        "tenant, `PATCH` changes fields",
        "`--clear budgets --clear rates --clear models --clear tasks` before the new values",
        _has_tenants_and_admins,
    ),
    Change(
        "named-models",
        "2.1.0",
        "a request that names a model could be answered by another one for any reason: no vision, no budget, "
        "an open breaker",
        "another one answers only when the named one fails; else the request is refused with the reason",
        "send `auto` or a task instead of a model",
        _has_several_chat_models,
    ),
    Change(
        "patience",
        "2.1.0",
        "a breaker stayed open for 60 s, and a stream could be silent for 60 s before its first token",
        "the defaults of `circuit_breaker`, `retry` and `first_token_timeout_s` are shorter",
        "`circuit_breaker: {failure_threshold: 5, reset_timeout: 60, half_open_timeout: 30}`, and for each "
        "provider `first_token_timeout_s: 60`",
        _leaves_patience_to_us,
    ),
    Change(
        "keyless-hosts",
        "2.1.0",
        "a gateway without keys answered under every host name, and to every web page",
        "it answers under the names of loopback, and to pages from there",
        '`router: {allowed_hosts: ["*"], cors_origins: ["*"]}`',
        _has_no_keys,
    ),
    Change(
        "ray-token",
        "2.1.0",
        "`RAY_AUTH_MODE=disabled` in the environment was taken without a word",
        "`sekha serve` does not start without Ray's token, unless `--insecure` is given",
        "`sekha serve --insecure`",
        _switches_rays_token_off,
    ),
    Change(
        "body-limits",
        "2.1.0",
        "requests up to 64 MB, nested to any depth",
        "requests up to 32 MB, nested to 100 levels",
        "`router: {max_body_mb: 64}`; the depth stays",
        _leaves_body_limit_to_us,
    ),
)
