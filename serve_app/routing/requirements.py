"""What a request asks of the target that serves it."""

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from serve_app.config.model import ModelTask


class Extent(NamedTuple):
    """
    What bounds the size and the price of a request, beyond what routing estimates.

    Fields:
        size, low_pictures, pictures, sound, unseen: as in `accounting.prompt.Prompt`.
        thinking: tokens of an answer that are for thinking.
        searches: how many searches the vendor may run.
        fetched: tokens of documents that the vendor may fetch into the prompt.
        unbounded_tool: a tool of the vendor's of which nobody knows what it may cost.
        lacks_uses: whether a tool of the vendor's takes a bound that the caller has not set.
        speaks: whether the answer may be sound or pictures.
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


class RequestSource(Protocol):
    """The request itself."""

    @property
    def raw(self) -> bytes:
        """The caller's JSON."""


class Requirements(NamedTuple):
    """
    What a request requires of a target.

    `max_cost` is in nano-dollars; `context_size` and the two token counts are in tokens. `images` are
    parts of messages, `image_links` the schemes of those that are web addresses; `written_images` stand in
    plain text as links, which nobody has to fetch.

    `named` are the models that the caller named (model ids or `provider/model`), the first choice first. Any
    other model is a stand-in: it may answer only after a named one has failed, and with `only_named` never.
    `preferred_model` is a wish, which gives way to whatever speaks against it. Without `falls_back` nobody is
    asked after the first eligible target, but for the next named model.

    `only_providers` and `ignored_providers` hold provider ids, `provider_order` ids or types.
    `preferred_type`: providers of this type come before others, after the preferred model. `local_only`:
    only providers whose data stays on machines of one's own. `allowed_models` (model ids or `provider/model`)
    and `allowed_tasks` are what the caller may use; None: everything.

    `parameters` are those that the target has to take; None: whatever it does not take is told.

    For what it may cost at worst: `output_limit` is the most tokens the caller lets one answer have, None
    without a word of it, `answers` how many of them, `service_tier` how fast they shall come, and
    `writes_cache` whether parts of the input shall be kept. `thinks`: the caller asks the model to
    reason first.

    `tenant` is who pays, `source` the request itself, for strategies that go by what it says; None: there is
    nothing but these requirements.
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
    named: tuple[str, ...] = ()
    only_named: bool = False
    falls_back: bool = True
    only_providers: frozenset[str] | None = None
    ignored_providers: frozenset[str] = frozenset()
    provider_order: tuple[str, ...] = ()
    local_only: bool = False
    parameters: Mapping[str, Any] | None = None
    input_tokens: int = 1000
    output_tokens: int = 500
    output_limit: int | None = None
    answers: int = 1
    service_tier: str | None = None
    writes_cache: bool = False
    thinks: bool = False
    preferred_type: str | None = None
    allowed_models: frozenset[str] | None = None
    allowed_tasks: frozenset[str] | None = None
    extent: Extent | None = None
    tenant: str = "default"
    source: RequestSource | None = None
