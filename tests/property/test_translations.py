"""A conversation that goes through the other format, and back, says the same."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from serve_app.formats.chat_to_messages.translation import ChatToMessages
from serve_app.formats.exact_json import dumps, loads
from serve_app.formats.messages_to_chat.translation import MessagesToChat

WORDS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=8).filter(str.strip)
NAMES = st.text("abcXYZ019_-", min_size=1, max_size=10)
ARGUMENTS = st.dictionaries(
    NAMES, st.integers(-(2**80), 2**80) | WORDS | st.lists(st.booleans(), max_size=2), max_size=2
)
SOURCES = st.sampled_from([
    {"type": "base64", "media_type": "image/png", "data": "AAAA"},
    {"type": "url", "url": "https://x.org/a.png"},
])  # fmt: skip
TEXTS = st.fixed_dictionaries({"type": st.just("text"), "text": WORDS})
IMAGES = st.fixed_dictionaries({"type": st.just("image"), "source": SOURCES})
SIGNED = st.fixed_dictionaries({"type": st.just("thinking"), "thinking": WORDS, "signature": WORDS})


@st.composite
def conversations(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Draw the turns of a Messages request: users and assistants in turn, every call answered."""
    turns: list[dict[str, Any]] = []
    calls: list[str] = []
    number = 0
    for _ in range(draw(st.integers(1, 4))):
        results = [{"type": "tool_result", "tool_use_id": call, "content": [draw(TEXTS)]} for call in calls]
        said = draw(st.lists(TEXTS | IMAGES, min_size=0 if results else 1, max_size=3))
        turns.append({"role": "user", "content": [*results, *said]})
        if draw(st.booleans()):
            turns.append({"role": "system", "content": [draw(TEXTS)]})
        count = draw(st.integers(0, 2))
        calls = [f"toolu_{number + place}" for place in range(count)]
        number += count
        uses = [
            {"type": "tool_use", "id": call, "name": draw(NAMES), "input": draw(ARGUMENTS)} for call in calls
        ]
        text = draw(st.lists(TEXTS, min_size=0 if uses else 1, max_size=1))
        turns.append({"role": "assistant", "content": [*draw(st.lists(SIGNED, max_size=1)), *text, *uses]})
    return turns if not calls else turns[:-1]


@given(conversations(), st.lists(TEXTS, max_size=1))
def test_a_conversation_in_messages_comes_back_from_a_chat_as_it_was(
    turns: list[dict[str, Any]], system: list[dict[str, Any]]
) -> None:
    body = {"model": "m", "max_tokens": 9, "messages": turns, **({"system": system} if system else {})}
    there = MessagesToChat(dumps(body))
    back = ChatToMessages(there.body)

    assert (there.dropped, back.dropped) == ((), ())
    assert loads(back.body) == body


@given(conversations(), st.lists(TEXTS, max_size=1))
def test_a_conversation_in_a_chat_comes_back_from_messages_as_it_was(
    turns: list[dict[str, Any]], system: list[dict[str, Any]]
) -> None:
    body = {"model": "m", "max_tokens": 9, "messages": turns, "system": system}
    chat = MessagesToChat(dumps(body)).body

    assert loads(MessagesToChat(ChatToMessages(chat).body).body) == loads(chat)
