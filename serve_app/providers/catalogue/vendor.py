"""A row of the catalogue: everything that the gateway knows about a vendor."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from enum import StrEnum
from typing import Any

from serve_app.providers.catalogue.dialect import Dialect
from serve_app.providers.catalogue.wire_format import OPENAI, WireFormat


class Adapter(StrEnum):
    """The code that calls the upstream."""

    HTTP = "http"  # the formats that it accepts, bytes passed through
    LITELLM = "litellm"  # everything that needs translating
    SCRIPTED = "scripted"  # the simulator


ANY_LINK = frozenset({"http", "https"})
NO_LINK: frozenset[str] = frozenset()

AUTHORIZATION = "Authorization"

UNRANKED = 100  # after every vendor with a rank

_CLAUDE = re.compile("claude", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ModelFamily:
    """
    The dialect of some models of a vendor.

    title: Names the family in the documentation.
    dialect: The parameters that they accept.
    source: Where that is documented.
    models: A regular expression for their ids; the first family of a vendor that matches counts.
    """

    title: str
    dialect: Dialect
    source: str
    models: str = ""


@dataclass(frozen=True, slots=True)
class Starter:
    """
    The provider that discovery makes for a vendor that it finds.

    provider_id: The id of that provider; empty: none is made.
    models: Its models, as a configuration has them; none: the server is asked for them.
    chosen_on: When the models were last compared with the vendor's list.
    """

    provider_id: str = ""
    models: tuple[Mapping[str, Any], ...] = ()
    chosen_on: date | None = None


@dataclass(frozen=True, slots=True)
class NativeApi:
    """
    A vendor's own API, as far as the gateway itself has to know it; LiteLLM makes the calls.

    models_path: Where the free list of models is, below the address.
    key_header: The header that holds the key when that list is read.
    headers: Other headers of that request.
    extra_ends: Ends of configured addresses that LiteLLM adds again, and that are removed.
    version: The version that an address without one gets; None: LiteLLM adds it.
    preview_version: The version for `preview_models`, at the vendor's own address.
    preview_models: A regular expression that finds the ids of preview models.
    """

    models_path: str
    key_header: str
    headers: Mapping[str, str] = field(default_factory=dict)
    extra_ends: tuple[str, ...] = ()
    version: str | None = None
    preview_version: str | None = None
    preview_models: str | None = None

    def version_of(self, model_id: str, is_vendors: bool) -> str | None:
        """Return the version for a model; `is_vendors`: at the vendor's own address."""
        if is_vendors and self.preview_models and re.search(self.preview_models, model_id):
            return self.preview_version
        return self.version


@dataclass(frozen=True, slots=True)
class Vendor:
    """
    A kind of upstream; the defaults describe a server that speaks the OpenAI API and takes everything.

    type: The value of `type` in a configuration.
    adapter: The code that calls it.
    base_url: Its address where the configuration names none; empty: there is no usual one.
    is_own: Its models run on machines of one's own: tokens are free, and an hour may have a price.
    hosts_models: The gateway can run its models itself (`local`).
    key_variable: The variable that usually holds the key for the vendor's own address; None: none is needed.
    address_variable: The variable that says where one's own server is; empty: there is none.
    rate_variable: The variable that says what an hour of its machine costs; empty: there is none.
    has_machine_identity: LiteLLM may identify itself by the machine or account instead of a key.
    litellm_prefix: Precedes a model id in LiteLLM's model strings; None: the type; empty: ids have their own.
    image_links: The schemes of web addresses that a picture may be; else it must be a `data:` URI.
    reads_provider_preferences: It has a field `provider` of its own, with further providers behind it.
    formats: The wire formats that it speaks at its own address.
    formats_elsewhere: Those that a server of this type speaks at other addresses; None: the same.
    counts_tokens: It counts the tokens of a prompt without a charge, at `/messages/count_tokens`.
    takes_cache_marks: Its chat completions pass `cache_control` on to Claude.
    key_header: The header that holds the key; `Authorization` holds it as a Bearer token.
    token_prefix: A key that begins so is a token, and goes into `Authorization`; empty: there are none.
    headers: Other headers of every request.
    extra_ends: Ends of addresses that people copy from the vendor's pages, and that are removed.
    reset_headers: How the names of headers begin that say when a used-up limit is filled again.
    native: Its own API, where LiteLLM calls it and the list of models is free.
    families: What its models take of a request; a model of no family takes everything.
    starter: The provider that discovery makes of it.
    free_tasks: Tasks that cost nothing at its own address.
    quality_rank: Its place in the strategy `best_quality`; lower is better.
    speed_rank: Its place in the strategy `fastest` before anything is measured, likewise.
    """

    type: str
    adapter: Adapter = Adapter.HTTP
    base_url: str = ""
    is_own: bool = False
    hosts_models: bool = False
    key_variable: str | None = None
    address_variable: str = ""
    rate_variable: str = ""
    has_machine_identity: bool = False
    litellm_prefix: str | None = None
    image_links: frozenset[str] = ANY_LINK
    reads_provider_preferences: bool = False
    formats: frozenset[WireFormat] = OPENAI
    formats_elsewhere: frozenset[WireFormat] | None = None
    counts_tokens: bool = False
    takes_cache_marks: bool = False
    key_header: str = AUTHORIZATION
    token_prefix: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    extra_ends: tuple[str, ...] = ()
    reset_headers: str | None = None
    native: NativeApi | None = None
    families: tuple[ModelFamily, ...] = ()
    starter: Starter = Starter()
    free_tasks: frozenset[str] = frozenset()
    quality_rank: int = UNRANKED
    speed_rank: int = UNRANKED

    @property
    def needs_address(self) -> bool:
        """Return whether a configuration must have its address."""
        return self.adapter is Adapter.HTTP and not self.base_url

    @property
    def is_simulated(self) -> bool:
        """Return whether it is the simulator."""
        return self.adapter is Adapter.SCRIPTED

    @property
    def loads_models(self) -> bool:
        """Return whether a request may have to wait until a local machine has loaded the model."""
        return self.is_own and not self.is_simulated

    @property
    def price_prefix(self) -> str:
        """Return the vendor's name in the price list: LiteLLM's name for a vendor that charges."""
        return (self.key_variable and self.litellm_prefix) or self.type

    def is_free_for(self, task: str, base_url: str | None) -> bool:
        """Return whether it charges nothing for this task at an address; None: its own."""
        is_at_home = base_url is None or base_url.rstrip("/") == self.base_url
        return self.is_own or (is_at_home and task in self.free_tasks)

    def key_headers(self, key: str | None) -> dict[str, str]:
        """Return the header with the key; empty without one."""
        if not key:
            return {}
        if self.key_header == AUTHORIZATION or (self.token_prefix and key.startswith(self.token_prefix)):
            return {AUTHORIZATION: f"Bearer {key}"}
        return {self.key_header: key}

    def formats_at(self, base_url: str | None) -> frozenset[WireFormat]:
        """Return the wire formats that it accepts at an address; None: its own."""
        if self.formats_elsewhere is None or base_url is None or base_url.rstrip("/") == self.base_url:
            return self.formats
        return self.formats_elsewhere

    def model_string(self, model_id: str) -> str:
        """Return the model's name for LiteLLM; slashes in OpenRouter's ids are no prefix."""
        prefix = self.type if self.litellm_prefix is None else self.litellm_prefix
        if not prefix or model_id.startswith(f"{prefix}/"):
            return model_id
        return f"{prefix}/{model_id}"

    def dialect(self, model_id: str) -> Dialect:
        """
        Return the dialect of a model of this vendor.

        Claude counts thinking within the limit of the output at every vendor. Anthropic's own API, which
        LiteLLM calls as well, refuses a request without that limit; APIs like OpenAI's do not.
        """
        is_translated = self.adapter is Adapter.LITELLM
        found = (family.dialect for family in self.families if re.search(family.models, model_id))
        dialect = next(found, Dialect(is_known=not is_translated))
        if _CLAUDE.search(model_id) and not dialect.limit_includes_thinking:
            dialect = replace(dialect, limit_includes_thinking=True, requires_limit=is_translated)
        return dialect
