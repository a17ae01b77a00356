"""`POST /v1/audio/transcriptions` and `/translations`, as far as the gateway must understand them."""

from collections.abc import Mapping
from typing import Any

import orjson

from serve_app.config.model import ModelTask
from serve_app.errors import GatewayError, InvalidRequest
from serve_app.formats.form import Form, Upload
from serve_app.formats.form_fields import form_body
from serve_app.formats.json_body import InvalidField, cost_limit, parameters_of, text
from serve_app.formats.openai_error import openai_error
from serve_app.formats.routing_fields import read_wishes
from serve_app.formats.sound.length import SoundLength, sound_length
from serve_app.formats.sound_request import SoundRequest
from serve_app.formats.sse import spliced
from serve_app.pricing.prompt import FRAME, Prompt
from serve_app.pricing.usage import estimate_tokens
from serve_app.providers.catalogue.wire_format import WireFormat

FILE = "file"
JSON_FORMATS = frozenset({"json", "verbose_json", "diarized_json"})
TRANSCRIPTS = ("json", "text", "srt", "verbose_json", "vtt", "diarized_json")
TRANSLATIONS = ("json", "text", "srt", "verbose_json", "vtt")
# Fields of which there may be several, as OpenAI's clients write them.
_LISTS = frozenset({
    "timestamp_granularities", "include", "keywords", "languages", "known_speaker_names",
    "known_speaker_references",
})  # fmt: skip
# What says which sound it is, and what the vendor is asked for.
_NO_PARAMETERS = frozenset({"prompt", "known_speaker_references"})


class OpenAITranscription:
    """The format of the two endpoints: a form in, a transcript out."""

    def __init__(self, name: WireFormat, formats: tuple[str, ...]) -> None:
        self.name = name
        self._formats = formats

    def parse(self, body: bytes) -> SoundRequest:
        """Refuse a body that is no form."""
        raise InvalidField(FILE, "Field required: send a form with a file", "missing")

    def parse_form(self, form: Form) -> SoundRequest:
        """
        Read the fields and the length of the file's sound. The file is read from the disk.

        Raises:
            InvalidRequest: 400, the form cannot be handled.
            InvalidField: 422, a field is missing or of the wrong kind.
        """
        return read_transcription(form, self._formats)

    def response(self, body: bytes, members: Mapping[str, object]) -> bytes:
        for name, value in members.items():
            body = spliced(body, name, value)
        return body

    def error(self, error: GatewayError) -> bytes:
        return openai_error(error)


OPENAI_TRANSCRIPTION = OpenAITranscription(WireFormat.OPENAI_TRANSCRIPTION, TRANSCRIPTS)
OPENAI_TRANSLATION = OpenAITranscription(WireFormat.OPENAI_TRANSLATION, TRANSLATIONS)


def read_transcription(form: Form, formats: tuple[str, ...] = TRANSCRIPTS) -> SoundRequest:
    """Return the request in a form; see `OpenAITranscription.parse_form`."""
    body = form_body(form, _LISTS)
    file = _file_of(form)
    _check(body, formats)
    prompt = text(body, "prompt") or ""
    raw = orjson.dumps(body)
    return SoundRequest(
        raw=raw,
        task=ModelTask.TRANSCRIPTION,
        model=text(body, "model"),
        input_tokens=estimate_tokens(len(prompt)),
        sound=_length_of(file),
        prompt=Prompt(len(raw) + FRAME),
        files=(file,),
        preferred_model=text(body, "preferred_model"),
        max_cost=cost_limit(body),
        wishes=read_wishes(body),
        parameters={n: v for n, v in parameters_of(body).items() if n not in _NO_PARAMETERS},
    )


def _file_of(form: Form) -> Upload:
    """Return the one file. Raises InvalidField or InvalidRequest if there is none, or another number."""
    if len(form.files) > 1:
        raise InvalidRequest(f"{FILE}: came {len(form.files)} times; send one file", FILE, "invalid_form")
    if any(name == FILE for name, _ in form.fields):
        message = f"{FILE}: came as text; send it as a file, with a filename"
        raise InvalidRequest(message, FILE, "invalid_form")
    if not form.files:
        raise InvalidField(FILE, "Field required: the sound, as a file", "missing")
    (file,) = form.files
    if file.field != FILE:
        raise InvalidField(FILE, f"Field required; there is a file called '{file.field[:40]}'", "missing")
    if not file.file.size:
        raise InvalidRequest(f"{FILE}: the file is empty", FILE, "empty_file")
    return file


def _length_of(upload: Upload) -> SoundLength:
    with upload.file.open() as file:
        return sound_length(file)


def _check(body: dict[str, Any], formats: tuple[str, ...]) -> None:
    asked = body.get("response_format")
    if asked is not None and asked not in formats:
        raise InvalidField("response_format", f"Input should be one of: {', '.join(formats)}", "enum")
    temperature = body.get("temperature")
    if temperature is not None and not _is_between(temperature, 0, 1):
        raise InvalidField("temperature", "Input should be a number from 0 to 1", "float_type")
    if str(body.pop("stream", "false")).lower() not in ("false", "0", ""):
        message = "stream: transcripts are not streamed; leave it out"
        raise InvalidRequest(message, "stream", "unsupported_parameter")
    if "url" in body:
        message = f"'url' is not supported: the vendor would fetch it; send the sound in '{FILE}'"
        raise InvalidRequest(message, "url", "unsupported_parameter")


def _is_between(value: object, least: float, most: float) -> bool:
    try:
        return isinstance(value, str) and least <= float(value) <= most
    except ValueError:
        return False
