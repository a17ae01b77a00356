"""
A caller's request as arguments of LiteLLM.

Parameters that LiteLLM would silently drop are dropped here and reported. The address and the key are passed
with each call, so that no environment variable decides them.
"""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from serve_app.config.provider import ProviderConfig
from serve_app.errors import ConfigError, FailureKind, UpstreamError, upstream_error
from serve_app.formats.openai_chat.images import image_parts
from serve_app.providers.base import Call
from serve_app.providers.bodies import Fitted, dialects_of, fitted
from serve_app.providers.catalogue.dialect import matters, told
from serve_app.providers.catalogue.rows import UNTRANSLATED
from serve_app.providers.catalogue.vendor import Vendor
from serve_app.providers.litellm.schema_size import too_large_schema
from serve_app.providers.litellm.translated import broken_arguments, unknown_word, without_empty_texts

FOREVER_S = 3600.0  # LiteLLM's own timeout: the gateway's are all shorter, and have messages of their own
NO_KEY = "none"  # for an address without a key: else LiteLLM would look for its vendor's key

# Fields that steer LiteLLM instead of reaching the model (address, key). Never taken from callers.
_STEERING = re.compile(
    r"^(_|litellm|aws_|vertex_|azure_|s3_|gcs_|watsonx_|oci_|sap_|openai_|anthropic_(?!version|beta))"
    r"|^mock_|callbacks?$|_fallbacks$|^cache_control_injection"
    r"|(_url|_base|_endpoint|_host|_key|_secret|_token|_credentials?|_headers?|_file|_path)$"
)
_NOT_STEERING = frozenset({"prompt_cache_key"})
_ALSO_STEERING = frozenset({
    "additional_drop_params", "api_type", "base_url", "credentials", "default_headers", "deployment_id",
    "drop_params", "extra_body", "extra_headers", "hooks", "organization", "project", "timeout", "token",
    # Undeclared parameters that LiteLLM's wrappers and translations read.
    "args", "config", "fake_stream", "initial_prompt_value", "is_async_call", "json_mode", "kwargs",
    "optional_params", "original_function", "provider_config", "rules_obj", "standard_logging_object",
    "start_time",
})  # fmt: skip

# Never dropped, even if not in a vendor's list: they are the request itself, or LiteLLM handles them.
_ALWAYS = frozenset({"model", "messages", "stream", "stream_options"})
_OF_EMBEDDINGS = frozenset({"dimensions", "encoding_format", "user"})

# Suffixes of the environment variables with which LiteLLM changes a vendor's address.
_REDIRECTS = ("_API_BASE", "_BASE_URL", "_API_URL", "_ENDPOINT", "_RUNTIME_ENDPOINT")

_VERSION = re.compile(r"/v\d+(alpha|beta)?\d*$")


class Address:
    """
    The address of a provider's calls and health checks, with or without a version in the configured one.

    `root` is None if LiteLLM knows the vendor's address; then no environment variable may change it.
    """

    def __init__(self, config: ProviderConfig, vendor: Vendor, environ: Mapping[str, str]) -> None:
        self._native = vendor.native
        self.root = (config.base_url or vendor.base_url).rstrip("/") or None
        self._is_vendors = config.base_url is None or self.root == vendor.base_url
        if self.root is None:
            _refuse_redirects(config, vendor, environ)
        else:
            for end in self._native.extra_ends if self._native else ():
                self.root = self.root.removesuffix(end)

    def of_calls(self, model_id: str) -> str | None:
        """Return the address in the form to which LiteLLM adds its path."""
        version = self._native.version_of(model_id, self._is_vendors) if self._native else None
        if version is None or self.root is None or _VERSION.search(urlsplit(self.root).path):
            return self.root
        return f"{self.root}/{version}"


class LiteLlmRequests:
    """The arguments of LiteLLM's calls, for one provider."""

    def __init__(
        self, litellm: Any, config: ProviderConfig, vendor: Vendor, api_key: str | None, address: Address
    ) -> None:
        self._litellm = litellm
        self._config = config
        self._image_links = vendor.image_links
        self._vendor = vendor
        self._api_key = api_key
        self._address = address
        self._dialect = dialects_of(config)
        self._steering = _ALSO_STEERING.union(litellm.types.utils.all_litellm_params)
        self._of_openai = frozenset(litellm.constants.DEFAULT_CHAT_COMPLETION_PARAM_VALUES) - _ALWAYS
        self._known: dict[tuple[str, str], tuple[str, frozenset[str] | None]] = {}

    def of_chat(self, call: Call) -> Fitted | UpstreamError:
        """Return the request for a chat; a failure if it cannot be translated for this vendor."""
        request = self._carried(call, "chat_completion", self._of_openai)
        provider, _ = self._knowledge(call.model, "chat_completion")
        messages = request.fields.get("messages") or []
        if refusal := self._links_refused(messages):
            return refusal
        if provider not in UNTRANSLATED and (place := too_large_schema(request.fields)):
            what = (
                f"'{place}': the schema is too large once its references are written out; use fewer of them"
            )
            return self._refusal(what, "schema_too_large", place)
        if provider not in UNTRANSLATED and provider not in self._litellm.openai_compatible_providers:
            if broken := broken_arguments(messages):
                return self._refusal(broken.message, "invalid_tool_arguments", broken.param)
            if unknown := unknown_word(request.fields):
                return self._refusal(unknown.message, "request_not_translatable", unknown.param)
            request.fields["messages"] = without_empty_texts(messages)
            if not request.fields["messages"]:
                return self._refusal("Every message is empty", "empty_messages", "messages")
        return request

    def of_embedding(self, call: Call) -> Fitted:
        """Return the request for embeddings."""
        return self._carried(call, "embeddings", _OF_EMBEDDINGS)

    def arguments(self, fields: dict[str, Any]) -> dict[str, Any]:
        """Return the arguments of LiteLLM's call; ours come last, so that no caller's field replaces them."""
        return {
            **fields,
            "model": self._vendor.model_string(fields["model"]),
            "api_key": self._api_key or self._no_key,
            "api_base": self._address.of_calls(fields["model"]),
            "timeout": FOREVER_S,
            "num_retries": 0,
            "max_retries": 0,
            "drop_params": False,  # silently; unsupported parameters were already dropped and reported
            "no-log": True,
            # Otherwise tools need a package that is not installed; and no request may start an MCP client.
            **({"_skip_mcp_handler": True} if "messages" in fields else {}),
        }

    @property
    def _no_key(self) -> str | None:
        by_identity = self._vendor.has_machine_identity
        return None if by_identity or self._address.root is None else NO_KEY

    def _carried(self, call: Call, kind: str, names: frozenset[str]) -> Fitted:
        """Return the request without what its dialect, LiteLLM or the vendor does not accept."""
        fields, dropped = fitted(call, self._dialect(call.model))
        lost = [name for name in fields if self.steers(name)]
        _, taken = self._knowledge(call.model, kind)
        if taken is not None:
            lost += [name for name in names.intersection(fields) - taken if name not in lost]
        if not lost:
            return Fitted(fields, dropped)
        values = {name: fields.pop(name) for name in lost}
        return Fitted(fields, told((*dropped, *(n for n, value in values.items() if matters(n, value)))))

    def _knowledge(self, model_id: str, kind: str) -> tuple[str, frozenset[str] | None]:
        """Return LiteLLM's provider for a model, and the parameters that it accepts; None: unknown."""
        if (known := self._known.get((model_id, kind))) is None:
            known = self._looked_up(model_id, kind)
            self._known[model_id, kind] = known  # bounded: only configured models come here
        return known

    def _looked_up(self, model_id: str, kind: str) -> tuple[str, frozenset[str] | None]:
        name = self._vendor.model_string(model_id)
        base = self._address.of_calls(model_id)
        try:
            model, provider, _, _ = self._litellm.get_llm_provider(name, api_base=base, api_key=NO_KEY)
            taken = self._litellm.get_supported_openai_params(model, provider, request_type=kind)
        except self._litellm.BadRequestError:
            return name.partition("/")[0], None
        return provider, frozenset(taken) if taken else None

    def steers(self, name: str) -> bool:
        """Return whether a field would steer the translator instead of reaching the model."""
        if name in _NOT_STEERING:
            return False
        return name in self._steering or _STEERING.search(name) is not None

    def _links_refused(self, messages: list[Any]) -> UpstreamError | None:
        """Return the refusal of an image link, which LiteLLM would fetch from our network; None: none."""
        fetches = ("data:", *(f"{scheme}://" for scheme in self._image_links))
        for part in image_parts(messages):
            image = part.get("image_url")
            url = image.get("url") if isinstance(image, dict) else image
            if not (isinstance(url, str) and url.startswith(fetches)):
                what = "data: URIs or https links" if "https://" in fetches else "data: URIs only"
                message = f"Provider '{self._config.id}' takes images as {what}; links are not fetched"
                return self._refusal(message, "image_links_not_supported")
        return None

    def _refusal(self, message: str, code: str, param: str | None = None) -> UpstreamError:
        return upstream_error(message, self._config.id, FailureKind.REJECTED, code=code, param=param)


def _refuse_redirects(config: ProviderConfig, vendor: Vendor, environ: Mapping[str, str]) -> None:
    """Raise ConfigError if an environment variable would decide the address of a provider."""
    prefixes = {vendor.model_string(model.model_id).partition("/")[0] for model in config.models}
    for prefix in sorted(prefixes | {config.type}):
        word = re.sub(r"\W", "_", prefix).upper()
        words = (word, word.replace("_", ""), word.partition("_")[0], f"AWS_{word}")
        for name in (f"{start}{end}" for start in words for end in _REDIRECTS):
            if environ.get(name):
                raise ConfigError(
                    f"provider '{config.id}' has no base_url, and {name} in the environment would decide "
                    f"where its calls go; write base_url: ${{{name}}}, or unset the variable"
                )
