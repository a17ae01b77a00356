"""The format of an endpoint with a task of its own: one JSON object in, one out, and OpenAI's errors."""

from collections.abc import Callable, Mapping

from serve_app.errors import GatewayError
from serve_app.formats.openai_error import openai_error
from serve_app.formats.sse import spliced
from serve_app.formats.task_request import TaskRequest
from serve_app.providers.catalogue.wire_format import WireFormat


class TaskFormat:
    """
    A format for whole answers that pass as they are.

    Args:
        name: the name under which upstreams say that they speak it.
        read: parses and checks a body.
    """

    def __init__(self, name: WireFormat, read: Callable[[bytes], TaskRequest]) -> None:
        self.name = name
        self._read = read

    def parse(self, body: bytes) -> TaskRequest:
        return self._read(body)

    def response(self, body: bytes, members: Mapping[str, object]) -> bytes:
        for name, value in members.items():
            body = spliced(body, name, value)
        return body

    def error(self, error: GatewayError) -> bytes:
        return openai_error(error)
