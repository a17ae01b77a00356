"""
The commands of README and docs, read off the pages.

A fenced block of `bash` or `python` is run. A comment in the line above its fence says why one is not, and
its words are checked instead:

    <!-- not run: needs a GPU -->
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))

_BLOCK = re.compile(
    r"^(?:<!-- not run: (?P<why>[^\n]+) -->\n)?```(?P<language>\w*)\n(?P<text>.*?)^```$", re.M | re.S
)
_SPAN = re.compile(r"(?<!`)`(sekha [^`\n]+)`(?!`)")
_COMMAND = re.compile(
    r"^(?:\$ )?(?:[A-Z_]+=\S+ )*(?:sekha|serve|make|curl|pip|ray|export|kubectl|docker)\b", re.M
)


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block; `why_not` says why it is not run, None: it is."""

    page: str
    line: int
    language: str
    text: str
    why_not: str | None

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks_of(path: Path) -> Iterator[Block]:
    """Return every fenced block of a page, in order."""
    text = path.read_text(encoding="utf-8")
    for found in _BLOCK.finditer(text):
        line = text.count("\n", 0, found.start("text"))
        yield Block(path.name, line, found["language"], found["text"], found["why"])


def spans_of(path: Path) -> list[str]:
    """Return the commands of ours that stand within a line of prose or a table."""
    return _SPAN.findall(_BLOCK.sub("", path.read_text(encoding="utf-8")))


def holds_a_command(block: Block) -> bool:
    """Return whether a block without a language looks like one for a shell."""
    return block.language == "" and _COMMAND.search(block.text) is not None
