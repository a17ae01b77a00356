"""A question to a chat model: an instruction, the material, and the form of the answer."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple, TypeVar

from serve_app.errors import FailureKind, GatewayError, UpstreamError
from serve_app.services.material import RULE, quoted

Fields = dict[str, Any]
T = TypeVar("T")

_REFUSES_A_FORM = frozenset({FailureKind.REJECTED, FailureKind.UNSUPPORTED})


class Form(NamedTuple):
    """The JSON that an answer should be: a name for it, and its schema."""

    name: str
    schema: Mapping[str, Any]


class Question(NamedTuple):
    """
    One question to a chat model.

    Fields:
        instruction: what the model is to do; becomes the system text.
        material: the callers' text, which is quoted.
        task: what to do now, after the material.
        temperature: how freely to write.
        max_tokens: the most tokens of the answer.
        form: the JSON to answer with; None: plain text.
    """

    instruction: str
    material: str
    task: str
    temperature: float
    max_tokens: int
    form: Form | None = None

    @property
    def fields(self) -> Fields:
        """Return the body of a chat request, in OpenAI's format."""
        fields = {**self.plain_fields, "temperature": self.temperature}
        if self.form is not None:
            schema = {"name": self.form.name, "strict": True, "schema": dict(self.form.schema)}
            fields["response_format"] = {"type": "json_schema", "json_schema": schema}
        return fields

    @property
    def plain_fields(self) -> Fields:
        """Return the same body with nothing that a server may not know."""
        return {
            "messages": [
                {"role": "system", "content": f"{self.instruction}\n\n{RULE}"},
                {"role": "user", "content": f"{quoted(self.material)}\n\n{self.task}"},
            ],
            "max_tokens": self.max_tokens,
        }


async def answer_to(question: Question, ask: Callable[[Fields], Awaitable[T]]) -> T:
    """
    Return what `ask` returns for the question.

    A target that refuses the request is asked once more without the form: not every server takes a schema.
    The prompt alone also describes it.
    """
    try:
        return await ask(question.fields)
    except GatewayError as error:
        if question.form is None or not _may_refuse_the_form(error):
            raise
    return await ask(question.plain_fields)


def _may_refuse_the_form(error: GatewayError) -> bool:
    if isinstance(error, UpstreamError):
        return error.failure in _REFUSES_A_FORM
    return error.code == "unsupported_parameters"  # the gateway's own refusal, with require_parameters
