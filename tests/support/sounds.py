"""Files of sound, made here: silence in WAV, frames of MP3, pages of Ogg."""

import io
import struct
import wave


def wav(seconds: float, rate: int = 8000) -> bytes:
    """Return silence, 16 bits mono."""
    made = io.BytesIO()
    with wave.open(made, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(bytes(2 * round(seconds * rate)))
    return made.getvalue()


def mp3(frames: int, head: bytes = b"\xff\xfb\x90\xc0", size: int = 417) -> bytes:
    """Return so many frames, by default of MPEG 1, layer III, 128 kbit/s at 44.1 kHz: 26.1 ms each."""
    return (head + bytes(size - len(head))) * frames


def opus(seconds: float, size: int = 0) -> bytes:
    """Return an Ogg file that says this length and is filled up to `size` bytes."""
    head = _page(0, b"OpusHead\x01\x01\x38\x01\x80\xbb\x00\x00\x00\x00\x00", 2)
    tags = _page(0, b"OpusTags" + bytes(8), 0)
    last = _page(round(48_000 * seconds) + 0x138, b"\xfc\xff\xfe", 4)
    filling = _page(0, bytes(200), 0)
    return head + tags + filling * ((size - len(head) - len(tags) - len(last)) // len(filling)) + last


def _page(granule: int, packet: bytes, flags: int) -> bytes:
    return b"OggS\0" + bytes([flags]) + struct.pack("<qIIIBB", granule, 1, 0, 0, 1, len(packet)) + packet
