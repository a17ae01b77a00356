"""
The formats of tasks with an endpoint of their own.

A provider with a model for such a task is asked in that task's formats; they need not be listed in `formats`.
"""

from collections.abc import Iterable, Mapping

from serve_app.config.model import ModelTask
from serve_app.providers.catalogue.wire_format import WireFormat

# Embeddings are not listed: most vendors' rows have them, because most servers with OpenAI's API do.
TASK_FORMATS: Mapping[ModelTask, frozenset[WireFormat]] = {
    ModelTask.RERANK: frozenset({WireFormat.RERANK}),
    ModelTask.SPEECH: frozenset({WireFormat.OPENAI_SPEECH}),
    ModelTask.TRANSCRIPTION: frozenset({WireFormat.OPENAI_TRANSCRIPTION, WireFormat.OPENAI_TRANSLATION}),
    ModelTask.MODERATION: frozenset({WireFormat.OPENAI_MODERATIONS}),
    ModelTask.IMAGE_GENERATION: frozenset({WireFormat.OPENAI_IMAGES, WireFormat.OPENAI_IMAGE_EDITS}),
}


def formats_for(tasks: Iterable[ModelTask]) -> frozenset[WireFormat]:
    """Return the formats that the models for these tasks are asked in, beside those of chats."""
    return frozenset().union(*(TASK_FORMATS.get(task, ()) for task in tasks))
