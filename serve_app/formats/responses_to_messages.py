"""A caller that speaks Responses, served by an upstream that speaks Anthropic Messages."""

from serve_app.formats.chained_translation import Composed
from serve_app.formats.chat_to_messages.translation import ChatToMessages
from serve_app.formats.responses_to_chat.translation import ResponsesToChat

# What a Responses request calls the parameters of a chat.
_NAMES = {
    "messages.detail": "input.detail",
    "reasoning_effort": "reasoning.effort",
    "response_format": "text.format",
    "verbosity": "text.verbosity",
}


def responses_to_messages(body: bytes, created: int = 0) -> Composed:
    """
    Translate a request by way of chat completions.

    Args:
        body: the caller's request, which its format has checked.
        created: when it came, in seconds since 1970.

    Raises:
        InvalidRequest: 400, the request has what a message cannot carry and what must not be left out.
    """
    return Composed(ResponsesToChat(body, created), ChatToMessages, _NAMES, created)
