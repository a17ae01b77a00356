"""Members of a request that a translation has to read: checked, and refused by their path."""

from typing import Any

from serve_app.errors import InvalidRequest


def refused(path: str, message: str, code: str = "invalid_value") -> InvalidRequest:
    """Return the refusal of what stands at a path of the body."""
    return InvalidRequest(f"{path}: {message}", param=path, code=code)


def not_carried(path: str, what: str, way_out: str) -> InvalidRequest:
    """Return the refusal of content that the upstream's format has no place for."""
    return refused(path, f"{what} cannot be sent to this model; {way_out}", code="unsupported_content")


def object_at(value: Any, path: str) -> dict[str, Any]:
    """Return an object. Raises: InvalidRequest 400, it is none."""
    if isinstance(value, dict):
        return value
    raise refused(path, "should be an object")


def text_at(value: Any, path: str) -> str:
    """Return a text. Raises: InvalidRequest 400, it is none."""
    if isinstance(value, str):
        return value
    raise refused(path, "should be a text")


def objects_at(value: Any, path: str) -> list[dict[str, Any]]:
    """Return a list of objects; null is an empty one. Raises: InvalidRequest 400, it is none."""
    if value is None:
        return []
    if isinstance(value, list) and all(isinstance(item, dict) for item in value):
        return value
    raise refused(path, "should be a list of objects")


def blocks_at(content: Any, path: str) -> list[dict[str, Any]]:
    """
    Return a content as a list of blocks, each with a type; a text is one block.

    Raises:
        InvalidRequest: 400, it is neither a text nor such a list.
    """
    if isinstance(content, str):
        return [{"type": "text", "text": content}] if content else []
    blocks = objects_at(content, path)
    for number, block in enumerate(blocks):
        if not isinstance(block.get("type"), str):
            raise refused(f"{path}[{number}].type", "should be a text")
        if block["type"] == "text" and not isinstance(block.get("text"), str):
            raise refused(f"{path}[{number}].text", "should be a text")
    return blocks
