"""In which format an upstream is asked."""

from collections.abc import Collection, Iterable, Mapping

from serve_app.formats.chat_to_messages.translation import ChatToMessages
from serve_app.formats.completions_to_chat.translation import CompletionsToChat, completions_to_messages
from serve_app.formats.messages_to_chat.translation import MessagesToChat
from serve_app.formats.responses_to_chat.translation import ResponsesToChat
from serve_app.formats.responses_to_messages import responses_to_messages
from serve_app.formats.translation import Translate
from serve_app.providers.catalogue.wire_format import WireFormat

# What each format can be translated into, the best first: one entry for each `<client>_to_<upstream>`.
TRANSLATIONS: Mapping[WireFormat, Mapping[WireFormat, Translate]] = {
    WireFormat.ANTHROPIC_MESSAGES: {WireFormat.OPENAI_CHAT: MessagesToChat},
    WireFormat.OPENAI_CHAT: {WireFormat.ANTHROPIC_MESSAGES: ChatToMessages},
    WireFormat.OPENAI_COMPLETIONS: {
        WireFormat.OPENAI_CHAT: CompletionsToChat,
        WireFormat.ANTHROPIC_MESSAGES: completions_to_messages,
    },
    WireFormat.OPENAI_RESPONSES: {
        WireFormat.OPENAI_CHAT: ResponsesToChat,
        WireFormat.ANTHROPIC_MESSAGES: responses_to_messages,
    },
}


def upstream_format(
    callers: WireFormat,
    spoken: Collection[WireFormat],
    translations: Mapping[WireFormat, Iterable[WireFormat]] = TRANSLATIONS,
) -> WireFormat | None:
    """
    Return the format for one attempt; None where the upstream cannot be asked for this caller.

    The caller's own format comes first, because then its bytes pass unchanged.

    Args:
        callers: the format of the request.
        spoken: the formats that the target's upstream speaks.
        translations: what each format can be translated into, the best first.
    """
    if callers in spoken:
        return callers
    return next((other for other in translations.get(callers, ()) if other in spoken), None)
