"""A request to an endpoint with a task of its own: embeddings, reranking."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from serve_app.config.model import ModelTask
from serve_app.formats.form import Upload
from serve_app.formats.routing_fields import NO_WISHES, Wishes
from serve_app.pricing.prompt import Prompt
from serve_app.pricing.usage import NO_PIECES, Usage


@dataclass(frozen=True, slots=True)
class TaskRequest:
    """
    The caller's bytes, or the fields of a form as JSON, and what routing needs to know of them, as of a chat.

    Attributes:
        raw: the caller's bytes.
        task: what the model is for.
        model: the name as written; None where the gateway chooses.
        input_tokens: an estimate, four bytes a token over everything that is text.
        prompt: what bounds the tokens that a vendor may count.
        pieces: the most that a vendor may charge besides the text that it reads.
        preferred_model: the caller's hint; another model may answer.
        max_cost: in nano-dollars; None: no limit.
        links: where the links lead that whoever runs the model fetches, as origins.
        wishes: the caller's own routing rules.
        parameters: the members of the body that are for the vendor.
        files: the files of a form; they are there until the request ends.
    """

    raw: bytes
    task: ModelTask
    model: str | None
    input_tokens: int
    prompt: Prompt | None = None
    pieces: Usage = NO_PIECES
    preferred_model: str | None = None
    max_cost: int | None = None
    links: frozenset[str] = frozenset()
    wishes: Wishes = NO_WISHES
    parameters: Mapping[str, Any] = field(default_factory=dict)
    files: tuple[Upload, ...] = ()
