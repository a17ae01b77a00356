"""A request to the gateway, in the form used between the API and the provider."""

from enum import StrEnum
from typing import Any, NamedTuple, cast

from serve_app.caller import ANYONE, Caller
from serve_app.config.routing import OnStreamFailure
from serve_app.formats.base import ChatFormat, Format
from serve_app.formats.chat_request import ChatRequest
from serve_app.formats.form import Upload
from serve_app.formats.openai_chat.format import OPENAI_CHAT
from serve_app.formats.route_question import RouteQuestion
from serve_app.formats.task_request import TaskRequest

Content = ChatRequest | TaskRequest | RouteQuestion


class Operation(StrEnum):
    """The operation that a request asks for; also a label of metrics and a column of the ledger."""

    CHAT = "chat"
    COMPLETIONS = "completions"
    EMBEDDINGS = "embeddings"
    RERANK = "rerank"
    MODERATION = "moderation"
    IMAGE_GENERATION = "image_generation"
    IMAGE_EDIT = "image_edit"
    ROUTE = "route"
    SPEECH = "speech"
    TRANSCRIPTION = "transcription"
    TRANSLATION = "translation"

    @property
    def gives_bytes(self) -> bool:
        """Return whether the answer is a stream of bytes without frames, in which nothing can be said."""
        return self is Operation.SPEECH


class GatewayRequest(NamedTuple):
    """
    One request, from the parsing of its body until its answer.

    Immutable: a middleware that changes a request passes on a copy (`request._replace(...)`).

    Fields:
        id: the request's id, as the caller and the log see it.
        operation: what to do.
        content: the parsed body. It keeps the caller's bytes (`raw`), which the provider gets.
        caller: whose permissions and limits apply.
        timeout_s: the caller's timeout, capped at the configured one; None: as configured.
        on_stream_failure: what happens when a stream breaks off; None: as configured.
        streams: whether the caller asked for a stream.
        format: the format of the body and of the answer.
        headers: the caller's headers that belong to the format, for upstreams that speak it.
    """

    id: str
    operation: Operation
    content: Content
    caller: Caller = ANYONE
    timeout_s: float | None = None
    on_stream_failure: OnStreamFailure | None = None
    streams: bool = False
    format: Format[Any] = OPENAI_CHAT
    headers: tuple[tuple[str, str], ...] = ()

    @property
    def chat_format(self) -> ChatFormat:
        """Return the chat format of the request; only for operations that can stream."""
        return cast(ChatFormat, self.format)

    @property
    def body(self) -> bytes:
        """Return the caller's fields as JSON; empty for `route`, which calls no provider."""
        return b"" if isinstance(self.content, RouteQuestion) else self.content.raw

    @property
    def files(self) -> tuple[Upload, ...]:
        """Return the files of a form."""
        return self.content.files if isinstance(self.content, TaskRequest) else ()

    @property
    def wants_usage(self) -> bool:
        """Return whether the caller of a stream asked for a last chunk with the usage."""
        return isinstance(self.content, ChatRequest) and self.content.wants_usage
