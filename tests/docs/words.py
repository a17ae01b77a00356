"""Whether the words of a command exist: verbs and options of `sekha`, targets of make, files, extras."""

import re
import shlex
import tomllib
from collections.abc import Iterator
from typing import Any

import typer.main

from serve_app.cli.main import app
from tests.docs.pages import ROOT

SEKHA = typer.main.get_command(app)
TARGETS = frozenset(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M))
EXTRAS = frozenset(
    tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
)
_OURS = re.compile(r"(?:configs|deploy|docs|tests|serve_app|scripts)/[\w./-]+|requirements[\w-]*\.lock")


def commands_in(text: str) -> Iterator[list[str]]:
    """Return each simple command of a block as its words, without assignments before it."""
    joined = text.replace("\\\n", " ")
    for line in joined.splitlines():
        line = re.sub(r"(^|\s)#.*", "", line.removeprefix("$ "))
        for part in re.split(r"&&|\|\||[;|&]", re.sub(r"\w+=\$\(([^)]*)\)", r"\1", line)):
            try:
                words = shlex.split(part)
            except ValueError:  # a quoted text over several lines: no command begins in it
                continue
            while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
                words.pop(0)
            if words:
                yield words


def unknown_in(words: list[str]) -> list[str]:
    """Return what of a command does not exist."""
    name, *rest = words
    missing = [path for word in rest for path in _OURS.findall(word) if not (ROOT / path).exists()]
    if name == "sekha":
        missing += unknown_to_sekha(rest)
    if name == "make":
        missing += [f"make {word}" for word in rest if "=" not in word and word not in TARGETS]
    if name == "pip":
        named = [extra for word in rest for extra in re.findall(r"sekha-serve\[([\w,-]+)\]", word)]
        missing += [
            f"extra {extra}" for extras in named for extra in extras.split(",") if extra not in EXTRAS
        ]
    return missing


def unknown_to_sekha(words: list[str]) -> list[str]:
    """Return the verbs and options that `sekha` does not have; what stands for a value is left alone."""
    command: Any = SEKHA
    missing: list[str] = []
    for word in words:
        verbs = getattr(command, "commands", None)
        if word.startswith("-"):
            option = word.partition("=")[0]
            known = {name for parameter in command.params for name in parameter.opts}
            if option not in {*known, "--help", "-h"}:
                missing.append(f"{command.name} {option}")
        elif verbs is not None:
            if word not in verbs:
                return [*missing, f"{command.name} {word}"]
            command = verbs[word]
    return missing
