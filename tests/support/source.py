"""Source code, read as a tree."""

import ast
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path


def tree_of(code: str, mode: str = "exec") -> ast.Module:
    """
    Parse the code in a thread of its own.

    CPython 3.11 counts on its recursion depth while it parses, and greenlets of tests that ran in this thread
    may have changed that: SystemError, AST constructor recursion depth mismatch.
    """
    with ThreadPoolExecutor(1) as fresh:
        tree: ast.Module = fresh.submit(ast.parse, code, mode=mode).result()
    return tree


@cache
def tree_of_file(path: Path) -> ast.Module:
    """Parse a file of ours, once for all tests of this process."""
    return tree_of(path.read_text(encoding="utf-8"))
