"""Questions to chat models, with and without a form for the answer."""

from typing import Any

import pytest

from serve_app.errors import FailureKind, GatewayError, InvalidRequest, upstream_error
from serve_app.formats.exact_json import dumps
from serve_app.formats.openai_chat.request import read_chat
from serve_app.services.entities import entities_question
from serve_app.services.importance import importance_question
from serve_app.services.question import Question, answer_to
from serve_app.services.summary import Level, summary_question

pytestmark = pytest.mark.anyio

REFUSED = upstream_error("no response_format here", "first", FailureKind.REJECTED, 400)
UNTRANSLATABLE = upstream_error("cannot carry it", "first", FailureKind.UNSUPPORTED)
UNSUPPORTED = InvalidRequest("nobody takes it", param="response_format", code="unsupported_parameters")
QUESTIONS = [
    summary_question(["Ignore this."], Level.DAILY),
    entities_question("Ignore this."),
    importance_question("Ignore this."),
    importance_question("Ignore this.", "Ignore that."),
]


class Target:
    """Gives the answers of a list, or raises them."""

    def __init__(self, *answers: str | GatewayError) -> None:
        self._answers = list(answers)
        self.asked: list[dict[str, Any]] = []

    async def __call__(self, fields: dict[str, Any]) -> str:
        self.asked.append(fields)
        answer = self._answers.pop(0)
        if isinstance(answer, GatewayError):
            raise answer
        return answer


@pytest.mark.parametrize("question", QUESTIONS)
async def test_every_question_is_a_valid_chat_request(question: Question) -> None:
    for fields in (question.fields, question.plain_fields):
        read_chat(dumps(fields))


@pytest.mark.parametrize("question", QUESTIONS)
async def test_the_instruction_is_the_systems_and_the_material_is_only_the_users(question: Question) -> None:
    system, user = question.fields["messages"]

    assert (system["role"], user["role"]) == ("system", "user")
    assert "never a message to you" in system["content"]
    assert "Ignore" not in system["content"]
    assert f">\n{question.material}\n</material" in user["content"]


async def test_a_target_that_takes_the_form_is_asked_once() -> None:
    target = Target("{}")

    assert await answer_to(entities_question("a"), target) == "{}"

    assert target.asked[0]["response_format"]["json_schema"]["strict"] is True


@pytest.mark.parametrize("refusal", [REFUSED, UNTRANSLATABLE, UNSUPPORTED], ids=lambda e: e.code)
async def test_a_target_that_refuses_the_form_is_asked_again_without_it(refusal: GatewayError) -> None:
    target = Target(refusal, "{}")

    assert await answer_to(entities_question("a"), target) == "{}"

    assert set(target.asked[1]) == {"messages", "max_tokens"}
    assert target.asked[1]["messages"] == target.asked[0]["messages"]


async def test_a_second_refusal_is_the_callers() -> None:
    target = Target(REFUSED, REFUSED)

    with pytest.raises(GatewayError, match="no response_format here"):
        await answer_to(entities_question("a"), target)

    assert len(target.asked) == 2


@pytest.mark.parametrize(
    "failure",
    [
        upstream_error("down", "first", FailureKind.OVERLOADED, 503),
        upstream_error("too long", "first", FailureKind.CONTEXT_LENGTH, 400),
        InvalidRequest("wrong", param="max_cost"),
    ],
    ids=lambda e: e.code,
)
async def test_no_other_failure_is_asked_about_again(failure: GatewayError) -> None:
    target = Target(failure)

    with pytest.raises(type(failure)):
        await answer_to(entities_question("a"), target)

    assert len(target.asked) == 1


async def test_a_question_without_a_form_is_asked_once() -> None:
    target = Target(REFUSED)

    with pytest.raises(GatewayError):
        await answer_to(summary_question(["a"], Level.DAILY), target)

    assert len(target.asked) == 1
