"""
The most tokens that a vendor may count in a request, bounded without a tokenizer.

A token of text covers at least one byte, in every tokenizer that works on bytes (tiktoken's, SentencePiece
with byte fallback): a request has no more text tokens than its JSON has bytes, in any script and any field.
Pictures and sound are counted by the figures below instead of by their bytes. No prompt is longer than the
model's context window, because vendors refuse it.

The bound is for reservations. Routing estimates four bytes per token, which fits most English text.
"""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

FRAME = 64  # tokens that a vendor's chat template adds around the messages
TOOL_FRAME = 1024  # tokens that a vendor adds to explain tools; Anthropic states 264 to 804
# Tokens of one picture at low and at any other detail: above what OpenAI (1,445, patches 3,779), Anthropic
# (1,600, on the newest models 4,784) and Gemini (258 a tile) state.
PICTURE = (3_000, 6_000)
PICTURE_GPT_4O_MINI = (2_833, 48_169)  # 2,833 and 5,667 for each of up to eight tiles, as OpenAI states
PER_SOUND_BYTE = 16  # bytes per token: 32 tokens a second, as Gemini counts, of sound at 4 kbit/s
PER_WAVE_BYTE = 125  # likewise of uncompressed sound, at 32 kbit/s
UNSEEN_WINDOW = 200_000  # tokens of a file that only the vendor can read, if the window is unknown
PER_SEARCH = 20_000  # tokens of results that one search of the vendor's adds to the prompt

_UNCOMPRESSED = frozenset({"wav", "pcm", "pcm16"})
_OTHER_PICTURES = frozenset(
    {"image", "input_image"}
)  # their bytes, if the request contains them, count as well
_FILES = frozenset({
    "file", "input_file", "document", "document_url", "video", "video_url", "audio_url", "container_upload",
})  # fmt: skip
_INLINE = ("file_data", "data", "url")
_TEXT = "data:text/"


class Prompt(NamedTuple):
    """
    The sizes that bound the tokens of one request.

    Attributes:
        size: bytes of the request without its pictures and its sound.
        low_pictures: pictures at low detail.
        pictures: all other pictures.
        sound: tokens of sound.
        unseen: files that the request contains as an address, an id, or bytes that are not text.
    """

    size: int
    low_pictures: int = 0
    pictures: int = 0
    sound: int = 0
    unseen: int = 0


class Tokens(NamedTuple):
    """The most tokens of each kind that a vendor may count."""

    text: int
    pictures: int = 0
    sound: int = 0


def prompt_of(size: int, messages: Iterable[Mapping[str, Any]], has_tools: bool = False) -> Prompt:
    """Return the bounds of a chat request of `size` bytes; `messages` are validated already."""
    low = pictures = sound = unseen = 0
    for message in messages:
        content = message.get("content")
        if not isinstance(content, list):
            continue
        waiting = list(content)
        while waiting:
            part = waiting.pop()
            kind = part.get("type")
            waiting += parts_within(part)
            if kind == "text" or not isinstance(kind, str):
                continue
            if kind == "image_url":
                size -= _picture_bytes(part)
                is_low = _detail(part) == "low"
                low, pictures = low + is_low, pictures + (not is_low)
            elif kind in _OTHER_PICTURES:
                pictures += 1
            elif kind == "input_audio":
                used, tokens = _sound(part)
                size, sound = size - used, sound + tokens
            elif kind in _FILES and not _is_text(part):
                unseen += 1
    return Prompt(max(0, size) + FRAME + has_tools * TOOL_FRAME, low, pictures, sound, unseen)


def parts_within(part: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the parts that a part holds itself: the result of a tool, a document made of pieces."""
    if part.get("type") == "text":  # as most of them are
        return []
    found: list[Mapping[str, Any]] = []
    for holder in (part, part.get("source")):
        content = holder.get("content") if isinstance(holder, dict) else None
        if isinstance(content, dict):  # one part, as in the result of a fetch
            found.append(content)
        elif isinstance(content, list):
            found += [inner for inner in content if isinstance(inner, dict)]
    return found


def most_tokens(prompt: Prompt, model_id: str, window: int | None) -> Tokens:
    """Return the most tokens that this model may count; `window` is its context window, None if unknown."""
    low, full = PICTURE_GPT_4O_MINI if "gpt-4o-mini" in model_id else PICTURE
    text = prompt.size + prompt.unseen * (window or UNSEEN_WINDOW)
    tokens = Tokens(text, prompt.low_pictures * low + prompt.pictures * full, prompt.sound)
    if window is None or sum(tokens) <= window:
        return tokens
    # The kinds differ in price, so each keeps as much as it could have on its own.
    return Tokens(*(min(count, window) for count in tokens))


def _picture_bytes(part: Mapping[str, Any]) -> int:
    image = part.get("image_url")
    url = image.get("url") if isinstance(image, Mapping) else image
    return len(url) if isinstance(url, str) and url.startswith("data:") else 0


def _detail(part: Mapping[str, Any]) -> object:
    image = part.get("image_url")
    return image.get("detail") if isinstance(image, Mapping) else None


def _sound(part: Mapping[str, Any]) -> tuple[int, int]:
    """Return the bytes of the part that are sound, and the most tokens in it."""
    sound = part.get("input_audio")
    data = sound.get("data") if isinstance(sound, Mapping) else None
    if not isinstance(sound, Mapping) or not isinstance(data, str):
        return 0, 0
    length = 3 * len(data) // 4  # base64
    form = sound.get("format")
    is_wave = isinstance(form, str) and form in _UNCOMPRESSED
    per_token = PER_WAVE_BYTE if is_wave else PER_SOUND_BYTE
    return len(data), -(-length // per_token)


def _is_text(part: Mapping[str, Any]) -> bool:
    """
    Return whether the request contains the file itself as text, so that its bytes are counted.

    A PDF does not count as text: a page costs as much as a picture, and may take only a few bytes.
    """
    file = part.get(str(part.get("type")))
    for place in (file, part.get("source"), part):
        if isinstance(place, str):
            return place.startswith(_TEXT)
        if isinstance(place, Mapping):
            if place.get("type") in ("text", "content"):
                return True
            inline = (place.get(name) for name in _INLINE)
            if any(isinstance(value, str) and value.startswith(_TEXT) for value in inline):
                return True
    return False
