"""The wire formats of requests and answers."""

from enum import StrEnum


class WireFormat(StrEnum):
    """A format of requests and answers, of callers or upstreams."""

    OPENAI_CHAT = "openai_chat"
    OPENAI_COMPLETIONS = "openai_completions"
    OPENAI_EMBEDDINGS = "openai_embeddings"
    OPENAI_IMAGES = "openai_images"
    OPENAI_IMAGE_EDITS = "openai_image_edits"
    OPENAI_MODERATIONS = "openai_moderations"
    OPENAI_RESPONSES = "openai_responses"
    ANTHROPIC_MESSAGES = "anthropic_messages"
    RERANK = "rerank"
    OPENAI_SPEECH = "openai_speech"
    OPENAI_TRANSCRIPTION = "openai_transcription"
    OPENAI_TRANSLATION = "openai_translation"


OPENAI = frozenset({WireFormat.OPENAI_CHAT, WireFormat.OPENAI_EMBEDDINGS})
