"""Messages as a client writes them, and what becomes of them in OpenAI's."""

import pytest
from pydantic import ValidationError

from serve_app.clients.bridge import ChatMessage, MessageRole

LINK = "https://example.org/cat.png"
DATA = "data:image/png;base64,iVBORw0KGgo="
BARE = "iVBORw0KGgo="


def parts(message: ChatMessage) -> list[dict[str, object]]:
    content = message.as_openai()["content"]
    assert isinstance(content, list)
    return content


def test_a_role_may_be_a_plain_string() -> None:
    message = ChatMessage(role="user", content="Hello!")

    assert message.role is MessageRole.USER
    assert message.as_openai() == {"role": "user", "content": "Hello!"}


def test_an_unknown_role_is_refused() -> None:
    with pytest.raises(ValidationError):
        ChatMessage(role="ghost", content="boo")


@pytest.mark.parametrize(
    ("image", "url"),
    [(LINK, LINK), ("http://x/a", "http://x/a"), (DATA, DATA), (BARE, f"data:image/jpeg;base64,{BARE}")],
    ids=["https", "http", "data", "base64"],
)
@pytest.mark.contract(77)
def test_an_image_becomes_a_part_after_the_text(image: str, url: str) -> None:
    message = ChatMessage(role="user", content="What is this?", images=[image])

    assert parts(message) == [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": url}},
    ]


@pytest.mark.contract(77)
def test_three_images_make_four_parts() -> None:
    message = ChatMessage(role="user", content="Compare", images=[LINK, DATA, BARE])

    assert [part["type"] for part in parts(message)] == ["text", "image_url", "image_url", "image_url"]


@pytest.mark.parametrize("images", [None, []], ids=["none", "empty"])
@pytest.mark.contract(77)
def test_without_images_the_content_stays_a_string(images: list[str] | None) -> None:
    assert ChatMessage(role="user", content="plain", images=images).as_openai()["content"] == "plain"


def test_a_content_in_parts_keeps_them_and_their_detail() -> None:
    shown = {"type": "image_url", "image_url": {"url": LINK, "detail": "low"}}

    message = ChatMessage(role="user", content=[shown], images=[DATA])

    assert parts(message) == [shown, {"type": "image_url", "image_url": {"url": DATA}}]


def test_a_tool_answers_under_the_id_it_was_called_by() -> None:
    asked = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}

    turns = [
        ChatMessage(role="assistant", content=None, tool_calls=[asked]).as_openai(),
        ChatMessage(role="tool", content="rain", tool_call_id="call_1").as_openai(),
        ChatMessage(role="function", content="rain", name="weather").as_openai(),
    ]

    assert turns == [
        {"role": "assistant", "content": None, "tool_calls": [asked]},
        {"role": "tool", "content": "rain", "tool_call_id": "call_1"},
        {"role": "function", "content": "rain", "name": "weather"},
    ]
