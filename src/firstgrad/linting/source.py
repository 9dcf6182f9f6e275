"""The user's source as a tree: the statement, the loop or the call at a line. Imports nothing heavy."""

from __future__ import annotations

import ast
import copy
import linecache
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from firstgrad.observe.events import CodeLine


@lru_cache(maxsize=64)
def _parse(file: str) -> ast.Module | None:
    try:
        return ast.parse("".join(linecache.getlines(file)))
    except (SyntaxError, ValueError, RecursionError):
        return None


def _path_to(tree: ast.AST, line: int) -> list[ast.AST]:
    path, node = [tree], tree
    while True:
        inner = [
            child
            for child in ast.iter_child_nodes(node)
            if isinstance(child, ast.stmt) and child.lineno <= line <= (child.end_lineno or child.lineno)
        ]
        if not inner:
            return path
        node = inner[-1]
        path.append(node)


def statement_at(line: CodeLine) -> ast.stmt | None:
    """Return the simple statement at a line; None where there is none, or the file can't be read."""
    tree = _parse(line.file)
    statement = None if tree is None else _path_to(tree, line.line)[-1]
    is_simple = isinstance(statement, ast.stmt) and not hasattr(statement, "body")
    return statement if is_simple else None  # type: ignore[return-value]  # one, by the line above


def find_loop(line: CodeLine) -> tuple[ast.stmt, ast.AST] | None:
    """Find the outermost loop around a line, within its function and within the innermost ``with`` around it."""
    tree = _parse(line.file)
    if tree is None:
        return None
    path = _path_to(tree, line.line)
    begin = max(
        (
            place
            for place, node in enumerate(path)
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.With))
        ),
        default=-1,
    )
    inner = path[begin + 1 :]
    loop = next((node for node in inner if isinstance(node, ast.For)), None)
    if loop is not None and loop.iter.lineno != line.line:
        return loop, loop
    statement = next((node for node in reversed(inner) if isinstance(node, ast.stmt)), None)
    if statement is None or isinstance(statement, ast.For):
        return None
    comprehension = next(
        (one for one in ast.walk(statement) if isinstance(one, (ast.ListComp, ast.GeneratorExp))), None
    )
    return None if comprehension is None else (statement, comprehension)


def find_call(
    line: CodeLine, functions: Sequence[str]
) -> tuple[ast.Call, str, dict[str, ast.FunctionDef | ast.Lambda]] | None:
    """Find the call of one of some functions in the statement at a line.

    Returns
    -------
    tuple of (ast.Call, str, dict)
        The call, the name that its result is given ('' for none), and the functions that its file defines by name.
    """
    tree, statement = _parse(line.file), statement_at(line)
    if tree is None or statement is None:
        return None
    call = next(
        (one for one in ast.walk(statement) if isinstance(one, ast.Call) and called_name(one) in functions), None
    )
    if call is None:
        return None
    target = ""
    if isinstance(statement, ast.Assign):
        first = statement.targets[0]
        first = first.elts[0] if isinstance(first, ast.Tuple) and first.elts else first
        target = ast.unparse(first)
    defined: dict[str, ast.FunctionDef | ast.Lambda] = {}
    for one in ast.walk(tree):
        if isinstance(one, ast.FunctionDef):
            defined[one.name] = one
        elif isinstance(one, ast.Assign) and isinstance(one.value, ast.Lambda) and isinstance(one.targets[0], ast.Name):
            defined[one.targets[0].id] = one.value
    return call, target, defined


def called_name(node: ast.AST) -> str:
    """Return the name of what is called, without what it is of; '' where nothing is."""
    func = node.func if isinstance(node, ast.Call) else None
    return func.id if isinstance(func, ast.Name) else func.attr if isinstance(func, ast.Attribute) else ""


def names_in(node: ast.AST) -> set[str]:
    """Return the names that an expression uses."""
    return {one.id for one in ast.walk(node) if isinstance(one, ast.Name)}


def name_parts(name: ast.expr | None) -> list[str | ast.expr] | None:
    """Read a name that is put together: an f-string, a sum of texts, ``"x_%d" % i``, ``"x_{}".format(i)``."""
    match name:
        case ast.JoinedStr(values=values):
            return [
                one.value if isinstance(one, ast.FormattedValue) else str(getattr(one, "value", "")) for one in values
            ]
        case ast.BinOp(left=ast.Constant(value=str() as text), op=ast.Add(), right=right):
            return [text, right]
        case ast.BinOp(left=ast.Constant(value=str() as text), op=ast.Mod(), right=right):
            return [text.partition("%")[0], right]
        case ast.Call(func=ast.Attribute(value=ast.Constant(value=str() as text), attr="format"), args=args):
            return [text.partition("{")[0], *args]
    return None


def copied[T: ast.AST](node: T) -> T:
    """Return a copy that may be changed."""
    return copy.deepcopy(node)


def replace_names(expression: ast.expr, values: Mapping[str, ast.expr]) -> ast.expr:
    """Put expressions in the place of names."""

    class ReplaceNames(ast.NodeTransformer):
        def visit_Name(self, node: ast.Name) -> ast.expr:
            return values.get(node.id, node)

    return ReplaceNames().visit(copied(expression))  # type: ignore[no-any-return]  # an expression stays one
