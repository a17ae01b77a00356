"""What FastAPI cannot know of the endpoints with a task of their own, for the OpenAPI document."""

from typing import Any

from serve_app.api.openapi import TEXTS_OR_TOKENS, Schema, form_operation, operation
from serve_app.formats.json_body import MOST_TOKENS
from serve_app.formats.openai_image_edits import MOST_SHOWN
from serve_app.formats.openai_images import MOST_IMAGES
from serve_app.formats.openai_moderations import MOST_INPUTS
from serve_app.formats.rerank import MOST_DOCUMENTS

_OBJECT: Schema = {"type": "object", "additionalProperties": True}
_METADATA: Schema = {"$ref": "#/components/schemas/SekhaMetadata"}


def embeddings_operation() -> Schema:
    """Return what FastAPI cannot know of the embeddings endpoint."""
    fields: Schema = {"model": {"type": ["string", "null"]}, "input": TEXTS_OR_TOKENS}
    answers = {"application/json": {"schema": {"$ref": "#/components/schemas/EmbeddingList"}}}
    return operation(fields, ["input"], answers)


def rerank_operation() -> Schema:
    """Return what FastAPI cannot know of the rerank endpoint."""
    document: Schema = {
        "anyOf": [
            {"type": "string"},
            {
                "type": "object",
                "properties": {"text": {"type": "string"}},
                "required": ["text"],
                "propertyNames": {"not": {"enum": ["image", "image_url"]}},
                "additionalProperties": {"type": ["string", "number", "boolean", "null"]},
            },
        ]
    }
    fields: Schema = {
        "model": {"type": ["string", "null"]},
        "query": {"type": "string"},
        "documents": {"type": "array", "items": document, "minItems": 1, "maxItems": MOST_DOCUMENTS},
        "top_n": {"type": ["integer", "null"], "minimum": 1},
        "max_tokens_per_doc": {"type": ["integer", "null"], "minimum": 1, "maximum": MOST_TOKENS},
        "return_documents": {"type": ["boolean", "null"]},
    }
    result: Schema = {
        "type": "object",
        "properties": {
            "index": {"type": "integer", "minimum": 0},
            "relevance_score": {"type": "number"},
        },
        "required": ["index", "relevance_score"],
        "additionalProperties": True,
    }
    answer = _answer("The documents by relevance, as the provider wrote it.", "results", result)
    return operation(fields, ["query", "documents"], answer)


def moderation_operation() -> Schema:
    """Return what FastAPI cannot know of the moderations endpoint."""
    part: Schema = {
        "anyOf": [
            {
                "type": "object",
                "properties": {"type": {"const": "text"}, "text": {"type": "string"}},
                "required": ["type", "text"],
            },
            {
                "type": "object",
                "properties": {
                    "type": {"const": "image_url"},
                    "image_url": {
                        "type": "object",
                        # A link is taken as well, where the provider may fetch it.
                        "properties": {"url": {"type": "string", "pattern": "^data:"}},
                        "required": ["url"],
                    },
                },
                "required": ["type", "image_url"],
            },
        ]
    }
    texts: Schema = {"type": "array", "items": {"type": "string"}}
    parts: Schema = {"type": "array", "items": part}
    bounds: Schema = {"minItems": 1, "maxItems": MOST_INPUTS}
    given: Schema = {"anyOf": [{"type": "string"}, {**texts, **bounds}, {**parts, **bounds}]}
    fields: Schema = {"model": {"type": ["string", "null"]}, "input": given}
    answer = _answer("One result for each text, as the provider wrote it.", "results", _OBJECT)
    return operation(fields, ["input"], answer)


def image_operation() -> Schema:
    """Return what FastAPI cannot know of the endpoint that makes images."""
    words = ("size", "quality", "background", "moderation", "output_format", "response_format", "style")
    fields: Schema = {
        "model": {"type": ["string", "null"]},
        "prompt": {"type": "string"},
        "n": {"type": ["integer", "null"], "minimum": 1, "maximum": MOST_IMAGES},
        "stream": {"enum": [False, None]},
        "partial_images": {"enum": [0, None]},
        **{word: {"type": ["string", "null"]} for word in words},
        "user": {"type": ["string", "null"]},
    }
    return operation(fields, ["prompt"], _images())


def image_edit_operation() -> Schema:
    """Return what FastAPI cannot know of the endpoint that changes images."""
    file: Schema = {"type": "string", "format": "binary", "minLength": 1}
    words = ("model", "size", "quality", "background", "moderation", "output_format", "response_format")
    fields: Schema = {
        "image": file,
        "image[]": {"type": "array", "items": file, "minItems": 1, "maxItems": MOST_SHOWN},
        "mask": file,
        "prompt": {"type": "string"},
        "n": {"type": "integer", "minimum": 1, "maximum": MOST_IMAGES},
        "output_compression": {"type": "integer", "minimum": 0, "maximum": 100},
        "stream": {"const": False},
        "partial_images": {"const": 0},
        **{word: {"type": "string"} for word in (*words, "input_fidelity", "user")},
    }
    return form_operation(fields, ["prompt"], _images())


def _images() -> Schema:
    return _answer("The images, each as `url` or `b64_json`.", "data", _OBJECT)


def _answer(description: str, name: str, item: dict[str, Any]) -> Schema:
    schema = {
        "type": "object",
        "description": description,
        "properties": {name: {"type": "array", "items": item}, "sekha_metadata": _METADATA},
        "required": [name],
        "additionalProperties": True,
    }
    return {"application/json": {"schema": schema}}
