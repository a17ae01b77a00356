"""Finding images, and refusing what nobody could look at."""

import base64
from typing import Any

import pytest

from serve_app.errors import InvalidRequest
from serve_app.formats.openai_chat.images import check_images, count_images, images_in_text, link_schemes

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


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("HTTPS://a.example/1.png", "is neither an http(s) link nor a data: URI"),
        ("https://a.example/a.txt?x=.png", "is not an image"),
        ("http://a.example/a.PDF", "is not an image"),
        ("ftp://" + "a" * 200, "'ftp://" + "a" * 94 + "' is neither"),
        (
            "data:text/png;base64,AAAA",
            "a data: URI must be a base64 image in one of: jpg, jpeg, png, gif, webp",
        ),
        ("data:image/svg;base64,AAAA", "must be a base64 image"),
        ("data:image/png;base64,A", "does not decode"),
    ],
)
def test_a_refusal_says_what_is_wrong_with_the_image(url: str, told: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        check_images(shown("https://a.example/good.png", url))

    assert told in refused.value.message
    assert refused.value.param == "messages"


@pytest.mark.parametrize(
    "url",
    [f"data:image/{kind};base64,AAAA" for kind in ("jpg", "jpeg", "PNG", "gif", "webp")]
    + ["https://a.example/a.pdf.png", "https://a.example/?file=a.pdf", PIXEL],
)
def test_what_may_be_an_image_passes(url: str) -> None:
    assert check_images(shown(url)) == 1


@pytest.mark.parametrize("image", [None, 5, {}, {"url": 5}, {"url": ""}, "", []], ids=str)
def test_a_part_without_its_address_is_refused(image: Any) -> None:
    with pytest.raises(InvalidRequest, match=r"needs image_url\.url"):
        check_images([{"role": "user", "content": [{"type": "image_url", "image_url": image}]}])


def test_an_image_may_be_written_as_its_bare_address() -> None:
    bare = [{"role": "user", "content": [{"type": "image_url", "image_url": "https://a.example/1"}]}]

    assert check_images(bare) == 1
    assert link_schemes(bare) == {"https"}


def test_the_schemes_of_links_are_told_and_data_is_no_link() -> None:
    both = shown("https://a.example/1", "http://a.example/2", PIXEL)

    assert link_schemes(both) == {"https", "http"}
    assert link_schemes(shown(PIXEL)) == frozenset()
    assert link_schemes([{"content": [{"type": "image_url"}]}, {"content": None}, "hi"]) == frozenset()


def test_the_limit_of_an_image_is_twenty_megabytes_and_what_it_has_is_told() -> None:
    twenty = "data:image/png;base64," + "A" * 26_666_664

    assert check_images(shown(twenty)) == 1
    with pytest.raises(InvalidRequest, match=r"an image of 20\.0 MB is over the limit of 20 MB"):
        check_images(shown(twenty + "AAAA"))


@pytest.mark.parametrize("ending", ["jpg", "jpeg", "png", "gif", "bmp", "webp", "svg", "JPG"])
def test_each_ending_of_a_picture_is_one_and_what_stands_around_it_is_not_looked_at(ending: str) -> None:
    for before, after in (("(", ")"), ("<", ">"), ("'", "'"), ("[", "]"), ("", "!"), ("", ";"), ("", ".,")):
        assert images_in_text(said(f"{before}https://a.example/x.{ending}{after}")) == 1


@pytest.mark.parametrize("content", [None, 5, [], [{"type": "text", "text": "https://a/1.png"}]], ids=str)
def test_only_a_content_that_is_plain_text_is_looked_through(content: Any) -> None:
    assert images_in_text([{"role": "user", "content": content}, "https://a/1.png"]) == 0
