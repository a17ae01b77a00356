"""The paths that models answer: which format each of them speaks."""

from typing import Any, NamedTuple

from serve_app.api.form_endpoint import FormEndpoint
from serve_app.api.model_endpoint import ModelEndpoint
from serve_app.api.openapi import (
    Schema,
    chat_operation,
    completions_operation,
    messages_operation,
    responses_operation,
)
from serve_app.api.openapi_sound import speech_operation, transcription_operation
from serve_app.api.sound_endpoint import SoundEndpoint
from serve_app.api.task_operations import (
    embeddings_operation,
    image_edit_operation,
    image_operation,
    moderation_operation,
    rerank_operation,
)
from serve_app.formats.anthropic_messages.format import ANTHROPIC_MESSAGES
from serve_app.formats.base import Format
from serve_app.formats.openai_chat.format import OPENAI_CHAT
from serve_app.formats.openai_completions.format import OPENAI_COMPLETIONS
from serve_app.formats.openai_embeddings import OPENAI_EMBEDDINGS
from serve_app.formats.openai_image_edits import OPENAI_IMAGE_EDITS
from serve_app.formats.openai_images import OPENAI_IMAGES
from serve_app.formats.openai_moderations import OPENAI_MODERATIONS
from serve_app.formats.openai_responses.format import OPENAI_RESPONSES
from serve_app.formats.openai_speech import OPENAI_SPEECH
from serve_app.formats.openai_transcription import OPENAI_TRANSCRIPTION, OPENAI_TRANSLATION
from serve_app.formats.rerank import RERANK
from serve_app.gateway.request import Operation


class ModelRoute(NamedTuple):
    """
    One path, for POST.

    Fields:
        path: where it is.
        format: the format of its requests, answers and errors.
        operation: what the gateway is asked to do.
        summary: one line for the documentation.
        document: what the OpenAPI document says of its bodies.
        endpoint: what handles it.
    """

    path: str
    format: Format[Any]
    operation: Operation
    summary: str
    document: Schema
    endpoint: type[ModelEndpoint] = ModelEndpoint


_CHAT = (OPENAI_CHAT, Operation.CHAT, "OpenAI's chat endpoint; unknown fields pass through", chat_operation())
_RERANK = (
    RERANK,
    Operation.RERANK,
    "Reranking in Cohere's and Jina's shape; unknown fields pass through",
    rerank_operation(),
)

MODEL_ROUTES = (
    ModelRoute("/v1/chat/completions", *_CHAT),
    ModelRoute("/api/v1/chat/completions", *_CHAT),
    ModelRoute(
        "/v1/completions",
        OPENAI_COMPLETIONS,
        Operation.COMPLETIONS,
        "OpenAI's text completions; unknown fields pass through",
        completions_operation(),
    ),
    ModelRoute(
        "/v1/embeddings",
        OPENAI_EMBEDDINGS,
        Operation.EMBEDDINGS,
        "OpenAI's embeddings endpoint; unknown fields pass through",
        embeddings_operation(),
    ),
    ModelRoute(
        "/v1/messages",
        ANTHROPIC_MESSAGES,
        Operation.CHAT,
        "Anthropic's Messages; unknown fields pass through",
        messages_operation(),
    ),
    ModelRoute(
        "/v1/responses",
        OPENAI_RESPONSES,
        Operation.CHAT,
        "OpenAI's Responses; unknown fields pass through",
        responses_operation(),
    ),
    ModelRoute("/v1/rerank", *_RERANK),
    ModelRoute("/v2/rerank", *_RERANK),
    ModelRoute(
        "/v1/moderations",
        OPENAI_MODERATIONS,
        Operation.MODERATION,
        "OpenAI's moderations; unknown fields pass through",
        moderation_operation(),
    ),
    ModelRoute(
        "/v1/images/generations",
        OPENAI_IMAGES,
        Operation.IMAGE_GENERATION,
        "OpenAI's image generation; unknown fields pass through",
        image_operation(),
    ),
    ModelRoute(
        "/v1/images/edits",
        OPENAI_IMAGE_EDITS,
        Operation.IMAGE_EDIT,
        "OpenAI's edits of images: a form with images in; unknown fields pass through",
        image_edit_operation(),
        FormEndpoint,
    ),
    ModelRoute(
        "/v1/audio/speech",
        OPENAI_SPEECH,
        Operation.SPEECH,
        "OpenAI's speech: a text in, its sound out, as it comes",
        speech_operation(),
        SoundEndpoint,
    ),
    ModelRoute(
        "/v1/audio/transcriptions",
        OPENAI_TRANSCRIPTION,
        Operation.TRANSCRIPTION,
        "OpenAI's transcriptions: a form with a sound in, its text out",
        transcription_operation(),
        FormEndpoint,
    ),
    ModelRoute(
        "/v1/audio/translations",
        OPENAI_TRANSLATION,
        Operation.TRANSLATION,
        "OpenAI's translations: as transcriptions, in English",
        transcription_operation(translates=True),
        FormEndpoint,
    ),
)
