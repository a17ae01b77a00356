"""
The OpenAPI document: what FastAPI writes of the routes, and what it cannot know.

That is the keys, the statuses that every route shares, the three shapes of an error, and the bodies and
answers of the endpoints that FastAPI does not handle itself.
"""

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from serve_app.api.errors import speaks_anthropic
from serve_app.formats.json_body import MOST_TOKENS

Schema = dict[str, Any]

_SECURITY: list[dict[str, list[str]]] = [{"bearer": []}, {"apiKey": []}]
_SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "An API key of the gateway, or a JWT."},
    "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
}

_SAYS = {
    400: "The request is malformed.",
    401: "The API key is missing or unknown.",
    402: "A budget has no room for the request, or the price of the model is unknown.",
    403: "The key may not do this, or the host or the page may not reach a gateway without keys.",
    404: "Not found.",
    408: "The body took too long to arrive.",
    409: "The change conflicts with the current state.",
    412: "The configuration changed after the revision in If-Match.",
    413: "The body is too large.",
    415: "The content encoding is not supported.",
    417: "The request expects something other than 100-continue.",
    422: "A field is missing or has the wrong type.",
    429: "A limit is reached; Retry-After says when to retry.",
    500: "Internal error; the log has the details.",
    502: "The provider failed to answer.",
    503: "No provider can serve this now; Retry-After says when to retry, where that is known.",
    504: "The provider took too long.",
}

_ANY_OBJECT: Schema = {"type": "object", "additionalProperties": True}
_TEXT_OR_NULL: Schema = {"type": ["string", "null"]}
_COUNT: Schema = {"type": "integer", "minimum": 0}
_TOKENS: Schema = {
    "type": "array",
    "items": {"type": "integer", "minimum": 0, "maximum": 2**31 - 1},
    "minItems": 1,
}
TEXTS_OR_TOKENS: Schema = {
    "anyOf": [
        {"type": "string"},
        {"type": "array", "items": {"type": "string"}, "minItems": 1},
        _TOKENS,
        {"type": "array", "items": _TOKENS, "minItems": 1},
    ]
}
_DETAIL: Schema = {
    "description": "A sentence, a list of the fields at fault, or the figures of the limit that is reached.",
    "anyOf": [{"type": "string"}, {"type": "array", "items": _ANY_OBJECT}, _ANY_OBJECT],
}

SCHEMAS: dict[str, Schema] = {
    "Error": {"type": "object", "properties": {"detail": _DETAIL}, "required": ["detail"]},
    "OpenAIError": {
        "type": "object",
        "properties": {
            "error": {
                "type": "object",
                "properties": {
                    "message": {"type": "string"},
                    "type": {"type": "string"},
                    "param": _TEXT_OR_NULL,
                    "code": _TEXT_OR_NULL,
                },
                "required": ["message", "type", "param", "code"],
            },
            "detail": _DETAIL,
        },
        "required": ["error", "detail"],
    },
    "AnthropicError": {
        "type": "object",
        "properties": {
            "type": {"const": "error"},
            "error": {
                "type": "object",
                "properties": {"type": {"type": "string"}, "message": {"type": "string"}},
                "required": ["type", "message"],
                "additionalProperties": True,
            },
        },
        "required": ["type", "error"],
        "additionalProperties": True,
    },
    "AdminError": {
        "type": "object",
        "properties": {
            "code": {"type": "string"},
            "message": {"type": "string"},
            "details": _ANY_OBJECT,
            "detail": _DETAIL,
        },
        "required": ["code", "message", "details", "detail"],
    },
    "Usage": {
        "type": "object",
        "properties": {"prompt_tokens": _COUNT, "completion_tokens": _COUNT, "total_tokens": _COUNT},
        "additionalProperties": True,
    },
    "Routing": {
        "type": "object",
        "description": "Which model answered, and why. Costs are in US dollars; null: the price is unknown.",
        "properties": {
            "provider_id": {"type": "string"},
            "model_id": {"type": "string"},
            "provider_type": {"type": "string"},
            "estimated_cost": {"type": ["number", "null"]},
            "actual_cost": {"type": ["number", "null"]},
            "reason": {"type": "string"},
            "task": {"type": "string"},
        },
        "required": ["provider_id", "model_id", "provider_type", "estimated_cost", "reason", "task"],
        "additionalProperties": True,
    },
    "SekhaMetadata": {
        "type": "object",
        "properties": {"routing": {"$ref": "#/components/schemas/Routing"}},
        "required": ["routing"],
        "additionalProperties": True,
    },
    "ChatCompletion": {
        "type": "object",
        "description": "OpenAI's chat completion, as the provider wrote it.",
        "properties": {
            "id": {"type": "string"},
            "object": {"type": "string"},
            "created": {"type": "integer"},
            "model": {"type": "string"},
            "choices": {"type": "array", "items": _ANY_OBJECT},
            "usage": {"anyOf": [{"$ref": "#/components/schemas/Usage"}, {"type": "null"}]},
            "sekha_metadata": {"$ref": "#/components/schemas/SekhaMetadata"},
        },
        "required": ["choices"],
        "additionalProperties": True,
    },
    "TextCompletion": {
        "type": "object",
        "description": "OpenAI's text completion, as the provider wrote it or as it was translated.",
        "properties": {
            "id": {"type": "string"},
            "object": {"type": "string"},
            "created": {"type": "integer"},
            "model": {"type": "string"},
            "choices": {"type": "array", "items": _ANY_OBJECT},
            "usage": {"anyOf": [{"$ref": "#/components/schemas/Usage"}, {"type": "null"}]},
            "sekha_metadata": {"$ref": "#/components/schemas/SekhaMetadata"},
        },
        "required": ["choices"],
        "additionalProperties": True,
    },
    "Message": {
        "type": "object",
        "description": "Anthropic's message, as the provider wrote it or as it was translated.",
        "properties": {
            "id": {"type": "string"},
            "type": {"const": "message"},
            "role": {"const": "assistant"},
            "model": {"type": "string"},
            "content": {"type": "array", "items": _ANY_OBJECT},
            "stop_reason": _TEXT_OR_NULL,
            "usage": _ANY_OBJECT,
            "sekha_metadata": {"$ref": "#/components/schemas/SekhaMetadata"},
        },
        "required": ["content"],
        "additionalProperties": True,
    },
    "Response": {
        "type": "object",
        "description": "OpenAI's response, as the provider wrote it or as it was translated.",
        "properties": {
            "id": {"type": "string"},
            "object": {"const": "response"},
            "status": {"type": "string"},
            "model": {"type": "string"},
            "output": {"type": "array", "items": _ANY_OBJECT},
            "usage": {"anyOf": [_ANY_OBJECT, {"type": "null"}]},
            "sekha_metadata": {"$ref": "#/components/schemas/SekhaMetadata"},
        },
        "required": ["output"],
        "additionalProperties": True,
    },
    "EmbeddingList": {
        "type": "object",
        "description": "OpenAI's list of vectors, as the provider wrote it.",
        "properties": {
            "object": {"type": "string"},
            "model": {"type": "string"},
            "data": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {
                        "index": _COUNT,
                        "embedding": {"type": ["array", "string"], "items": {"type": "number"}},
                    },
                    "required": ["embedding"],
                    "additionalProperties": True,
                },
            },
            "usage": {"anyOf": [{"$ref": "#/components/schemas/Usage"}, {"type": "null"}]},
            "sekha_metadata": {"$ref": "#/components/schemas/SekhaMetadata"},
        },
        "required": ["data"],
        "additionalProperties": True,
    },
}


def completed(app: FastAPI, public: frozenset[str]) -> Schema:
    """Return the whole document of an application; `public` are the paths that need no key. Made once."""
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title, version=app.version, description=app.description, routes=app.routes
        )
        parts = document.setdefault("components", {})
        parts["securitySchemes"] = _SCHEMES
        schemas = parts.setdefault("schemas", {})
        schemas |= SCHEMAS
        for unused in ("HTTPValidationError", "ValidationError"):  # FastAPI's own, which no route sends
            schemas.pop(unused, None)
        for path, methods in document["paths"].items():
            for method, operation in methods.items():
                _complete(operation, path, method, path in public)
        app.openapi_schema = document
    return app.openapi_schema


def _complete(operation: Schema, path: str, method: str, is_public: bool) -> None:
    responses = operation["responses"]
    responses.pop("422", None)
    for status in sorted(_statuses(operation, path, method, is_public)):
        responses[str(status)] = {
            "description": _SAYS[status],
            "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{_shape(path)}"}}},
        }
    if not is_public:
        operation["security"] = _SECURITY


def _statuses(operation: Mapping[str, Any], path: str, method: str, is_public: bool) -> set[int]:
    """Return the errors that an operation may answer with, from what it takes."""
    found = {400, 403, 413, 415, 417}
    if not is_public:
        found |= {401, 429, 503}
    if "requestBody" in operation or operation.get("parameters"):
        found |= {422}
    if "requestBody" in operation:
        found |= {408}
    if "{" in path:
        found |= {404}
    if path.startswith("/api/admin/") and method != "get":
        found |= {404, 409, 412}
    if path == "/api/v1/route":
        found |= {402, 404}
    if method == "post" and "models" in operation.get("tags", ()):
        found |= {402, 404, 408, 500, 502, 503, 504}
    if "work" in operation.get("tags", ()):
        found |= {402, 404, 408, 500, 502, 503, 504}
    return found


def _shape(path: str) -> str:
    if speaks_anthropic(path):
        return "AnthropicError"
    if path.startswith(("/v1/", "/v2/")):
        return "OpenAIError"
    if path == "/api/v1/chat/completions":
        return "OpenAIError"
    return "AdminError" if path.startswith("/api/admin/") else "Error"


def chat_operation() -> Schema:
    """Return what FastAPI cannot know of the chat endpoint."""
    fields: Schema = {
        "model": {"type": ["string", "null"]},
        "messages": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "properties": {
                    "role": {"type": "string"},
                    "content": {"type": ["string", "null"]},
                },
                "required": ["role"],
                "additionalProperties": True,
            },
        },
        "stream": {"type": ["boolean", "null"]},
        "temperature": {"type": ["number", "null"], "minimum": 0, "maximum": 2},
        "max_tokens": {"type": ["integer", "null"], "minimum": 1, "maximum": MOST_TOKENS},
    }
    answers = {
        "application/json": {"schema": {"$ref": "#/components/schemas/ChatCompletion"}},
        "text/event-stream": {"schema": {"description": "`chat.completion.chunk` events, then `[DONE]`."}},
    }
    return operation(fields, ["messages"], answers)


def completions_operation() -> Schema:
    """Return what FastAPI cannot know of the endpoint of text completions."""
    fields: Schema = {
        "model": {"type": ["string", "null"]},
        "prompt": TEXTS_OR_TOKENS,
        "stream": {"type": ["boolean", "null"]},
        "temperature": {"type": ["number", "null"], "minimum": 0, "maximum": 2},
        "max_tokens": {"type": ["integer", "null"], "minimum": 1, "maximum": MOST_TOKENS},
    }
    answers = {
        "application/json": {"schema": {"$ref": "#/components/schemas/TextCompletion"}},
        "text/event-stream": {"schema": {"description": "`text_completion` events, then `[DONE]`."}},
    }
    return operation(fields, ["prompt"], answers)


def messages_operation() -> Schema:
    """Return what FastAPI cannot know of the Messages endpoint."""
    fields: Schema = {
        "model": {"type": ["string", "null"]},
        "max_tokens": {"type": "integer", "minimum": 1, "maximum": MOST_TOKENS},
        "messages": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "properties": {
                    "role": {"enum": ["user", "assistant", "system"]},
                    "content": {"type": "string"},
                },
                "required": ["role", "content"],
                "additionalProperties": True,
            },
        },
        "system": {"type": "string"},
        "stream": {"type": ["boolean", "null"]},
    }
    answers = {
        "application/json": {"schema": {"$ref": "#/components/schemas/Message"}},
        "text/event-stream": {"schema": {"description": "`message_start` to `message_stop`."}},
    }
    return operation(fields, ["max_tokens", "messages"], answers)


def count_tokens_operation() -> Schema:
    """Return what FastAPI cannot know of the endpoint that counts a prompt's tokens."""
    operation = messages_operation()
    schema = operation["requestBody"]["content"]["application/json"]["schema"]
    del schema["properties"]["max_tokens"], schema["properties"]["stream"]
    schema["required"] = ["messages"]
    counted = {"type": "object", "properties": {"input_tokens": _COUNT}, "required": ["input_tokens"]}
    operation["responses"]["200"]["content"] = {"application/json": {"schema": counted}}
    return operation


def responses_operation() -> Schema:
    """Return what FastAPI cannot know of the Responses endpoint."""
    fields: Schema = {
        "model": {"type": ["string", "null"]},
        "input": {"type": "string"},
        "instructions": _TEXT_OR_NULL,
        "max_output_tokens": {"type": ["integer", "null"], "minimum": 1, "maximum": MOST_TOKENS},
        "stream": {"type": ["boolean", "null"]},
    }
    answers = {
        "application/json": {"schema": {"$ref": "#/components/schemas/Response"}},
        "text/event-stream": {"schema": {"description": "`response.created` to `response.completed`."}},
    }
    return operation(fields, ["input"], answers)


def operation(fields: Schema, required: list[str], answers: Schema) -> Schema:
    """Return what FastAPI cannot know of an endpoint with these fields in its body."""
    schema = {"type": "object", "properties": fields, "required": required, "additionalProperties": True}
    return {
        "requestBody": {"required": True, "content": {"application/json": {"schema": schema}}},
        "responses": {"200": {"description": "The answer.", "content": answers}},
    }


def form_operation(fields: Schema, required: list[str], answers: Schema) -> Schema:
    """Return the same of an endpoint whose body is a form."""
    documented = operation(fields, required, answers)
    body = documented["requestBody"]
    body["content"] = {"multipart/form-data": body["content"]["application/json"]}
    return documented
