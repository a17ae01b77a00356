"""`POST /v1/rerank` and `/v2/rerank`, in the shape that Cohere, Jina, vLLM, Together and OpenRouter share."""

from typing import Any

from serve_app.config.model import ModelTask
from serve_app.formats.json_body import (
    BOM,
    InvalidField,
    cost_limit,
    flag,
    parameters_of,
    parse_body,
    text,
    tokens,
    whole_number,
)
from serve_app.formats.routing_fields import read_wishes
from serve_app.formats.task_format import TaskFormat
from serve_app.formats.task_request import TaskRequest
from serve_app.pricing.prompt import FRAME, Prompt
from serve_app.pricing.usage import Usage, estimate_tokens
from serve_app.providers.catalogue.wire_format import WireFormat

MOST_DOCUMENTS = 10_000  # as Cohere allows
PER_SEARCH_UNIT = 100  # documents
CHUNK = 500  # tokens: Cohere counts a document that is longer, with the query, as several
LEAST_ROOM = 100  # tokens of a chunk that are left for the document, however long the query is

_PICTURES = frozenset({"image", "image_url"})


def read_rerank(raw: bytes) -> TaskRequest:
    """Parse and check; InvalidRequest (400, 413) and InvalidField (422) say what is wrong."""
    raw = raw.removeprefix(BOM)
    body = parse_body(raw)
    query = text(body, "query")
    if query is None:
        raise InvalidField("query", "Field required", "missing")
    documents = _documents(body)
    whole_number(body, "top_n", 1)
    tokens(body, "max_tokens_per_doc")
    flag(body, "return_documents")
    asked, lengths = len(query.encode()), [len(document.encode()) for document in documents]
    chunks = _chunks(asked, lengths)
    return TaskRequest(
        raw=raw,
        task=ModelTask.RERANK,
        model=text(body, "model"),
        input_tokens=len(documents) * estimate_tokens(len(query))
        + sum(estimate_tokens(len(document)) for document in documents),
        # A model reads the query again with each document, or each chunk of one.
        prompt=Prompt(chunks * (asked + FRAME) + sum(lengths)),
        pieces=Usage(searches=-(-chunks // PER_SEARCH_UNIT)),
        preferred_model=text(body, "preferred_model"),
        max_cost=cost_limit(body),
        wishes=read_wishes(body),
        parameters=parameters_of(body),
    )


RERANK = TaskFormat(WireFormat.RERANK, read_rerank)


def _documents(body: dict[str, Any]) -> list[str]:
    """Return the texts of the documents, each with the other members of its object."""
    if "documents" not in body:
        raise InvalidField("documents", "Field required", "missing")
    documents = body["documents"]
    if not isinstance(documents, list) or not documents:
        message = "Input should be a list of texts, or of objects with a 'text', and not empty"
        raise InvalidField("documents", message, "list_type")
    if len(documents) > MOST_DOCUMENTS:
        message = f"Input should have at most {MOST_DOCUMENTS} documents, not {len(documents)}"
        raise InvalidField("documents", message, "too_long")
    return [_text_of(document, place) for place, document in enumerate(documents)]


def _text_of(document: Any, place: int) -> str:
    if isinstance(document, str):
        return document
    field = f"documents[{place}]"
    if not isinstance(document, dict) or not isinstance(document.get("text"), str):
        raise InvalidField(field, "Input should be a text, or an object with a 'text'", "string_type")
    for name, value in document.items():
        # A model on a machine of our own would fetch the address of a picture from inside our network.
        if name in _PICTURES or isinstance(value, dict | list):
            message = f"'{name[:100]}' is not supported: a document may have texts, numbers, true and false"
            raise InvalidField(field, message, "value_error")
    return " ".join(f"{name} {value}" for name, value in document.items())


def _chunks(query: int, documents: list[int]) -> int:
    """Return the most chunks that a vendor may count, from lengths in bytes: a token has at least one."""
    room = max(CHUNK - query, LEAST_ROOM)
    return sum(max(1, -(-length // room)) for length in documents)
