"""Source code, read as a tree."""

import ast
from concurrent.futures import ThreadPoolExecutor


def tree_of(code: str, mode: str = "exec") -> ast.Module:
    """
    Parse the code in a thread of its own.

    CPython 3.11 counts on its recursion depth while it parses, and greenlets of tests that ran in this thread
    may have changed that: SystemError, AST constructor recursion depth mismatch.
    """
    with ThreadPoolExecutor(1) as fresh:
        tree: ast.Module = fresh.submit(ast.parse, code, mode=mode).result()
    return tree
