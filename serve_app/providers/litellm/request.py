"""
A caller's request in LiteLLM's words.

What LiteLLM would leave out in silence is left out here and told; where a call goes, and with whose key, is
said with each call, so that no variable of the environment decides it.
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

FOREVER_S = 3600.0  # LiteLLM's own time limit: ours are all shorter, and say which of them ran out
NO_KEY = "none"  # for an address without a key: without one LiteLLM would look for a key of its vendor's

# Words that steer LiteLLM instead of reaching the model: where to call, with whose key. Never a caller's.
_STEERING = re.compile(
    r"^(_|litellm|aws_|vertex_|azure_|s3_|gcs_|watsonx_|oci_|sap_|openai_|anthropic_(?!version|beta))"
    r"|^mock_|callbacks?$|_fallbacks$|^cache_control_injection"
    r"|(_url|_base|_endpoint|_host|_key|_secret|_token|_credentials?|_headers?|_file|_path)$"
)
_NOT_STEERING = frozenset({"prompt_cache_key"})
_ALSO_STEERING = frozenset({
    "additional_drop_params", "api_type", "base_url", "credentials", "default_headers", "deployment_id",
    "drop_params", "extra_body", "extra_headers", "hooks", "organization", "project", "timeout", "token",
    # What its wrappers and its translations read besides the parameters that they declare.
    "args", "config", "fake_stream", "initial_prompt_value", "is_async_call", "json_mode", "kwargs",
    "optional_params", "original_function", "provider_config", "rules_obj", "standard_logging_object",
    "start_time",
})  # fmt: skip

# Never left out for not being in a vendor's list: they are the request itself, or LiteLLM handles them.
_ALWAYS = frozenset({"model", "messages", "stream", "stream_options"})
_OF_EMBEDDINGS = frozenset({"dimensions", "encoding_format", "user"})

# The ends of variables with which LiteLLM lets an environment say where a vendor is.
_REDIRECTS = ("_API_BASE", "_BASE_URL", "_API_URL", "_ENDPOINT", "_RUNTIME_ENDPOINT")

_VERSION = re.compile(r"/v\d+(alpha|beta)?\d*$")


class Address:
    """
    Where a provider's calls and looks go, with or without a version in the configured address.

    `root` is None where LiteLLM knows the vendor's address; then no variable of the environment is set to
    change it.
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
        """The address in the form in which LiteLLM adds its path to it."""
        version = self._native.version_of(model_id, self._is_vendors) if self._native else None
        if version is None or self.root is None or _VERSION.search(urlsplit(self.root).path):
            return self.root
        return f"{self.root}/{version}"


class LiteLlmRequests:
    """Makes the arguments of LiteLLM's calls, for one provider."""

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
        """The request for a chat; a refusal where it cannot be said to this vendor."""
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
        """The request for vectors."""
        return self._carried(call, "embeddings", _OF_EMBEDDINGS)

    def arguments(self, fields: dict[str, Any]) -> dict[str, Any]:
        """The call in LiteLLM's words; ours come last, so that no field of the caller's replaces them."""
        return {
            **fields,
            "model": self._vendor.model_string(fields["model"]),
            "api_key": self._api_key or self._no_key,
            "api_base": self._address.of_calls(fields["model"]),
            "timeout": FOREVER_S,
            "num_retries": 0,
            "max_retries": 0,
            "drop_params": False,  # in silence; whatever cannot be carried has been left out and told
            "no-log": True,
            # Else tools need a package that is not installed; and no request may start an MCP client.
            **({"_skip_mcp_handler": True} if "messages" in fields else {}),
        }

    @property
    def _no_key(self) -> str | None:
        by_identity = self._vendor.has_machine_identity
        return None if by_identity or self._address.root is None else NO_KEY

    def _carried(self, call: Call, kind: str, names: frozenset[str]) -> Fitted:
        """The request without what its dialect, LiteLLM or the vendor does not take."""
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
        """Which of LiteLLM's providers serves a model, and the parameters it takes; None: nobody says."""
        if (known := self._known.get((model_id, kind))) is None:
            known = self._looked_up(model_id, kind)
            self._known[model_id, kind] = known  # only configured models come here: there are not many
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
        """LiteLLM would fetch an image behind a link, from inside our network; nothing a caller names is."""
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
    """ConfigError where a variable would say where a provider without an address is."""
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
