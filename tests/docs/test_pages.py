"""Every command of README and docs does what a new user is told, in bash and in dash; the rest exists."""

import ast
import importlib
from pathlib import Path

import pytest

from tests.docs.pages import PAGES, Block, blocks_of, holds_a_command, spans_of
from tests.docs.run_page import FAST, REAL, run_page
from tests.docs.words import commands_in, unknown_in

SHELLS = ("bash", "dash")


def runnable(page: Path) -> list[Block]:
    return [b for b in blocks_of(page) if b.language in ("bash", "python") and b.why_not is None]


WITH_COMMANDS = [page for page in PAGES if runnable(page)]
READMES = next(page for page in PAGES if page.name == "README.md")


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("page", WITH_COMMANDS, ids=lambda page: page.name)
def test_every_command_of_a_page_works_for_a_new_user(page: Path, shell: str, tmp_path: Path) -> None:
    ended = run_page(runnable(page), shell, FAST, tmp_path)

    assert ended.returncode == 0, f"{ended.stdout[-3000:]}\n{ended.stderr[-3000:]}"


def test_the_readme_works_with_the_real_command(tmp_path: Path) -> None:
    ended = run_page(runnable(READMES), "bash", REAL, tmp_path)

    assert ended.returncode == 0, f"{ended.stdout[-3000:]}\n{ended.stderr[-3000:]}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_block_of_commands_hides_from_being_run(page: Path) -> None:
    hidden = [
        str(block)
        for block in blocks_of(page)
        if holds_a_command(block) or block.language in ("sh", "console")
    ]

    assert hidden == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_verbs_options_targets_and_files_of_a_page_exist(page: Path) -> None:
    texts = [block.text for block in blocks_of(page) if block.language == "bash"] + spans_of(page)

    missing = [name for text in texts for words in commands_in(text) for name in unknown_in(words)]

    assert missing == []


NOT_RUN = [b for page in PAGES for b in blocks_of(page) if b.language == "python" and b.why_not is not None]


@pytest.mark.parametrize("block", NOT_RUN, ids=str)
def test_what_a_snippet_imports_exists(block: Block) -> None:
    tree = compile(block.text, str(block), "exec", ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)

    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            module = importlib.import_module(node.module)
            assert all(hasattr(module, name.name) for name in node.names)
        elif isinstance(node, ast.Import):
            for name in node.names:
                importlib.import_module(name.name)


@pytest.mark.parametrize(
    ("line", "missing"),
    [
        ("sekha keys mak", ["keys mak"]),
        ("sekha keys create --tenent a", ["create --tenent"]),
        ("A=1 sekha serve --config configs/none.yaml", ["configs/none.yaml"]),
        ("KEY=$(sekha keyz create)", ["sekha keyz"]),
        ("make bensch PEERS=1", ["make bensch"]),
        ("pip install 'sekha-serve[gpus]'", ["extra gpus"]),
        ("sekha tenants set a --rpm 5 --budget 5/day; make bench && sekha --version", []),
    ],
)
def test_words_that_do_not_exist_are_found(line: str, missing: list[str]) -> None:
    assert [name for words in commands_in(line) for name in unknown_in(words)] == missing
