"""What others were broken by, kept out of this code and of what it is installed with (docs/security.md)."""

import ast
import re
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest

import serve_app
from tests.support.source import tree_of, tree_of_file

ROOT = Path(serve_app.__file__).parent
PROJECT = Path(__file__).parents[2]
FILES = sorted(ROOT.rglob("*.py"))
DOCUMENT = PROJECT / "docs" / "security.md"

# Modules that start processes, or make code or objects of what they are given.
FORBIDDEN = frozenset({
    "subprocess", "multiprocessing", "pty", "pickle", "cloudpickle", "dill", "shelve", "marshal", "code",
    "codeop", "runpy", "ctypes", "jinja2", "mako", "mcp",
})  # fmt: skip
FORBIDDEN_CALLS = re.compile(
    r"(^|\.)(eval|exec|compile|__import__|system|popen|create_subprocess_\w+|subprocess_\w+|fork\w*|exec[lv]\w*"
    r"|spawn\w*|unsafe_load|full_load|Template|from_string)$"
)
ALLOWED_CALLS = frozenset({"re.compile"})
# Before anything is served: the gateway's own process, and HAProxy, which Serve starts through our launcher.
OUR_OWN_PROCESSES = {"cli/serve.py": {"os.fork"}, "deployments/haproxy/launcher.py": {"os.execv"}}
WRITTEN_SQL = frozenset(
    {"text", "execute", "exec_driver_sql", "executescript", "executemany", "literal_column"}
)

# The two that a clean installation has: our own editable one, a path, and setuptools' old one.
KNOWN_PTH = {
    "_editable_impl_sekha_serve.pth": r"/[^\n;]*",
    "distutils-precedence.pth": r"import os; var = 'SETUPTOOLS_USE_DISTUTILS'; enabled = os\.environ\.get"
    r"\(var, 'local'\) == 'local'; enabled and __import__\('_distutils_hack'\)(\.add_shim\(\))?;?",
}

LEAST = {"starlette": (1, 0, 1), "litellm": (1, 83, 14)}  # CVE-2026-48710; the chain of CVE-2026-47101


def calls_in(file: Path) -> Iterator[tuple[str, ast.Call]]:
    """Every call with what is called, as it is written."""
    for node in ast.walk(tree_of_file(file)):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


def is_written_out(node: ast.expr) -> bool:
    """Whether a text stands in the code as it is, and nothing is put into it."""
    if isinstance(node, ast.IfExp):
        return is_written_out(node.body) and is_written_out(node.orelse)
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def is_a_text_made_here(node: ast.expr) -> bool:
    """Whether a text is put together: an f-string, `+`, `%`, `.format`, `.join`."""
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Attribute) and node.func.attr in ("format", "join", "replace")
    return isinstance(node, ast.JoinedStr | ast.BinOp)


def locked(lock: str) -> dict[str, str]:
    """Every line of a lock file that names a package, with the hashes that follow it."""
    packages = re.split(r"\n(?=\S)", (PROJECT / lock).read_text(encoding="utf-8").strip())
    return {package.split("==")[0].strip(): package for package in packages}


def powers_of(file: Path) -> Iterator[str]:
    """Every import and call by which a file could start a process, or make code of a text."""
    tree = tree_of_file(file)
    imported = {
        name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names
    } | {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    called = {name for name, _ in calls_in(file)} - ALLOWED_CALLS
    called -= OUR_OWN_PROCESSES.get(file.relative_to(ROOT).as_posix(), frozenset())

    yield from (module for module in imported if module.split(".")[0] in FORBIDDEN)
    yield from (name for name in called if FORBIDDEN_CALLS.search(name))


def test_nothing_here_starts_a_process_or_makes_code_of_a_text() -> None:
    assert len(FILES) > 100
    assert [f"{file.relative_to(ROOT)}: {power}" for file in FILES for power in powers_of(file)] == []


def test_code_is_imported_by_name_in_one_place_only() -> None:
    by_name = re.compile(r"import_module|EntryPoint|entry_points")
    users = {file.relative_to(ROOT).as_posix() for file in FILES if by_name.search(file.read_text("utf-8"))}

    assert users == {"config/plugins.py"}  # what is built in, or installed and named in the configuration


def sql_made_in(file: Path) -> Iterator[str]:
    """Every call that gives a database a text which does not stand in the code as it is."""
    for name, call in calls_in(file):
        word = name.rpartition(".")[2]
        if word not in WRITTEN_SQL or not call.args:
            continue
        first = call.args[0]
        as_it_is = word in ("exec_driver_sql", "executescript", "literal_column")
        if is_a_text_made_here(first) or (as_it_is and not is_written_out(first)):
            yield ast.unparse(call)
    if "from sqlalchemy" in file.read_text("utf-8"):
        yield from (ast.unparse(call) for name, call in calls_in(file) if name in ("text", "sqlalchemy.text"))


def test_no_sql_is_put_together_from_texts() -> None:
    assert [f"{file.relative_to(ROOT)}: {call}" for file in FILES for call in sql_made_in(file)] == []


@pytest.mark.parametrize(
    ("code", "is_found"),
    [
        ('connection.execute(f"SELECT {x}")', True),
        ('cursor.execute("SELECT " + x)', True),
        ('cursor.execute("SELECT %s" % x)', True),
        ('cursor.execute("SELECT {}".format(x))', True),
        ("connection.execute(select(ENTRIES))", False),
        ('cursor.execute("PRAGMA journal_mode=WAL")', False),
    ],
)
def test_a_text_that_is_put_together_is_known_from_one_that_is_not(code: str, is_found: bool) -> None:
    call = tree_of(code, "eval").body

    assert isinstance(call, ast.Call)
    assert is_a_text_made_here(call.args[0]) is is_found


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-dev.lock"])
def test_every_package_that_is_installed_is_pinned_with_its_hashes(lock: str) -> None:
    packages = locked(lock)

    assert len(packages) > 50
    for name, lines in packages.items():
        assert re.fullmatch(r"[a-z0-9][a-z0-9._-]*", name), f"{name}: not a name alone, but a place"
        assert re.match(rf"{re.escape(name)}==[^\s;]+", lines), f"{name} is not pinned"
        assert "--hash=sha256:" in lines, f"{name} has no hash"
        assert "://" not in lines


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-dev.lock"])
@pytest.mark.parametrize("name", LEAST)
def test_what_was_broken_in_an_older_version_is_newer(lock: str, name: str) -> None:
    pinned = re.match(rf"{name}==([0-9.]+)", locked(lock)[name])

    assert pinned
    assert tuple(int(number) for number in pinned[1].split(".")) >= LEAST[name]


def test_a_lock_takes_nothing_that_is_younger_than_a_week() -> None:
    makefile = (PROJECT / "Makefile").read_text("utf-8")

    assert "--generate-hashes" in makefile
    assert "--exclude-newer \"$$(date -u -d '7 days ago' +%F)\"" in makefile
    assert "--require-hashes" in makefile


def test_nothing_unexpected_runs_when_python_starts() -> None:
    """The poisoned LiteLLM of March 2026 was a `.pth` file: a line in it that begins with `import` is run."""
    folders = {Path(sysconfig.get_path(name)) for name in ("purelib", "platlib")}
    found = {file for folder in folders for file in folder.glob("*.pth")}

    for file in found:
        assert file.name in KNOWN_PTH, f"{file.name} is not known: what does it do?"
        assert re.fullmatch(KNOWN_PTH[file.name], file.read_text("utf-8").strip()), file.name
    for folder in folders:
        assert not list(folder.glob("*customize.py"))  # Python runs those two as well


WITHOUT_LITELLM = """
import asyncio, importlib, pkgutil, random, sys

class Without:
    def __init__(self, finder):
        self.finder = finder

    def find_spec(self, name, path=None, target=None):
        return None if name == "litellm" else self.finder.find_spec(name, path, target)

sys.meta_path[:] = [Without(finder) for finder in sys.meta_path]

import serve_app
others = ("serve_app.providers.litellm.", "serve_app.storage.migrations", "serve_app.deployments.local_model")
for module in pkgutil.walk_packages(serve_app.__path__, "serve_app."):
    if not module.name.startswith(others):
        importlib.import_module(module.name)
import serve_app.providers.litellm.provider  # LiteLLM itself only when one is built

from serve_app.app import graph
from serve_app.clock import SystemClock
from serve_app.config.load import load_settings
from serve_app.errors import ConfigError
from serve_app.deployments.embedded import local_gateway
from serve_app.providers.factory import build_provider
from serve_app.formats.openai_chat.request import read_chat
from serve_app.gateway.request import GatewayRequest, Operation

settings = load_settings({"llm_providers": [
    {"id": "a", "type": "scripted", "models": [{"model_id": "m", "task": "chat_smart"}]},
    {"id": "b", "type": "openai", "api_key": "k", "models": [{"model_id": "gpt-4o", "task": "chat_small"}]},
    {"id": "c", "type": "gemini", "api_key": "k", "models": [{"model_id": "n", "task": "chat_large"}]},
], "default_models": {}}, {})
graph(settings)

async def asked():
    clock = SystemClock()
    built = {p.id: build_provider(p, {}, clock) for p in settings.llm_providers[:2]}
    running = await local_gateway(settings, built, clock, random.Random(7))
    body = b'{"model": "m", "messages": [{"role": "user", "content": "hi"}]}'
    answer = await running.running.gateway.answer(GatewayRequest("r", Operation.CHAT, read_chat(body)))
    assert b"chat.completion" in answer.body
    await running.stop()
    try:
        build_provider(settings.llm_providers[2], {}, clock)
    except ConfigError as error:
        assert "needs LiteLLM, which is not installed" in str(error)
    else:
        raise AssertionError("a provider without its translator was built")

asyncio.run(asked())
assert "litellm" not in sys.modules
"""


@pytest.mark.process
def test_without_litellm_everything_works_that_does_not_need_it() -> None:
    subprocess.run([sys.executable, "-W", "ignore", "-c", WITHOUT_LITELLM], check=True, cwd=PROJECT)


@pytest.mark.process
def test_the_router_does_not_import_litellm_where_it_is_installed() -> None:
    script = "import sys, serve_app.deployments.router, serve_app.deployments.control, serve_app.cli.main\n"
    script += "assert 'litellm' not in sys.modules"

    subprocess.run([sys.executable, "-W", "ignore", "-c", script], check=True, cwd=PROJECT)


def test_every_test_that_the_document_names_is_there() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", DOCUMENT.read_text("utf-8"))

    assert len(named) > 30
    for file, test in named:
        tree = tree_of((PROJECT / file).read_text("utf-8"))
        functions = {n.name for n in tree.body if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)}
        assert test in functions, f"{file} has no {test}"


def test_every_row_of_the_document_names_a_test_or_says_that_there_is_none() -> None:
    rows = [line for line in DOCUMENT.read_text("utf-8").splitlines() if re.match(r"\| \d+ \|", line)]

    assert len(rows) >= 14
    for row in rows:
        assert "`tests/" in row or "Not yet" in row, row
