"""
The small changes that a test should notice, found in a module's syntax tree.

Left out is what is no behaviour, or stands there already:

- docstrings, lines of the log, texts and `repr` that people read;
- imports, and the text and arguments of what is raised or asserted;
- annotations, type aliases, type variables, and the types that `isinstance` and `cast` are given;
- the opposite of a test that is one comparison or a `not`, which has that mutant already.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

Change: TypeAlias = tuple[ast.AST, str]  # what is replaced, and by which text
Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef

# `<` becomes `<=`, which tests of a boundary notice, and `>=`, which every other test should.
COMPARISONS: dict[type[ast.cmpop], tuple[str, ...]] = {
    ast.Lt: ("<=", ">="),
    ast.LtE: ("<", ">"),
    ast.Gt: (">=", "<="),
    ast.GtE: (">", "<"),
    ast.Eq: ("!=",),
    ast.NotEq: ("==",),
    ast.Is: ("is not",),
    ast.IsNot: ("is",),
    ast.In: ("not in",),
    ast.NotIn: ("in",),
}
ARITHMETIC: dict[type[ast.operator], str] = {
    ast.Add: "-",
    ast.Sub: "+",
    ast.Mult: "+",
    ast.Div: "*",
    ast.FloorDiv: "*",
    ast.Mod: "*",
    ast.BitOr: "&",
    ast.BitAnd: "|",
}
CALLED_INSTEAD = {"min": "max", "max": "min", "any": "all", "all": "any"}
SPEAKS_TO_PEOPLE = ("log", "logger", "warnings")
TOLD_TO_PEOPLE = frozenset({"description", "examples", "title", "message", "doc", "reason", "hint", "repr"})
OPPOSITES = (ast.Eq, ast.NotEq, ast.Is, ast.IsNot, ast.In, ast.NotIn)
GIVEN_A_TYPE = {
    "TypeVar": slice(0, 0),
    "isinstance": slice(0, 1),
    "cast": slice(1, None),
}  # and what is no type


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change; `function` is the outermost one around it, empty where the module's import runs it."""

    path: str
    line: int
    start: int
    end: int
    new: str
    function: str

    def applied_to(self, source: str) -> str:
        """The module with this change."""
        read = source.encode()
        return (read[: self.start] + self.new.encode() + read[self.end :]).decode()

    def told(self, source: str) -> str:
        """What was there, and what is there instead, on one line."""
        old = source.encode()[self.start : self.end].decode()
        return f"{_shortened(old)}  =>  {_shortened(self.new)}"


def mutants_of(path: str, source: str) -> list[Mutant]:
    """Every change of this module, in the order of its lines."""
    tree = ast.parse(source)
    starts = [0]
    for line in source.encode().splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    found = set()
    for function, (node, new) in _changes_within(tree, ""):
        assert isinstance(node, ast.expr | ast.stmt | ast.keyword)
        end_line, end_column = node.end_lineno or node.lineno, node.end_col_offset or 0
        start, end = starts[node.lineno - 1] + node.col_offset, starts[end_line - 1] + end_column
        found.add(Mutant(path, node.lineno, start, end, new, function))
    return sorted(found, key=lambda mutant: (mutant.start, mutant.end, mutant.new))


def _changes_within(node: ast.AST, function: str) -> Iterator[tuple[str, Change]]:
    for change in _changes_of(node):
        yield function, change
    for child in _looked_into(node):
        name = function
        if isinstance(child, Function | ast.ClassDef) and not isinstance(node, Function):
            name = f"{function}.{child.name}".lstrip(".")
        if isinstance(child, ast.stmt) and isinstance(node, ast.ClassDef | ast.Module):
            name = name if isinstance(child, Function | ast.ClassDef) else ""
        yield from _changes_within(child, name)


def _looked_into(node: ast.AST) -> Iterator[ast.AST]:
    """The parts that matter when the code runs, without what is written for people and type checkers."""
    if isinstance(node, ast.JoinedStr | ast.Raise | ast.Assert | ast.Import | ast.ImportFrom):
        return
    if isinstance(node, ast.AnnAssign):
        yield from [node.value] if node.value and not _is_name(node.annotation, "TypeAlias") else []
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in GIVEN_A_TYPE:
        yield from node.args[GIVEN_A_TYPE[node.func.id]]
    elif isinstance(node, Function):
        yield from (default for default in [*node.args.defaults, *node.args.kw_defaults] if default)
        yield from node.body
    elif isinstance(node, ast.ClassDef):
        yield from node.body
    elif not _is_for_people(node):
        yield from ast.iter_child_nodes(node)


def _changes_of(node: ast.AST) -> Iterator[Change]:
    match node:
        case ast.Compare(ops=[op]):
            for sign in COMPARISONS.get(type(op), ()):
                yield node, f"{_text(node.left)} {sign} {_text(node.comparators[0])}"
        case ast.BoolOp():
            sign = "or" if isinstance(node.op, ast.And) else "and"
            yield node, "(" + f" {sign} ".join(map(_text, node.values)) + ")"
        case ast.UnaryOp(op=ast.Not()):
            yield node, _text(node.operand)
        case ast.BinOp() if type(node.op) in ARITHMETIC and not (_is_text(node.left) or _is_text(node.right)):
            yield node, f"({_text(node.left)} {ARITHMETIC[type(node.op)]} {_text(node.right)})"
        case ast.Constant(value=bool(value)):
            yield node, str(not value)
        case ast.Constant(value=(int() | float()) as value):
            yield node, repr(value + 1)
        case ast.IfExp() if not _has_its_opposite(node.test):
            yield node.test, f"not {_text(node.test)}"
        case ast.stmt():
            yield from _changes_of_statement(node)
        case _:
            yield from _changes_of_parts(node)


def _changes_of_parts(node: ast.AST) -> Iterator[Change]:
    if isinstance(node, ast.comprehension):
        yield from ((test, "True") for test in node.ifs)
    elif isinstance(node, ast.Call):
        yield from _changes_of_call(node)


def _changes_of_call(call: ast.Call) -> Iterator[Change]:
    if isinstance(call.func, ast.Name) and call.func.id in CALLED_INSTEAD:
        yield call.func, CALLED_INSTEAD[call.func.id]
    if _is_name(call.func, "TypeVar"):
        return
    for left_out in call.keywords:
        if left_out.arg and left_out.arg not in TOLD_TO_PEOPLE:
            kept = [keyword for keyword in call.keywords if keyword is not left_out]
            yield call, ast.unparse(ast.Call(call.func, call.args, kept))


def _changes_of_statement(node: ast.stmt) -> Iterator[Change]:
    match node:
        case ast.If(body=[ast.Return() | ast.Raise() | ast.Continue() | ast.Break()], orelse=[]):
            yield node.test, "False"
            if not _has_its_opposite(node.test):
                yield node.test, f"not {_text(node.test)}"
        case ast.If() if not _has_its_opposite(node.test):
            yield node.test, f"not {_text(node.test)}"
        case ast.Return(value=ast.expr() as value) if not _is_flag_or_none(value):
            yield value, "None"
        case ast.Expr(value=ast.Call() | ast.Await()) if not _is_for_people(node):
            yield node, "pass"
        case ast.Assign(targets=[ast.Attribute() | ast.Subscript()]):
            yield node, "pass"
        case ast.AugAssign():
            yield node, "pass"
        case ast.Delete():
            yield node, "pass"


def _is_for_people(node: ast.AST) -> bool:
    """Whether it is a docstring, a line of the log, or a text that goes with something."""
    if isinstance(node, ast.keyword):
        return node.arg in TOLD_TO_PEOPLE
    if not isinstance(node, ast.Expr):
        return False
    value = node.value
    if isinstance(value, ast.Call) and isinstance(value.func, ast.Attribute):
        return isinstance(value.func.value, ast.Name) and value.func.value.id in SPEAKS_TO_PEOPLE
    return isinstance(value, ast.Constant)


def _has_its_opposite(test: ast.expr) -> bool:
    """Whether the opposite is a mutant of the test itself."""
    if isinstance(test, ast.Compare):
        return len(test.ops) == 1 and isinstance(test.ops[0], OPPOSITES)
    return isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not)


def _is_name(node: ast.expr, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name


def _is_flag_or_none(node: ast.expr) -> bool:
    """A constant that has a mutant of its own, or cannot be told from None by an `if`."""
    return isinstance(node, ast.Constant) and (node.value is None or isinstance(node.value, bool))


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str))


def _text(node: ast.AST) -> str:
    text = ast.unparse(node)
    return text if isinstance(node, ast.Name | ast.Constant | ast.Attribute | ast.Call) else f"({text})"


def _shortened(text: str, most: int = 90) -> str:
    line = " ".join(text.split())
    return line if len(line) <= most else line[: most - 3] + "..."
