"""
How long the sound of a file probably is, and at most, before it goes to a vendor who charges by its length.

A file's header is written by the caller and may say less than a decoder will play. So the bound never rests
on it alone (docs/decisions/0025):

    PCM in WAV      the bytes of the file by its bytes a second: what is there is what is played
    MP3             its frames, counted
    the others      the bytes of the file at the format's lowest bit rate, or the header if that says more
    unknown         None
"""

import wave
from collections.abc import Callable
from enum import StrEnum
from mmap import ACCESS_READ, mmap
from struct import error as struct_error
from typing import BinaryIO, NamedTuple

from tinytag import TinyTag, TinyTagException

from serve_app.formats.sound.mpeg_frames import length_of

LONGEST_S = 10_000_000.0  # four months; a header that says more says nothing
USUAL_BITS = 32_000  # a second of recorded speech, where neither header nor vendor tell the length


class SoundLength(NamedTuple):
    """
    The length of a sound in seconds.

    Fields:
        likely_s: as the header says, or as usual speech of this many bytes; None where nothing is known.
        most_s: what it cannot exceed; None where nothing is known.
    """

    likely_s: float | None = None
    most_s: float | None = None


UNKNOWN = SoundLength()


class Container(StrEnum):
    """The kind of a file, by its first bytes."""

    WAV = "wav"
    MP3 = "mp3"
    FLAC = "flac"
    OGG = "ogg"
    MP4 = "mp4"
    WEBM = "webm"


# Bits a second, the lowest that speech is recorded at: G.723.1 in WAV, AMR in MP4, Opus (RFC 6716, 2.1.1) in
# Ogg and WebM, MPEG 2 layer III; FLAC of 8 kHz at a third of its size.
LOWEST_BITS = {
    Container.WAV: 4_000,
    Container.MP3: 8_000,
    Container.FLAC: 40_000,
    Container.OGG: 6_000,
    Container.MP4: 4_000,
    Container.WEBM: 6_000,
}


def container_of(head: bytes) -> Container | None:
    """Return what kind of file begins like this; None: none that is known."""
    if head.startswith(b"RIFF") and head[8:12] == b"WAVE":
        return Container.WAV
    if head.startswith(b"fLaC"):
        return Container.FLAC
    if head.startswith(b"OggS"):
        return Container.OGG
    if head[4:8] == b"ftyp":
        return Container.MP4
    if head.startswith(b"\x1a\x45\xdf\xa3"):
        return Container.WEBM
    if head.startswith(b"ID3") or (len(head) > 1 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0):
        return Container.MP3
    return None


def sound_length(file: BinaryIO) -> SoundLength:
    """
    Return the length of the sound in a file. The file is read; nothing of it is decoded.

    Args:
        file: a file on disk, at its beginning.
    """
    container = container_of(file.read(16))
    size = file.seek(0, 2)
    file.seek(0)
    if container is None:
        return UNKNOWN
    exact = {Container.WAV: _of_wave, Container.MP3: _of_frames}.get(container)
    if exact is not None and (length_s := _within(exact, file, size)) is not None:
        return SoundLength(length_s, length_s)
    least_s = 8 * size / LOWEST_BITS[container]
    said_s = _within(_as_told, file, size)
    if said_s is None:
        return SoundLength(min(least_s, 8 * size / USUAL_BITS), least_s)
    return SoundLength(said_s, max(said_s, least_s))


def _within(read: Callable[[BinaryIO, int], float | None], file: BinaryIO, size: int) -> float | None:
    file.seek(0)
    length_s = read(file, size)
    return length_s if length_s is not None and 0 < length_s <= LONGEST_S else None


def _of_wave(file: BinaryIO, size: int) -> float | None:
    """Return the length by the bytes that are there; what the header says of their number is not read."""
    try:
        with wave.open(file, "rb") as sound:
            return size / (sound.getframerate() * sound.getnchannels() * sound.getsampwidth())
    except (wave.Error, EOFError, RuntimeError, ZeroDivisionError, struct_error):
        return None  # compressed, or damaged


def _of_frames(file: BinaryIO, size: int) -> float | None:
    with mmap(file.fileno(), 0, access=ACCESS_READ) as data:
        return length_of(data)


def _as_told(file: BinaryIO, size: int) -> float | None:
    """Return what the header says; None if it says nothing that can be read."""
    try:
        return TinyTag.get(file_obj=file, tags=False).duration
    except TinyTagException:
        return None
