"""The schemas of the work endpoints: vectors, summaries, entities, scores."""

from typing import Annotated, Any

from pydantic import BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from serve_app.api.routing_schemas import ApiModel, Dollars
from serve_app.config.data_policy import DataPolicy
from serve_app.services.hints import Hints
from serve_app.services.importance import LEAST, MOST
from serve_app.services.material import MOST_CHARS
from serve_app.services.summary import DEFAULT_WORDS, MOST_MESSAGES, MOST_WORDS, Level

_BOUND = f"At most {MOST_CHARS:,} characters."


def _a_number(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("Input should be a number")
    return value


# 200.0 is an integer in JSON; "200" and true are not.
Words = Annotated[int, Field(ge=1, le=MOST_WORDS), BeforeValidator(_a_number)]


class WorkRequest(ApiModel):
    """
    The fields that every request for work may have; unknown fields are ignored.

    `model` and `preferred_model` name a model that is tried first; another one may do the work. `max_cost` is
    in US dollars.
    """

    model: str | None = None
    preferred_model: str | None = None
    max_cost: Dollars | None = None
    data_policy: DataPolicy | None = None

    @property
    def hints(self) -> Hints:
        """Return the hints for the gateway; an empty name is none."""
        return Hints(
            preferred_model=self.preferred_model or self.model or None,
            max_cost=self.max_cost,
            local_only=self.data_policy is DataPolicy.LOCAL,
        )


class EmbedRequest(WorkRequest):
    """A text to embed. A configured embedding model that `model` names is never replaced by another one."""

    text: str = Field(description=f"{_BOUND} It may be empty.")

    @model_validator(mode="before")
    @classmethod
    def _is_not_openais(cls, body: Any) -> Any:
        if isinstance(body, dict) and "input" in body and "text" not in body:
            raise PydanticCustomError(
                "missing",
                "text: required here. OpenAI's embeddings are at /v1: the base URL has to end in it",
            )
        return body


class SummarizeRequest(WorkRequest):
    """Messages, or summaries of a lower level, to summarise."""

    messages: Annotated[
        list[str],
        Field(min_length=1, max_length=MOST_MESSAGES, description=f"{_BOUND[:-1]} in all of them."),
    ]
    level: str = Field(Level.DAILY, json_schema_extra={"enum": [level.value for level in Level]})
    max_words: Words = DEFAULT_WORDS


class ExtractRequest(WorkRequest):
    """A text with entities."""

    text: str = Field(description=_BOUND)


_CONVERSATIONS = ("conversation", "message", "text")


def _needs_one(schema: dict[str, Any]) -> None:
    schema["anyOf"] = [
        {"required": [name], "properties": {name: {"type": "string"}}} for name in _CONVERSATIONS
    ]


class ScoreRequest(WorkRequest):
    """A conversation to score, under one of three names; the first that is there counts."""

    model_config = ConfigDict(json_schema_extra=_needs_one)

    conversation: str | None = Field(None, description=_BOUND)
    message: str | None = None
    text: str | None = None
    context: str | None = Field(None, description="What else the model should know.")

    @property
    def given_as(self) -> str:
        """Return the name of the field with the conversation."""
        return next(name for name in _CONVERSATIONS if getattr(self, name) is not None)

    @property
    def given(self) -> str:
        """Return the conversation."""
        return str(getattr(self, self.given_as))

    @model_validator(mode="after")
    def _has_one(self) -> "ScoreRequest":
        if all(getattr(self, name) is None for name in _CONVERSATIONS):
            raise PydanticCustomError("missing", "One of conversation, message, text is required")
        return self


class WorkAnswer(ApiModel):
    """The field of every answer: the model that did the work."""

    model: str
    sekha_metadata: dict[str, Any] | None = None


class EmbedAnswer(WorkAnswer):
    """The vector of a text; `tokens_used` is estimated at four characters a token."""

    embedding: list[float]
    dimension: int
    tokens_used: int


class SummarizeAnswer(WorkAnswer):
    """A summary; `tokens_used` is estimated at four characters a token, read and written."""

    summary: str
    level: Level
    message_count: int
    tokens_used: int


class EntityLists(ApiModel):
    """The entities of a text."""

    people: list[str]
    organizations: list[str]
    technical_terms: list[str]
    concepts: list[str]


class ExtractAnswer(WorkAnswer):
    """The entities of a text; the lists are empty if the model did not answer in JSON."""

    entities: EntityLists


class ScoreAnswer(WorkAnswer):
    """A score from 1, trivial, to 10, critical; `model` is `none` if no model could answer."""

    score: float = Field(ge=LEAST, le=MOST)
    reasoning: str
