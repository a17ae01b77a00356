"""Which links in a chat are fetched by whoever runs the model, in all the ways that they are written."""

from typing import Any

import pytest

from serve_app.formats.links import links_in
from serve_app.formats.openai_embeddings import read_embedding

URL = "https://a.example/1"


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image_url", "image_url": {"url": URL}},
        {"type": "image_url", "image_url": URL},
        {"type": "input_image", "image_url": URL},
        {"type": "video_url", "video_url": {"url": URL}},
        {"type": "audio_url", "audio_url": {"url": URL}},
        {"type": "document_url", "document_url": URL},
        {"type": "video", "video": [URL, "data:image/png;base64,AAAA"]},
        {"type": "image", "image": URL},
        {"type": "file", "file": {"file_data": URL}},
        {"type": "file", "file": {"file_id": URL}},
        {"type": "input_file", "file_url": URL},
        {"type": "image", "source": {"type": "url", "url": URL}},
        {"type": "tool_result", "content": [{"type": "image", "source": {"type": "url", "url": URL}}]},
        {"type": "text", "text": "x", "image_url": {"url": URL}},
        {"type": "image_url", "Image_URL": {"URL": URL}},
    ],
    ids=str,
)
def test_a_link_is_found(part: dict[str, Any]) -> None:
    assert links_in(["text", None, [{"type": "text", "text": "hi"}, part]]) == {"https://a.example"}


@pytest.mark.parametrize(
    "part",
    [
        {"type": "text", "text": URL},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
        {"type": "image_url", "image_url": {"url": "DATA:image/png;base64,AAAA"}},
        {"type": "image_url", "image_url": {"url": ""}},
        {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
        {"type": "file", "file": {"file_id": "file-1"}},
        {"type": "file", "file": {"file_data": "AAAA"}},
        {"type": "document", "source": {"type": "text", "data": URL}},
        {"type": "search_result", "source": URL, "content": []},
        {"type": "tool_use", "name": "f", "input": {"image_url": URL}},
        {"type": "text", "text": "x", "annotations": [{"url_citation": {"url": URL}}]},
        {"type": "text", "text": "x", "citations": [{"image_url": URL}]},
    ],
    ids=str,
)
def test_what_is_no_link_or_only_read_is_none(part: dict[str, Any]) -> None:
    assert links_in([[part]]) == frozenset()


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("file:///etc/passwd", "file:…"),
        (" https://a.example", "https:…"),
        ("https://a.example\\@10.0.0.1", "https:…"),
        ("//a.example/1", ":…"),
        ("/etc/passwd", ":…"),
    ],
)
def test_a_link_that_is_no_plain_web_address_is_one_that_no_list_has(url: str, shown: str) -> None:
    assert links_in([[{"type": "video_url", "video_url": {"url": url}}]]) == {shown}


def test_messages_that_are_to_be_embedded_may_have_links() -> None:
    body = b'{"input": "x", "messages": [{"content": [{"type": "image_url", "image_url": {"url": "https://a.b"}}]}]}'

    assert read_embedding(body).links == {"https://a.b"}
    assert read_embedding(b'{"input": "x", "messages": 5}').links == frozenset()
