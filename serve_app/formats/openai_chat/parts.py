"""
The parts of a message's content: which types there are, and what each must hold.

Known are OpenAI's, and those that Anthropic, vLLM and other vendors take in the same place. A translator
fails at any other type, so it is refused by name before anybody is asked.
"""

from typing import Any

from serve_app.errors import InvalidRequest

_TEXT: tuple[type, ...] = (str,)
_OBJECT: tuple[type, ...] = (dict,)
_LINK: tuple[type, ...] = (dict, str)

# The field that a part of this type must have, and how it may be written. None: the type alone is checked.
PARTS: dict[str, tuple[str, tuple[type, ...]] | None] = {
    # OpenAI
    "text": ("text", _TEXT),
    "image_url": None,  # its link is checked with the image itself
    "input_audio": ("input_audio", _OBJECT),
    "file": ("file", _OBJECT),
    "refusal": ("refusal", _TEXT),
    "input_text": ("text", _TEXT),
    "output_text": ("text", _TEXT),
    "input_image": None,
    "input_file": None,
    # Anthropic, and what LiteLLM takes for it
    "thinking": ("thinking", (str, list)),  # Mistral has a list of parts
    "redacted_thinking": ("data", _TEXT),
    "image": None,
    "document": None,
    "search_result": None,
    "tool_use": ("name", _TEXT),
    "tool_result": None,
    "tool_reference": None,
    "server_tool_use": ("name", _TEXT),
    "web_search_tool_result": None,
    "web_fetch_tool_result": None,
    "code_execution_tool_result": None,
    "bash_code_execution_tool_result": None,
    "text_editor_code_execution_tool_result": None,
    "tool_search_tool_result": None,
    "mcp_tool_use": ("name", _TEXT),
    "mcp_tool_result": None,
    "container_upload": None,
    "compaction": None,
    # Bedrock
    "guarded_text": ("text", _TEXT),
    # vLLM, OpenRouter, Qwen
    "audio_url": ("audio_url", _LINK),
    "video_url": ("video_url", _LINK),
    "video": None,
    "image_pil": None,
    "image_embeds": None,
    "audio_embeds": None,
    "prompt_embeds": None,
    # Mistral
    "document_url": ("document_url", _LINK),
    "reference": None,
}

# What must be a text where it is given, within the object that the part holds.
_TEXTS_WITHIN = {
    "input_audio": ("data", "format"),
    "file": ("file_data", "file_id", "filename"),
    "image_url": ("detail",),
    "video_url": ("url",),
    "audio_url": ("url",),
}

_WORD: dict[type, str] = {str: "a text", dict: "an object", list: "a list"}


def check_part(part: dict[str, Any], path: str) -> None:
    """InvalidRequest 400 when a part is of an unknown type, or lacks what its type stands for."""
    kind = part["type"]
    try:
        needed = PARTS[kind]
    except KeyError:
        raise InvalidRequest(
            f"{path}.type: '{kind[:100]}' is not a known type of content; known are {', '.join(PARTS)}",
            param=f"{path}.type",
            code="invalid_value",
        ) from None
    if needed is not None and not isinstance(part.get(needed[0]), needed[1]):
        field, types = needed
        may_be = " or ".join(_WORD[a_type] for a_type in types)
        raise InvalidRequest(
            f"{path}.{field}: a part of type {kind} needs {may_be} here",
            param=f"{path}.{field}",
            code="invalid_value",
        )
    within = part.get(kind)
    if isinstance(within, dict):
        for name in _TEXTS_WITHIN.get(kind, ()):
            if not isinstance(within.get(name), str | None):
                where = f"{path}.{kind}.{name}"
                raise InvalidRequest(f"{where}: should be a text", param=where, code="invalid_value")
