"""What the OpenAPI document says of the endpoints that speak and listen."""

from serve_app.api.openapi import Schema, form_operation, operation
from serve_app.formats.openai_speech import FASTEST, FORMATS, MOST_CHARACTERS, SLOWEST
from serve_app.formats.openai_transcription import TRANSCRIPTS, TRANSLATIONS

_TEXT: Schema = {"type": "string"}
_BYTES: Schema = {"type": "string", "format": "binary"}


def speech_operation() -> Schema:
    """Return what FastAPI cannot know of the endpoint of speech."""
    fields: Schema = {
        "model": {"type": ["string", "null"]},
        "input": {"type": "string", "minLength": 1, "maxLength": MOST_CHARACTERS},
        "voice": {"type": ["string", "null"]},
        "instructions": {"type": ["string", "null"]},
        "response_format": {"enum": [*FORMATS, None]},
        "speed": {"type": ["number", "null"], "minimum": SLOWEST, "maximum": FASTEST},
    }
    sound: Schema = {"schema": {**_BYTES, "description": "The sound, under the upstream's own type."}}
    return operation(fields, ["input"], {"audio/*": sound, "application/octet-stream": sound})


def transcription_operation(translates: bool = False) -> Schema:
    """Return what FastAPI cannot know of the endpoints of transcripts, or of translations."""
    fields: Schema = {
        "file": {**_BYTES, "minLength": 1},
        "model": _TEXT,
        "prompt": _TEXT,
        "response_format": {"enum": list(TRANSLATIONS if translates else TRANSCRIPTS)},
    }
    if not translates:
        fields["language"] = _TEXT
    transcript: Schema = {
        "type": "object",
        "properties": {
            "text": _TEXT,
            "sekha_metadata": {"$ref": "#/components/schemas/SekhaMetadata"},
        },
        "required": ["text"],
        "additionalProperties": True,
    }
    answers: Schema = {"application/json": {"schema": transcript}, "text/plain": {"schema": _TEXT}}
    return form_operation(fields, ["file"], answers)
