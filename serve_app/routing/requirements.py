"""The requirements of a request for its target."""

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from serve_app.config.model import ModelTask
from serve_app.pricing.usage import NO_PIECES, Usage
from serve_app.providers.catalogue.wire_format import WireFormat


class Extent(NamedTuple):
    """
    Upper bounds of a request's size and price, beyond routing's estimates.

    Attributes:
        size, low_pictures, pictures, sound, unseen: as in `pricing.prompt.Prompt`.
        thinking: tokens of an answer that are for reasoning.
        searches: how many searches the vendor may run.
        fetched: tokens of documents that the vendor may fetch into the prompt.
        unbounded_tool: a tool of the vendor without a known bound of its cost.
        lacks_uses: a tool of the vendor accepts a bound that the caller has not set.
        speaks: the answer may be sound or pictures.
        further_prompts: prompts beyond the first; each has a context window of its own.
        predicted: tokens that the caller predicts; the wrong ones are charged like the answer's, beside it.
        widens_window: the caller asks the vendor for a larger context window than the model's usual one.
        seconds: of sound, read or spoken.
        is_endless: there is sound of which nobody can tell how long it is.
    """

    size: int
    low_pictures: int = 0
    pictures: int = 0
    sound: int = 0
    unseen: int = 0
    thinking: int = 0
    searches: int = 0
    fetched: int = 0
    unbounded_tool: str | None = None
    lacks_uses: bool = False
    speaks: bool = False
    further_prompts: int = 0
    predicted: int = 0
    widens_window: bool = False
    seconds: int = 0
    is_endless: bool = False


class RequestSource(Protocol):
    """The request itself."""

    @property
    def raw(self) -> bytes:
        """Return the caller's JSON."""


class Requirements(NamedTuple):
    """
    The requirements of a request for its target. Names of models are model ids or `provider/model`.

    Attributes:
        preferred_model: a preference, which any other rule overrides.
        max_cost: in nano-dollars.
        context_size, input_tokens, output_tokens: in tokens.
        images: images in messages.
        written_images: image links in plain text, which are not fetched.
        image_links: the schemes of the images that are web addresses.
        links: where links lead that whoever runs the model fetches, as origins.
        needs_own_format: only targets that speak the request's format may serve it.
        named: the models that the caller named, the first choice first. Any other model is a stand-in, and
            may answer only after a named one has failed.
        only_named: stand-ins may not answer.
        falls_back: False: only the first eligible target is tried, and the other named models.
        only_providers, ignored_providers: provider ids.
        provider_order: provider ids or types.
        local_only: only providers whose data stays on local machines.
        parameters: those that the target must take; None: parameters that it does not take are dropped and
            reported.
        format: the format of the request.
        untranslatable: those of the parameters that no other format than the request's can carry.
        seconds: of sound, read or spoken; an estimate.
        characters: of the text that is to be spoken.
        output_limit: the caller's limit of tokens in one answer; None: no limit.
        answers: how many answers are requested.
        service_tier: the requested speed, which has a price of its own.
        writes_cache: parts of the input are to be cached.
        thinks: the model is asked to reason first.
        preferred_type: providers of this type come before others, after the preferred model.
        allowed_models, allowed_tasks: what the caller may use; None: everything.
        extent: upper bounds of size and price; None: only the estimates.
        pieces: the most that a vendor may charge besides text tokens, of a request that is no chat.
        tenant: who pays.
        source: the request itself, for strategies that read its content; None: there is none.
    """

    task: ModelTask
    preferred_model: str | None = None
    require_vision: bool = False
    require_audio: bool = False
    max_cost: int | None = None
    context_size: int | None = None
    images: int = 0
    written_images: int = 0
    image_links: frozenset[str] = frozenset()
    links: frozenset[str] = frozenset()
    needs_own_format: bool = False
    named: tuple[str, ...] = ()
    only_named: bool = False
    falls_back: bool = True
    only_providers: frozenset[str] | None = None
    ignored_providers: frozenset[str] = frozenset()
    provider_order: tuple[str, ...] = ()
    local_only: bool = False
    parameters: Mapping[str, Any] | None = None
    format: WireFormat = WireFormat.OPENAI_CHAT
    untranslatable: tuple[str, ...] = ()
    input_tokens: int = 1000
    output_tokens: int = 500
    seconds: int = 0
    characters: int = 0
    output_limit: int | None = None
    answers: int = 1
    service_tier: str | None = None
    writes_cache: bool = False
    thinks: bool = False
    preferred_type: str | None = None
    allowed_models: frozenset[str] | None = None
    allowed_tasks: frozenset[str] | None = None
    extent: Extent | None = None
    pieces: Usage = NO_PIECES
    tenant: str = "default"
    source: RequestSource | None = None
