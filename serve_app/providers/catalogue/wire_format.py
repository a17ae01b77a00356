"""The wire formats: in which requests and answers are written."""

from enum import StrEnum


class WireFormat(StrEnum):
    """A format that callers or upstreams speak."""

    OPENAI_CHAT = "openai_chat"
    OPENAI_EMBEDDINGS = "openai_embeddings"
    OPENAI_RESPONSES = "openai_responses"
    ANTHROPIC_MESSAGES = "anthropic_messages"


OPENAI = frozenset({WireFormat.OPENAI_CHAT, WireFormat.OPENAI_EMBEDDINGS})
