"""docs/troubleshooting.md has every message with which a start or a command can end."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import serve_app
from tests.support.source import tree_of_file

ROOT = Path(serve_app.__file__).parent
PAGE = ROOT.parent / "docs" / "troubleshooting.md"
MODULES = (
    ROOT / "app.py",
    *sorted((ROOT / "cli").glob("*.py")),
    *sorted((ROOT / "config").glob("*.py")),
    ROOT / "deployments" / "transports.py",
    *sorted((ROOT / "deployments" / "haproxy").glob("*.py")),
    ROOT / "pricing" / "stored_list.py",
    ROOT / "pricing" / "target_prices.py",
    ROOT / "providers" / "factory.py",
    ROOT / "providers" / "keys.py",
    *sorted((ROOT / "providers" / "litellm").glob("*.py")),
    ROOT / "storage" / "database.py",
)
ERRORS = {
    "ConfigError",
    "WholeMistake",
    "ValueError",
    "PydanticCustomError",
    "UnknownTemplate",
    "Mistake",
    "fail",
}
SHORTEST = 12  # characters; a shorter fragment is no name of a message

# Messages that are left out, by the start of their text.
NOT_ON_THE_PAGE = {
    "the configuration has": "the heading of a list; shown with its placeholder",
    "; every caller needs one": "a note on how many keys are stored, see docs/keys.md",
    "Stopping: requests in flight": "the answer to Ctrl-C",
    "Stopped before it was ready": "the answer to Ctrl-C",
    "a huge number": "how a message shows a value",
}


class Message(NamedTuple):
    """A text in the code: its pieces between placeholders."""

    place: str
    pieces: tuple[str, ...]

    @property
    def text(self) -> str:
        return "…".join(self.pieces)

    @property
    def fragment(self) -> str:
        """The piece by which the message is searched for."""
        return max(self.pieces, key=len).strip(" :;,'")


def pieces_of(node: ast.expr) -> Iterator[str]:
    """Yield the literal parts of a text, in which a placeholder separates two parts."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.JoinedStr):
        yield from (v.value for v in node.values if isinstance(v, ast.Constant) and isinstance(v.value, str))


def texts_in(tree: ast.AST) -> Iterator[ast.expr]:
    """Yield what a module raises, refuses, yields or returns as a sentence."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in ERRORS:
            yield from node.args
        elif isinstance(node, ast.Yield | ast.Return) and node.value is not None:
            yield node.value


def as_shown(piece: str) -> str:
    """Return a piece as a person reads it: on one line, and with the word for pydantic's own."""
    return re.sub(r"^(Input|String|Value) should ", "must ", " ".join(piece.split()))


def messages() -> Iterator[Message]:
    for file in MODULES:
        for node in texts_in(tree_of_file(file)):
            pieces = tuple(as_shown(piece) for piece in pieces_of(node))
            if pieces and len(max(pieces, key=len)) >= SHORTEST and " " in max(pieces, key=len):
                yield Message(f"{file.relative_to(ROOT.parent)}:{node.lineno}", pieces)


MESSAGES = sorted(set(messages()))
SHOWN = [m for m in MESSAGES if not any(m.text.startswith(start) for start in NOT_ON_THE_PAGE)]


def test_every_message_of_the_code_is_on_the_page() -> None:
    page = " ".join(PAGE.read_text(encoding="utf-8").split())

    missing = [f"{message.place}: {message.text}" for message in SHOWN if message.fragment not in page]

    assert missing == [], "docs/troubleshooting.md needs these messages, and their cures"


@pytest.mark.parametrize("start", NOT_ON_THE_PAGE)
def test_what_is_left_out_exists(start: str) -> None:
    assert any(message.text.startswith(start) for message in MESSAGES)


def test_messages_are_found_in_every_kind_of_place() -> None:
    files = {message.place.rpartition(":")[0] for message in MESSAGES}

    assert len(MESSAGES) > 80
    assert {"serve_app/cli/serve.py", "serve_app/config/settings.py"} <= files
    assert "serve_app/deployments/transports.py" in files
