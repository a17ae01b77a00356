"""
The length of an MP3, counted frame by frame.

A header may say any length; a decoder plays the frames that are there. The tables are those of ISO 11172-3
and ISO 13818-3, as http://www.mp3-tech.org/programmer/frame_header.html has them.
"""

from mmap import mmap

# Bits a second in thousands, by the header's index: of MPEG 1, layers I to III; of MPEG 2 and 2.5.
_ONE = (
    (0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
)
_TWO_OF_LAYER_I = (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256)
_TWO = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
_RATES = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}

_ID3 = 10  # bytes of the header of a tag


def length_of(data: bytes | mmap) -> float | None:
    """
    Return how many seconds of sound the frames hold; None if there are none.

    What is between frames is skipped, as decoders do.

    Args:
        data: the whole file; a memory map will do.
    """
    at, end = _after_tag(data), len(data) - 3
    seconds = 0.0
    while 0 <= at < end:
        frame = _frame(data[at + 1], data[at + 2]) if data[at] == 0xFF else None
        if frame is None:
            at = data.find(b"\xff", at + 1)
        else:
            at += frame[0]
            seconds += frame[1]
    return seconds or None


def _after_tag(data: bytes | mmap) -> int:
    """Return where the sound begins, behind an ID3 tag with its pictures."""
    if bytes(data[:3]) != b"ID3" or len(data) < _ID3:
        return 0
    size = 0
    for part in bytes(data[6:_ID3]):
        size = size << 7 | part & 0x7F
    return _ID3 + size


def _frame(second: int, third: int) -> tuple[int, float] | None:
    """Return the bytes and the seconds of a frame, by two bytes of its header; None: it is none."""
    version, layer = second >> 3 & 3, 3 - (second >> 1 & 3)  # layer 0 to 2 for I to III
    index, rate_index = third >> 4, third >> 2 & 3
    if second < 0xE0 or version == 1 or layer == 3 or rate_index == 3 or index in (0, 15):
        return None
    if version == 3:
        bits = _ONE[layer][index] * 1000
    else:
        bits = (_TWO_OF_LAYER_I if layer == 0 else _TWO)[index] * 1000
    rate = _RATES[version][rate_index]
    padding = third >> 1 & 1
    if layer == 0:
        return (12 * bits // rate + padding) * 4, 384 / rate
    samples = 1152 if layer == 1 or version == 3 else 576
    return samples // 8 * bits // rate + padding, samples / rate
