"""
A model server that costs next to nothing: canned bytes, no framework, one process.

    POST .../chat/completions    one small answer, or a stream of `max_tokens` tokens at 50 a second
    POST .../embeddings          one small vector
    GET  .../models              one model

Run as `python -m tests.bench.upstream [PORT [ANSWER_AFTER_S]]`; it prints the port it listens on, and ends
with its parent's pipe.
"""

import asyncio
import os
import re
import sys
from typing import cast

import uvloop

TOKEN = b"pebble"  # what a stream is made of; a caller counts these
TOKENS_PER_S = 50
DEFAULT_TOKENS = 150

LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
MAX_TOKENS = re.compile(rb'"max(?:_completion)?_tokens": ?(\d+)')
STREAM = re.compile(rb'"stream": ?true')
INCLUDE_USAGE = re.compile(rb'"include_usage": ?true')

ANSWER = (
    b'{"id":"chatcmpl-bench","object":"chat.completion","created":1700000000,"model":"gpt-4o-mini",'
    b'"choices":[{"index":0,"message":{"role":"assistant","content":"Nine pebbles lie on the shore of a'
    b' quiet lake, and each is older than it.","refusal":null},"logprobs":null,"finish_reason":"stop"}],'
    b'"usage":{"prompt_tokens":12,"completion_tokens":21,"total_tokens":33,"prompt_tokens_details":'
    b'{"cached_tokens":0},"completion_tokens_details":{"reasoning_tokens":0}},"system_fingerprint":"fp_bench"}'
)
EMBEDDING = (
    b'{"object":"list","data":[{"object":"embedding","index":0,"embedding":['
    + b",".join([b"0.0625"] * 64)
    + b']}],"model":"text-embedding-3-small","usage":{"prompt_tokens":8,"total_tokens":8}}'
)
MODELS = b'{"object":"list","data":[{"id":"gpt-4o-mini","object":"model","created":1,"owned_by":"bench"}]}'


def reply(status: bytes, body: bytes) -> bytes:
    """A whole HTTP response."""
    head = b"HTTP/1.1 %b\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
    return head % (status, len(body)) + body


def http_chunk(data: bytes) -> bytes:
    """One piece of a chunked body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def event(choices: bytes, rest: bytes = b"") -> bytes:
    """One server-sent event of a chat stream, as a piece of a chunked body."""
    head = b'data: {"id":"chatcmpl-bench","object":"chat.completion.chunk","created":1700000000,'
    return http_chunk(head + b'"model":"gpt-4o-mini","choices":[' + choices + b"]" + rest + b"}\n\n")


def delta(content: bytes, finish_reason: bytes = b"null") -> bytes:
    """The choice inside an event."""
    return b'{"index":0,"delta":{%b},"finish_reason":%b}' % (content, finish_reason)


REPLIES = {
    b"/chat/completions": reply(b"200 OK", ANSWER),
    b"/embeddings": reply(b"200 OK", EMBEDDING),
    b"/models": reply(b"200 OK", MODELS),
}
NOT_FOUND = reply(b"404 Not Found", b'{"error":{"message":"no such path"}}')
NO_LENGTH = reply(b"411 Length Required", b'{"error":{"message":"a body needs a content-length"}}')

STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
ROLE_EVENT = event(delta(b'"role":"assistant","content":""'))
# Not the same one over and over: LiteLLM ends a stream whose model seems to be stuck.
TOKEN_EVENTS = tuple(event(delta(b'"content":" %b-%d"' % (TOKEN, n))) for n in range(10))
LAST_EVENT = event(delta(b"", b'"stop"'))
END = http_chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n"


class Upstream(asyncio.Protocol):
    """One connection: reads requests as they come, answers each at once or token by token."""

    def __init__(self, loop: asyncio.AbstractEventLoop, answer_after_s: float) -> None:
        self.loop = loop
        self.answer_after_s = answer_after_s
        self.unread = b""
        self.next_token: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def connection_lost(self, error: Exception | None) -> None:
        if self.next_token is not None:
            self.next_token.cancel()

    def data_received(self, data: bytes) -> None:
        self.unread += data
        while (end := self.unread.find(b"\r\n\r\n")) >= 0:
            head = self.unread[:end]
            length = LENGTH.search(head)
            if length is None and head.startswith(b"POST"):
                self.transport.write(NO_LENGTH)
                return self.transport.close()
            whole = end + 4 + (int(length[1]) if length else 0)
            if len(self.unread) < whole:
                return None
            body, self.unread = self.unread[end + 4 : whole], self.unread[whole:]
            self.answer(head, body)
        return None

    def answer(self, head: bytes, body: bytes) -> None:
        path = head.split(b" ", 2)[1]
        name = path[path.rfind(b"/") :] if not path.endswith(b"/chat/completions") else b"/chat/completions"
        if name == b"/chat/completions" and STREAM.search(body):
            self.start_stream(body)
        elif self.answer_after_s:
            self.loop.call_later(self.answer_after_s, self.reply, REPLIES.get(name, NOT_FOUND))
        else:
            self.transport.write(REPLIES.get(name, NOT_FOUND))

    def reply(self, answer: bytes) -> None:
        """Unless the caller has gone in the meantime."""
        if not self.transport.is_closing():
            self.transport.write(answer)

    def start_stream(self, body: bytes) -> None:
        asked = MAX_TOKENS.search(body)
        tokens = int(asked[1]) if asked else DEFAULT_TOKENS
        usage = b',"usage":{"prompt_tokens":12,"completion_tokens":%d,"total_tokens":%d}' % (
            tokens,
            tokens + 12,
        )
        tail = LAST_EVENT + (event(b"", usage) if INCLUDE_USAGE.search(body) else b"") + END
        self.transport.write(STREAM_HEAD + ROLE_EVENT)
        self.send_token(self.loop.time(), 0, tokens, tail)

    def send_token(self, started: float, sent: int, tokens: int, tail: bytes) -> None:
        """By the clock and not by pauses, so that a late token does not delay the ones after it."""
        if sent == tokens:
            self.next_token = None
            self.transport.write(tail)
            return
        self.transport.write(TOKEN_EVENTS[sent % len(TOKEN_EVENTS)])
        due = started + (sent + 1) / TOKENS_PER_S
        self.next_token = self.loop.call_at(due, self.send_token, started, sent + 1, tokens, tail)


async def serve(port: int = 0, answer_after_s: float = 0.0) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Upstream(loop, answer_after_s), "127.0.0.1", port, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    parent_gone = asyncio.Event()
    os.set_blocking(sys.stdin.fileno(), False)
    loop.add_reader(sys.stdin.fileno(), parent_gone.set)
    await parent_gone.wait()


if __name__ == "__main__":
    given = [float(number) for number in sys.argv[1:]]
    uvloop.run(serve(int(given[0]) if given else 0, *given[1:2]))
