"""README and docs name files and sections that exist, and can be read in a terminal."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("**/*.md")))
WIDTH = 100

_FENCED = re.compile(r"^```.*?^```$", re.M | re.S)
_LINK = re.compile(r"\]\((?!https?://)([^)\s]*)\)")
_PATH = re.compile(r"(?<!`)`((?:[\w-]+/)+(?:[\w-]+\.(?:py|md|yaml))?)(?:::\w+)?`(?!`)")
# Files and folders of a machine that runs the gateway, or of another project.
ELSEWHERE = re.compile(r"^(run|tmp|etc|your|my|acme)\b")


def prose(page: Path) -> str:
    return _FENCED.sub("", page.read_text(encoding="utf-8"))


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken_links(page: Path) -> Iterator[str]:
    for link in _LINK.findall(prose(page)):
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            yield link


def missing_paths(page: Path) -> Iterator[str]:
    for path in _PATH.findall(prose(page)):
        if not ELSEWHERE.match(path) and not any(
            (folder / path).exists() for folder in (ROOT, ROOT / "serve_app")
        ):
            yield path


def ids(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    assert list(broken_links(page)) == []


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_every_file_that_a_page_names_exists(page: Path) -> None:
    assert list(missing_paths(page)) == []


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_a_page_opens_with_what_it_is_for(page: Path) -> None:
    title, blank, first = page.read_text(encoding="utf-8").split("\n")[:3]

    assert title.startswith("# ")
    assert blank == ""
    assert first[:1].isalpha() or first.startswith("**"), "a sentence comes before lists and sections"


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_the_lines_of_a_page_fit_a_terminal(page: Path) -> None:
    lines = [line for line in prose(page).split("\n") if not line.startswith(("|", "!["))]

    assert [line for line in lines if len(line) > WIDTH and " " in line.strip()] == []


def test_the_glossary_is_in_order_and_has_every_term_once() -> None:
    rows = re.findall(r"^\| \*\*([^*]+)\*\*", (ROOT / "docs" / "glossary.md").read_text("utf-8"), re.M)

    assert len(rows) > 30
    assert rows == sorted(set(rows), key=str.casefold)


def test_every_page_can_be_reached_from_the_readme() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    names = {page.name for page in PAGES if page.parent == ROOT / "docs"}

    assert {name for name in names if f"(docs/{name}" not in readme} == set()
