"""
Vendors that are one row of data.

Whoever speaks OpenAI's words needs no code here: an address, the name of the variable that usually holds the
key, and whether tokens cost anything. A type without a row is handed to LiteLLM with the type as prefix.
"""

from dataclasses import dataclass
from enum import StrEnum


class Adapter(StrEnum):
    """Which code speaks to the upstream."""

    WIRE = "wire"  # OpenAI's words, bytes through
    LITELLM = "litellm"  # everything that needs translating
    SCRIPTED = "scripted"  # the simulator


ANY_LINK = frozenset({"http", "https"})
NO_LINK: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Vendor:
    """
    A kind of upstream.

    `base_url` is used where the configuration names none. `is_free` says that tokens cost nothing because
    the model runs on one's own machines. `key_variable` is where the key of the vendor's own address is
    usually kept; None: no key is needed. `litellm_prefix` stands before a model id in LiteLLM's model
    strings, the type where None; empty: the id brings its own. `image_links` are the schemes of web addresses
    that a picture may be; else it has to be a `data:` URI. `reads_provider_preferences`: it has a field
    `provider` of its own, with further providers behind it.
    """

    type: str
    adapter: Adapter = Adapter.WIRE
    base_url: str | None = None
    is_free: bool = False
    key_variable: str | None = None
    litellm_prefix: str | None = None
    image_links: frozenset[str] = ANY_LINK
    reads_provider_preferences: bool = False

    def model_string(self, model_id: str) -> str:
        """Return LiteLLM's name of the model; a slash in an OpenRouter id does not start a prefix."""
        prefix = self.type if self.litellm_prefix is None else self.litellm_prefix
        if not prefix or model_id.startswith(f"{prefix}/"):
            return model_id
        return f"{prefix}/{model_id}"


_ROWS = (
    Vendor("openai", base_url="https://api.openai.com/v1", key_variable="OPENAI_API_KEY"),
    Vendor(
        "openrouter",
        base_url="https://openrouter.ai/api/v1",
        key_variable="OPENROUTER_API_KEY",
        reads_provider_preferences=True,
    ),
    Vendor("deepseek", base_url="https://api.deepseek.com/v1", key_variable="DEEPSEEK_API_KEY"),
    Vendor("moonshot", base_url="https://api.moonshot.ai/v1", key_variable="MOONSHOT_API_KEY"),
    Vendor("groq", base_url="https://api.groq.com/openai/v1", key_variable="GROQ_API_KEY"),
    Vendor("mistral", base_url="https://api.mistral.ai/v1", key_variable="MISTRAL_API_KEY"),
    Vendor(
        "together",
        base_url="https://api.together.xyz/v1",
        key_variable="TOGETHER_API_KEY",
        litellm_prefix="together_ai",
    ),
    Vendor("xai", base_url="https://api.x.ai/v1", key_variable="XAI_API_KEY"),
    Vendor("ollama", base_url="http://localhost:11434", is_free=True, image_links=NO_LINK),
    Vendor("vllm", is_free=True, litellm_prefix="hosted_vllm"),
    Vendor(
        "lmstudio",
        base_url="http://localhost:1234/v1",
        is_free=True,
        litellm_prefix="lm_studio",
        image_links=NO_LINK,
    ),
    Vendor("openai_compatible", litellm_prefix="openai"),
    Vendor(
        "anthropic",
        Adapter.LITELLM,
        base_url="https://api.anthropic.com",
        key_variable="ANTHROPIC_API_KEY",
        image_links=frozenset({"https"}),  # the vendor fetches them
    ),
    # LiteLLM would fetch a link itself, from inside our network.
    Vendor(
        "gemini",
        Adapter.LITELLM,
        base_url="https://generativelanguage.googleapis.com",
        key_variable="GEMINI_API_KEY",
        image_links=NO_LINK,
    ),
    Vendor("litellm", Adapter.LITELLM, litellm_prefix="", image_links=NO_LINK),
    Vendor("scripted", Adapter.SCRIPTED, is_free=True),
)

VENDORS = {row.type: row for row in _ROWS}


def vendor(type_: str) -> Vendor:
    """The vendor of that type; one without a row is LiteLLM's, under its own name."""
    return VENDORS.get(type_) or Vendor(type_, Adapter.LITELLM, image_links=NO_LINK)
