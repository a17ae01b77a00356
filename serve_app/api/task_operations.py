"""What FastAPI cannot know of the endpoints with a task of their own, for the OpenAPI document."""

from typing import Any

from serve_app.api.openapi import Schema, operation
from serve_app.formats.json_body import MOST_TOKENS
from serve_app.formats.rerank import MOST_DOCUMENTS

_METADATA: Schema = {"$ref": "#/components/schemas/SekhaMetadata"}


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


def _answer(description: str, name: str, item: dict[str, Any]) -> Schema:
    schema = {
        "type": "object",
        "description": description,
        "properties": {name: {"type": "array", "items": item}, "sekha_metadata": _METADATA},
        "required": [name],
        "additionalProperties": True,
    }
    return {"application/json": {"schema": schema}}
