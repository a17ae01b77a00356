"""Finding images, and refusing what nobody could look at (contract 1.6, 3.7)."""

import base64
from typing import Any

import pytest

from serve_app.errors import InvalidRequest
from serve_app.schemas.images import check_images, count_images

PIXEL = "data:image/png;base64," + base64.b64encode(b"\x89PNG").decode()


def shown(*urls: str) -> list[dict[str, Any]]:
    parts = [{"type": "image_url", "image_url": {"url": url}} for url in urls]
    return [{"role": "user", "content": [{"type": "text", "text": "look"}, *parts]}]


def said(text: str) -> list[dict[str, Any]]:
    return [{"role": "user", "content": text}]


@pytest.mark.parametrize(
    ("text", "images"),
    [
        ("see https://a.example/cat.jpg", 1),
        ("see http://a.example/cat.PNG", 1),
        ("see https://a.example/cat.webp?size=2", 1),
        ("see https://a.example/cat.gif#top", 1),
        (
            "https://a/1.jpg https://a/2.jpeg https://a/3.png https://a/4.gif https://a/5.bmp https://a/6.svg",
            6,
        ),
        ("what is in http://x.org/a.png", 1),
        ("Look at https://a.example/cat.png, then at https://a.example/dog.jpg.", 2),
        ("https://a.example/1.png,https://a.example/2.png", 2),
        ("https://a.example/page?picture=cat.png", 0),
        ("an image of a cat", 0),
        ("https://a.example/cat.png.html", 0),
        ("https://a.example/index.html", 0),
        (f"inline {PIXEL} and again {PIXEL}", 2),
        ("", 0),
    ],
)
def test_images_written_into_text_are_counted(text: str, images: int) -> None:
    assert count_images(said(text)) == images


def test_parts_links_and_data_uris_add_up_over_all_messages() -> None:
    messages = [
        *shown("https://a.example/1.png", PIXEL),
        *said(f"https://a.example/2.png https://a.example/3.jpg {PIXEL} {PIXEL}"),
        {"role": "assistant"},
    ]

    assert count_images(messages) == 6


@pytest.mark.parametrize(
    "piece", ["http://", "http://a", "data:image/", "https://a.png/", "data:image/png;base64,"]
)
def test_counting_takes_one_pass_over_a_text_made_to_be_slow(piece: str) -> None:
    text = piece * (500_000 // len(piece))  # a second pass for each link would take hours

    assert count_images(said(text)) >= 0


def test_links_and_data_uris_pass_and_are_counted() -> None:
    assert check_images(shown("https://a.example/1.png", "http://a.example/any", PIXEL)) == 3


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "ftp://a.example/cat.png",
        "cat.png",
        "https://a.example/paper.pdf",
        "data:application/pdf;base64,AAAA",
        "data:image/tiff;base64,AAAA",
        "data:image/png;base64,!!!!",
        "data:image/png,plain",
        "",
    ],
)
def test_what_nobody_could_look_at_is_refused_with_a_400(url: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        check_images(shown(url))

    assert refused.value.status == 400
    assert refused.value.code == "invalid_image"


def test_an_image_over_the_limit_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="over the limit"):
        check_images(shown("data:image/png;base64," + "A" * 4_000_004), max_image_mb=3)
    check_images(shown("data:image/png;base64," + "A" * 4_000_000), max_image_mb=3)
