"""
The changes between releases, one row for each default, name or format that works differently now.

`sekha check` lists the rows that affect the configuration, and docs/upgrading.md shows all of them; a test
compares the two. The file is long because it is a table.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from serve_app.config import upgrade_conditions
from serve_app.config.load import Loaded
from serve_app.config.upgrade_conditions import Environ, Touches


@dataclass(frozen=True, slots=True)
class Change:
    """
    One change.

    Attributes:
        since: the first release that works like this.
        restores: the setting that restores the old behaviour, or what to do if there is none.
        touches: returns whether a configuration is upgrade_conditions.
    """

    id: str
    since: str
    before: str
    now: str
    restores: str
    touches: Touches

    @property
    def is_everywhere(self) -> bool:
        """Return whether it affects every configuration, because callers and operators see it."""
        return self.touches is upgrade_conditions.every


def touching(loaded: Loaded, environ: Environ) -> tuple[Change, ...]:
    """Return the rows that affect this configuration, in the order of the table."""
    return tuple(change for change in CHANGES if change.touches(loaded, environ))


def as_markdown(changes: Iterable[Change]) -> str:
    """Return the table of docs/upgrading.md."""
    lines = ["| Row | Since | Before | Now | To restore it |", "|---|---|---|---|---|"]
    lines += [f"| `{c.id}` | {c.since} | {c.before} | {c.now} | {c.restores} |" for c in changes]
    return "\n".join(lines) + "\n"


# --- the table ----------------------------------------------------------------------------------------

CHANGES = (
    Change(
        "prices-current",
        "2.1.0",
        "routing, budgets and the ledger went by a short table of version 1 first: gpt-4o at $5 and "
        "$15 a million tokens",
        "they go by the dated list that comes with LiteLLM, or a newer one from `sekha prices "
        "update`; the Python functions of version 1 keep the old table",
        "`pricing: {table: classic}`",
        upgrade_conditions.goes_by_a_changed_price,
    ),
    Change(
        "zero-config-models",
        "2.1.0",
        "a vendor's key alone brought gpt-4o and gpt-4o-mini, Claude 3.5 Sonnet and Haiku, DeepSeek "
        "Chat at OpenRouter",
        "it brings gpt-5.4 and gpt-5.4-mini; Claude Sonnet 4.6, Haiku 4.5 and Opus 4.6; OpenAI's two "
        "at OpenRouter",
        "name the models in a file: `configs/cloud.yaml` is one to start from",
        upgrade_conditions.is_found,
    ),
    Change(
        "vllm-endpoint-provider",
        "2.1.0",
        "`VLLM_ENDPOINT` without a configuration made no provider; a switch to vllm reported success "
        "and changed nothing",
        "it makes the provider `vllm_own`; a switch to a backend without a provider fails",
        "leave `VLLM_ENDPOINT` unset",
        upgrade_conditions.endpoint_alone,
    ),
    Change(
        "vllm-endpoint-addresses",
        "2.1.0",
        "an endpoint set at run time could be any address",
        "link-local addresses, metadata services and the gateway itself are refused",
        "none; an address in the configuration is not restricted",
        upgrade_conditions.has_vllm,
    ),
    Change(
        "default-models-chosen",
        "2.1.0",
        "a file without `default_models` did not start",
        "they are chosen from the models, and the start names them",
        "write `default_models: {}` for none",
        upgrade_conditions.chose_default_models,
    ),
    Change(
        "tenants-set-partial",
        "2.1.0",
        "`sekha tenants set` removed every bound that it did not name",
        "it changes what is named, `--clear` removes; `PUT /api/admin/tenants/{id}` still replaces "
        "the whole tenant, `PATCH` changes fields",
        "`--clear budgets --clear rates --clear models --clear tasks` with the new values",
        upgrade_conditions.has_tenants_or_admins,
    ),
    Change(
        "named-models",
        "2.1.0",
        "a named chat model gave way to another one for images, `context_size`, price, budget or a rate",
        "an error (400, 402, 429) that names the targets that would do; another model answers only "
        "when the named one fails",
        "send `preferred_model` instead of `model`, or list the alternatives in `models`",
        upgrade_conditions.has_several_chat_models,
    ),
    Change(
        "named-too-long",
        "2.1.0",
        "what a vendor found too long for a named model went to a larger one",
        "the vendor's 400, with the models that would do",
        "list the larger one in `models`",
        upgrade_conditions.has_several_chat_models,
    ),
    Change(
        "named-pinned",
        "2.1.0",
        "with `auto_fallback: false`, another model answered while the named model's breaker was open",
        "503 with `Retry-After`",
        "`routing: {auto_fallback: true}`",
        upgrade_conditions.pins_named_models,
    ),
    Change(
        "cost-limit-codes",
        "2.1.0",
        "a named model above the cost limit or without a price: 503 `no_suitable_providers`, or a 503 "
        "for its breaker",
        "402 `cost_limit_reached` or `price_unknown`, open breaker or not",
        "none",
        upgrade_conditions.limits_cost,
    ),
    Change(
        "image-links",
        "2.1.0",
        "image links with no model named could be planned for providers that take no links",
        "these are not asked for them",
        "none",
        upgrade_conditions.any_provider(upgrade_conditions.takes_no_links),
    ),
    Change(
        "links-to-own-machines",
        "2.1.0",
        "links to pictures, documents and sound were passed to models on the operator's own machines, and to "
        "LiteLLM",
        "these are asked only if `allowed_media_domains` of the provider covers the links; else another "
        "target, or a 400 `link_not_allowed`",
        '`allowed_media_domains: ["*", "http://*"]` of the provider, for every public name',
        upgrade_conditions.any_provider(upgrade_conditions.lists_no_media_domain),
    ),
    Change(
        "vendor-objects-in-chat",
        "2.1.0",
        "chats passed `file_id`, `container`, `vector_store_ids` and `server_url` of tools on to the vendor",
        "a 400, as in Messages and Responses, unless the tenant has `vendor_objects`; MCP servers need "
        "`routing.allowed_mcp_servers`",
        "`vendor_objects: true` of the tenant `default`, and of every other one",
        upgrade_conditions.every,
    ),
    Change(
        "routing-fields",
        "2.1.0",
        "`models`, `provider` and `data_policy` in a body were passed on",
        "they are read here; of `provider` the unknown members go to OpenRouter only",
        "none",
        upgrade_conditions.every,
    ),
    Change(
        "retries-last-target",
        "2.1.0",
        "up to 3 retries after 1, 2 and 4 s at every target",
        "one retry within 0.5 s while another target can be asked, all of them at the last",
        "`retry: {patience: every_target}` at the provider",
        upgrade_conditions.any_provider(upgrade_conditions.writes_no_waits),
    ),
    Change(
        "retry-after-short",
        "2.1.0",
        "a `Retry-After` of up to 10 s was waited for at every target",
        "up to 3 s while another target can be asked",
        "`retry: {retry_after_short_s: 10}` at the provider",
        upgrade_conditions.any_provider(upgrade_conditions.writes_no_retry_after),
    ),
    Change(
        "first-token",
        "2.1.0",
        "a stream had 60 s to its first token",
        "15 s, or 60 where the model thinks, the prompt is over 32,000 tokens, or it runs on a "
        "machine of your own",
        "`first_token_timeout_s: 60` at the provider",
        upgrade_conditions.any_provider(upgrade_conditions.writes_no_first_token),
    ),
    Change(
        "breaker-reset",
        "2.1.0",
        "a breaker stayed open for 60 s",
        "20 s, doubling up to 55, and a free health check every 5 s",
        "`circuit_breaker: {reset_timeout: 60}`",
        upgrade_conditions.writes_no_breaker,
    ),
    Change(
        "breaker-checks",
        "2.1.0",
        "a breaker stayed open for 60 s where `circuit_breaker` is written without `reset_timeout`",
        "or until a free health check finds the provider well",
        "`circuit_breaker: {check_interval_s: 0}`",
        upgrade_conditions.writes_a_breaker_without_reset,
    ),
    Change(
        "breaker-rate",
        "2.1.0",
        "a breaker opened by failures in a row only",
        "also at half of ten calls within ten seconds",
        "`circuit_breaker: {failure_rate: null}`",
        upgrade_conditions.writes_no_failure_rate,
    ),
    Change(
        "attempts-not-repeated",
        "2.1.0",
        "an attempt that broke off, or failed after more than 5 s without an HTTP status, was made "
        "again at the same target",
        "the next target is asked",
        "none",
        upgrade_conditions.every,
    ),
    Change(
        "keyless-hosts",
        "2.1.0",
        "a gateway without keys answered under every host name, and to every web page",
        "it answers under the names of loopback, and to pages from there",
        '`router: {allowed_hosts: ["*"], cors_origins: ["*"]}`',
        upgrade_conditions.has_no_keys,
    ),
    Change(
        "body-limits",
        "2.1.0",
        "requests up to 64 MB",
        "up to 32 MB",
        "`router: {max_body_mb: 64}`",
        upgrade_conditions.leaves_body_limit_to_us,
    ),
    Change(
        "body-shape",
        "2.1.0",
        "bodies of any depth and number of values, wrong kinds of known fields and unknown content "
        "parts went to the vendor",
        "100 levels, 1,000,000 values; a 400 or 422 that names the place",
        "none",
        upgrade_conditions.every,
    ),
    Change(
        "ray-token",
        "2.1.0",
        "`RAY_AUTH_MODE=disabled` in the environment was accepted",
        "`sekha serve` does not start",
        "`sekha serve --insecure`",
        upgrade_conditions.switches_rays_token_off,
    ),
    Change(
        "state-folder",
        "2.1.0",
        "a state folder that cannot be used was an error in the log",
        "no start",
        "`storage: {on_unavailable: allow}`, written out",
        upgrade_conditions.leaves_unusable_state_to_us,
    ),
    Change(
        "serve-process",
        "2.1.0",
        "requests in flight had 12 s at a stop; Ray's output was on the console, its session under "
        "/tmp/ray; HAProxy and Ray listened for statistics",
        "7 s, and all has ended within 15; Ray's output is in a file of the state folder, its session "
        "in the folder of the run; nothing but the gateway's port is open beyond this machine without "
        "need",
        "`RAY_TMPDIR`; scrape `/metrics`",
        upgrade_conditions.every,
    ),
    Change(
        "error-codes",
        "2.1.0",
        "a content filter was `content_filter`, an empty account `upstream_auth`, an exception of the "
        "gateway's own a 502",
        "`content_policy_violation` with `details.reason`, `upstream_out_of_credit`, 500 `internal_error`",
        "none",
        upgrade_conditions.every,
    ),
    Change(
        "incomplete-streams",
        "2.1.0",
        "a stream without `finish_reason`, or with a frame that cannot be read, could end in `[DONE]`",
        "an error event and no `[DONE]`",
        "none",
        upgrade_conditions.every,
    ),
    Change(
        "refused-addresses",
        "2.1.0",
        "a name in `base_url` could lead anywhere; an endpoint set at run time was checked when it was set",
        "both are checked when a connection opens: no name leads to link-local addresses",
        "write the address itself into `base_url`",
        upgrade_conditions.names_an_upstream,
    ),
    Change(
        "tier-of-ones-own",
        "2.1.0",
        "`qwen` without a provider of type `vllm` was answered by any small chat model",
        "404; with such a provider it goes there first",
        "name a model or a task",
        upgrade_conditions.has_no_vllm,
    ),
    Change(
        "bodies-in-flight",
        "2.1.0",
        "any number of request bodies at once, and each could take for ever",
        "256 MB of bodies per router, 128 MB per key, 120 s for each body and 10 kB/s after the first 10 s",
        "`router: {max_bodies_in_flight_mb: …, max_bodies_per_key_mb: …, body_timeout_s: …}`",
        upgrade_conditions.every,
    ),
    Change(
        "unbounded-answers",
        "2.1.0",
        "a request without `max_tokens` was sent without a bound, and 4,096 tokens were reserved for it",
        "under a budget or `tokens_per_minute` the 4,096 are sent as its bound, so that longer "
        "answers end with `length`",
        "send `max_tokens` with the request",
        upgrade_conditions.limits_tokens_or_money,
    ),
    Change(
        "reserved-input",
        "2.1.0",
        "a prompt was reserved at a quarter of its characters",
        "it is reserved at its bytes, at most the context window: small budgets refuse long prompts earlier",
        "raise the budget, or write `context_window` for the model",
        upgrade_conditions.limits_tokens_or_money,
    ),
    Change(
        "vendor-run-tools",
        "2.1.0",
        "searches and other tools that a vendor runs were free",
        "they are priced by the use; under a budget they are refused without a price or a bound",
        "`cost_per_search` of the model; `max_uses` in the tool",
        upgrade_conditions.limits_tokens_or_money,
    ),
    Change(
        "early-leavers",
        "2.1.0",
        "a caller who left before the first token paid for the input",
        "it also pays for what the target can have written in that time",
        "none",
        upgrade_conditions.every,
    ),
    Change(
        "amounts",
        "2.1.0",
        'budgets, prices and rates of any size; `true` and `"10"` in the Admin API',
        "at most $1e9, $1,000 per 1,000 tokens and 1e12 a minute; numbers only",
        "none",
        upgrade_conditions.limits_tokens_or_money,
    ),
    Change(
        "dropped-params",
        "2.1.0",
        "a parameter that a vendor refuses or ignores was sent, or dropped in silence",
        "it is left out and told in `x-sekha-dropped-params`, by the table in docs/vendors.md",
        "`parameters: {take: [...]}` of the provider or model",
        upgrade_conditions.every,
    ),
    Change(
        "library-addresses",
        "2.1.0",
        "`ANTHROPIC_BASE_URL`, `GEMINI_API_BASE` and the like redirected calls of a provider "
        "without `base_url`",
        "they are not read; a type that only LiteLLM knows does not start while one is set",
        "`base_url: ${ANTHROPIC_BASE_URL}`",
        upgrade_conditions.spoke_by_litellm,
    ),
    Change(
        "keys-for-addresses",
        "2.1.0",
        "LiteLLM showed the vendor's key from the environment to a `base_url` without `api_key`",
        "no key is sent there",
        "`api_key: ${ANTHROPIC_API_KEY}`",
        upgrade_conditions.spoke_by_litellm,
    ),
    Change(
        "anthropic-native",
        "2.1.0",
        "providers of type `anthropic` were called through LiteLLM",
        "the gateway calls Anthropic's Messages API itself: the upstream sees what the caller of "
        "`/v1/messages` sent, and a chat as docs/formats.md maps it",
        "`type: litellm` with model ids such as `anthropic/claude-opus-4-6`",
        upgrade_conditions.asks_anthropic,
    ),
    Change(
        "metrics-readers",
        "2.1.0",
        "every key could read `/metrics`",
        "it takes a key of role `read` without a tenant, or an admin's",
        "`auth: {public_metrics: true}`",
        upgrade_conditions.has_keys,
    ),
    Change(
        "tenant-readers",
        "2.1.0",
        "a key of role `read` with a tenant read what everybody spent",
        "it reads its tenant's costs and limits",
        "leave out its `tenant`",
        upgrade_conditions.has_tenants_readers,
    ),
    Change(
        "stored-responses",
        "2.1.0",
        "the ledger's database held nothing that callers or models said",
        "`/v1/responses` stores input and output there for 30 days, unless a request has `store: false`",
        "`responses: {retention_days: 0}`",
        upgrade_conditions.every,
    ),
    Change(
        "explain-model",
        "2.1.0",
        "`sekha explain --model` was a preference",
        "it names the model; `--prefer` is the preference",
        "`--prefer`",
        upgrade_conditions.every,
    ),
)
