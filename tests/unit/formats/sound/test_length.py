"""The length of a sound: what is probable, and a bound that does not rest on what the caller wrote."""

import random
import struct
import tempfile
from pathlib import Path

import pytest

from serve_app.formats.sound.length import LOWEST_BITS, Container, SoundLength, container_of, sound_length
from serve_app.formats.sound.mpeg_frames import length_of
from tests.support.sounds import mp3, opus, wav

MP4 = b"\0\0\0\x18ftypM4A \0\0\0\0M4A isom"
WEBM = b"\x1a\x45\xdf\xa3"


def measured(content: bytes) -> SoundLength:
    with tempfile.TemporaryFile(buffering=0) as file:
        file.write(content)
        file.seek(0)
        return sound_length(file)


@pytest.mark.parametrize("rate", [8000, 44_100])
def test_pcm_lasts_as_its_bytes_play(rate: int) -> None:
    length = measured(wav(3, rate))

    assert length.most_s == length.likely_s == pytest.approx(3, abs=0.01)


def test_a_wav_that_says_less_than_it_holds_is_measured_by_what_it_holds() -> None:
    lying = bytearray(wav(60))
    lying[40:44] = struct.pack("<I", 1600)  # the size of the data: a tenth of a second

    assert measured(bytes(lying)).most_s == pytest.approx(60, abs=0.01)


@pytest.mark.parametrize(
    ("head", "size", "one_s"),
    [
        (b"\xff\xfb\x90\xc0", 417, 1152 / 44_100),  # MPEG 1, layer III, 128 kbit/s
        (b"\xff\xfb\x92\xc0", 418, 1152 / 44_100),  # the same, padded
        (b"\xff\xf3\x14\xc0", 24, 576 / 24_000),  # MPEG 2, layer III, 8 kbit/s
        (b"\xff\xe3\x18\xc0", 72, 576 / 8_000),  # MPEG 2.5, layer III, 8 kbit/s
        (b"\xff\xfd\xa4\xc0", 576, 1152 / 48_000),  # MPEG 1, layer II, 192 kbit/s
        (b"\xff\xff\xe4\xc0", 448, 384 / 48_000),  # MPEG 1, layer I, 448 kbit/s
    ],
)
def test_an_mp3_lasts_as_its_frames_do(head: bytes, size: int, one_s: float) -> None:
    length = measured(mp3(100, head, size))

    assert length.most_s == length.likely_s == pytest.approx(100 * one_s)


def test_what_stands_before_and_between_frames_does_not_count() -> None:
    tag = b"ID3\x04\0\0" + bytes([0, 0, 1, 0]) + mp3(1)[:128]  # a tag of 128 bytes that looks like a frame
    between = b"\xff\x00 not a frame \xff\xff"

    assert length_of(tag + mp3(2) + between + mp3(3)) == pytest.approx(5 * 1152 / 44_100)


def test_an_mp3_whose_header_says_little_is_counted() -> None:
    xing = bytearray(mp3(1))
    xing[36:48] = b"Xing\0\0\0\x01" + struct.pack(">I", 2)  # two frames, says the first one

    assert measured(bytes(xing) + mp3(1000)).most_s == pytest.approx(1001 * 1152 / 44_100)


def test_another_format_is_bounded_by_its_bytes_whatever_its_header_says() -> None:
    size = 100_000
    least_s = 8 * size / LOWEST_BITS[Container.OGG]
    modest, boasting = measured(opus(2, size)), measured(opus(5000, size))

    assert modest.likely_s == pytest.approx(2, abs=0.01)
    assert modest.most_s == pytest.approx(least_s, rel=0.01)
    assert boasting.likely_s == boasting.most_s == pytest.approx(5000, abs=0.01)


def test_without_a_header_that_can_be_read_the_length_is_that_of_usual_speech() -> None:
    length = measured(WEBM + bytes(39_996))

    assert length == SoundLength(8 * 40_000 / 32_000, 8 * 40_000 / 6_000)


def test_an_absurd_header_says_nothing() -> None:
    assert measured(opus(1e9, 6000)).likely_s == pytest.approx(8 * 6000 / 32_000, rel=0.1)


def test_a_file_of_an_unknown_kind_has_no_length() -> None:
    assert measured(b"what is this") == SoundLength(None, None)
    assert measured(b"") == SoundLength(None, None)


@pytest.mark.parametrize(
    ("begins", "kind"),
    [
        (wav(0.1), Container.WAV),
        (mp3(1), Container.MP3),
        (b"ID3\x03", Container.MP3),
        (b"fLaC", Container.FLAC),
        (opus(1), Container.OGG),
        (MP4, Container.MP4),
        (WEBM, Container.WEBM),
        (b"RIFF\0\0\0\0AVI ", None),
        (b"\xff", None),
    ],
)
def test_a_kind_is_known_by_its_first_bytes(begins: bytes, kind: Container | None) -> None:
    assert container_of(begins) is kind


@pytest.mark.parametrize("seed", range(300))
def test_whatever_a_file_holds_it_has_a_length_or_none(seed: int, tmp_path: Path) -> None:
    rng = random.Random(seed)
    begins = rng.choice(
        [wav(0.01), mp3(2), opus(1), MP4, WEBM, b"fLaC\0\0\0\x22" + bytes(34), b"ID3\x04\0\0\0\0\0\x0a"]
    )
    content = bytearray(begins + rng.randbytes(rng.choice([0, 20, 3000])))
    for _ in range(rng.randrange(8)):
        content[rng.randrange(len(content))] = rng.choice([0, 1, 127, 255, rng.randrange(256)])

    length = measured(bytes(content))

    assert (length.likely_s is None) == (length.most_s is None)
    assert length.most_s is None or length.likely_s is None or 0 < length.likely_s <= length.most_s
