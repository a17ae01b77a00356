"""`POST /v1/audio/speech`, as far as the gateway must understand it: JSON in, sound out."""

from collections.abc import Mapping
from typing import Any

from serve_app.config.model import ModelTask
from serve_app.errors import GatewayError, InvalidRequest
from serve_app.formats.field_checks import Check, between, check_fields, check_spelling
from serve_app.formats.json_body import BOM, InvalidField, cost_limit, flag, parameters_of, parse_body, text
from serve_app.formats.openai_error import openai_error
from serve_app.formats.routing_fields import read_wishes
from serve_app.formats.sound.length import SoundLength
from serve_app.formats.sound_request import SoundRequest
from serve_app.pricing.prompt import Prompt
from serve_app.pricing.usage import estimate_tokens
from serve_app.providers.catalogue.wire_format import WireFormat

MOST_CHARACTERS = 100_000  # OpenAI takes 4,096; others take more
SLOWEST = 0.25  # OpenAI's bounds of `speed`
FASTEST = 4.0
# Seconds of speech for a byte of text, in UTF-8: the usual is 15 letters or 5 Chinese characters a second.
USUAL_S = 1 / 15
SLOW_S = 1 / 5  # and the slowest, for reservations
LEAST_S = 5.0  # of a short text, likewise

# What OpenAI takes, and what Groq takes besides.
FORMATS = ("mp3", "opus", "aac", "flac", "wav", "pcm", "ogg", "mulaw")


class OpenAISpeech:
    """The format of `POST /v1/audio/speech`."""

    name = WireFormat.OPENAI_SPEECH

    def parse(self, body: bytes) -> SoundRequest:
        return read_speech(body)

    def response(self, body: bytes, members: Mapping[str, object]) -> bytes:
        """Return the sound as it is: it has no place for members."""
        return body

    def error(self, error: GatewayError) -> bytes:
        return openai_error(error)

    def count_chars(self, block: bytes) -> int:
        """Return 0: what was said is not known from its sound."""
        return 0


OPENAI_SPEECH = OpenAISpeech()


def read_speech(raw: bytes) -> SoundRequest:
    """
    Parse and check.

    Raises:
        InvalidRequest: 400 or 413, the body cannot be handled.
        InvalidField: 422, a field is missing or of the wrong kind.
    """
    raw = raw.removeprefix(BOM)
    body = parse_body(raw)
    check_spelling(body, _CHECKS)
    said = text(body, "input")
    if said is None:
        raise InvalidField("input", "Field required", "missing")
    if not said:
        raise InvalidField("input", "Input should have at least one character", "string_too_short")
    if len(said) > MOST_CHARACTERS:
        message = f"Input should have at most {MOST_CHARACTERS:,} characters, not {len(said):,}"
        raise InvalidField("input", message, "string_too_long")
    check_fields(body, _CHECKS)
    return SoundRequest(
        raw=raw,
        task=ModelTask.SPEECH,
        model=text(body, "model"),
        input_tokens=estimate_tokens(len(said) + len(text(body, "instructions") or "")),
        sound=spoken_length(said, body.get("speed")),
        characters=len(said),
        prompt=Prompt(len(raw)),
        preferred_model=text(body, "preferred_model"),
        max_cost=cost_limit(body),
        wishes=read_wishes(body),
        parameters={name: value for name, value in parameters_of(body).items() if name != "voice"},
    )


def spoken_length(said: str, speed: float | None) -> SoundLength:
    """
    Return how long this text takes to be spoken.

    A model may ignore a higher speed, so the bound is that of the usual one or of a lower.
    """
    size = len(said.encode("utf-8", "surrogatepass"))
    usual = float(speed or 1)
    return SoundLength(size * USUAL_S / usual, max(LEAST_S, size * SLOW_S) / min(usual, 1.0))


def _voice(body: dict[str, Any], name: str) -> None:
    """Check that a voice has a name; an object names one of the operator's account at the vendor."""
    if isinstance(body[name], dict):
        message = (
            f"'{name}' is not supported as an object: it names an object of the operator's account at the "
            "vendor; send the name of a voice"
        )
        raise InvalidRequest(message, param=name, code="unsupported_parameter")
    text(body, name)


def _format(body: dict[str, Any], name: str) -> None:
    if text(body, name) not in FORMATS:
        raise InvalidField(name, f"Input should be one of: {', '.join(FORMATS)}", "enum")


def _as_sound(body: dict[str, Any], name: str) -> None:
    if text(body, name) != "audio":
        message = f"{name}: only 'audio' is supported; the sound is sent as it comes"
        raise InvalidRequest(message, param=name, code="unsupported_parameter")


def _no_events(body: dict[str, Any], name: str) -> None:
    if flag(body, name):
        message = f"{name}: events are not supported; leave it out, the sound is sent as it comes"
        raise InvalidRequest(message, param=name, code="unsupported_parameter")


_CHECKS: Mapping[str, Check] = {
    "model": text,
    "input": text,
    "voice": _voice,
    "instructions": text,
    "response_format": _format,
    "speed": between(SLOWEST, FASTEST),
    "stream_format": _as_sound,
    "stream": _no_events,
}
