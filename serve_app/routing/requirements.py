"""What a request asks of the target that serves it."""

from typing import NamedTuple

from serve_app.config.model import ModelTask


class Requirements(NamedTuple):
    """
    The question routing answers (contract 3.1).

    `max_cost` is in nano-dollars; `context_size` and the two token counts are in tokens. `only_preferred`
    drops every other model: an embedding from another model would land in another vector space.
    `images` are parts of messages; `written_images` stand as links in plain text, which nobody has to fetch.
    `preferred_type`: providers of this type come before others, after the preferred model.
    `allowed_models` (model ids or `provider/model`) and `allowed_tasks` are what the caller may use; None:
    everything. For what it may cost at worst: `output_limit` is the most tokens the caller lets one answer
    have, None without a word of it, `answers` how many of them, `service_tier` how fast they shall come, and
    `writes_cache` whether parts of the input shall be kept. `thinks`: the caller asks the model to reason
    first.
    """

    task: ModelTask
    preferred_model: str | None = None
    require_vision: bool = False
    require_audio: bool = False
    max_cost: int | None = None
    context_size: int | None = None
    images: int = 0
    written_images: int = 0
    only_preferred: bool = False
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
