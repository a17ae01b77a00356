"""
Resumed streams: where one target breaks off, the next one continues.

Only plain text of a single choice can be continued: half a tool call gives another model no prefix to repeat.
"""

from serve_app.formats.base import ChatFormat, Chunk


class Differs(Exception):
    """The new answer does not begin with the text that the caller already has."""


class SentText:
    """
    The text that a caller has received so far.

    Fields:
        format: the format of the stream.
        text: the whole text.
        id: the answer's id; None until it is known.
        is_empty: whether nothing was sent yet.
    """

    def __init__(self, format: ChatFormat) -> None:  # noqa: A002 (the field's name)
        self.format = format
        self.text = ""
        self.id: str | None = None
        self.is_empty = True
        self._is_plain = True
        self._text_may_follow = True

    @property
    def can_continue(self) -> bool:
        """Return whether more text can follow: only plain text was sent, and it has not ended."""
        return self._is_plain and self._text_may_follow

    def listen(self, block: bytes) -> None:
        """Record a block of frames on its way to the caller."""
        for chunk in self.format.chunks(block):
            self.id = self.id or chunk.answer_id
            self.is_empty = False
            self._is_plain = self._is_plain and chunk.is_plain
            if chunk.text_may_follow is not None:
                self._text_may_follow = chunk.text_may_follow
            self.text += chunk.text


class Continuation:
    """The frames of a new answer without the text that was already sent, under the first answer's id."""

    def __init__(self, sent: SentText) -> None:
        self._format = sent.format
        self._known = sent.text
        self._id = sent.id
        self._is_whole = sent.is_empty
        self._seen = 0

    @property
    def has_caught_up(self) -> bool:
        """Return whether the new answer is as long as the text that was sent."""
        return self._seen >= len(self._known)

    def feed(self, block: bytes) -> bytes:
        """Return the new part of this block. Raises Differs if the text is another one."""
        if self._is_whole:  # the caller has nothing yet
            return block
        return b"".join(map(self._frame, self._format.chunks(block)))

    def _frame(self, chunk: Chunk) -> bytes:
        if not chunk.is_plain:
            raise Differs
        text = self._rest(chunk.text)
        is_over = chunk.is_end or (chunk.is_needed and chunk.text_may_follow is False)
        if is_over and not self.has_caught_up:
            raise Differs
        return self._format.rewritten(chunk, text, self._id) if text or chunk.is_needed else b""

    def _rest(self, text: str) -> str:
        """Return the part of the text beyond what was sent."""
        known = self._known[self._seen : self._seen + len(text)]
        if not text.startswith(known):
            raise Differs
        self._seen += len(text)
        return text[len(known) :]
