"""Run a page's Python from standard input, `await` at its top included, as in a notebook."""

import ast
import asyncio
import inspect
import sys

code = compile(sys.stdin.read(), "<page>", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
outcome = eval(code, {"__name__": "__main__"})
if inspect.iscoroutine(outcome):
    asyncio.run(outcome)
