"""A loop of the user's written as arrays: on the user's own names, from the source lines alone.

What comes out is a draft to be read by a person. Where a loop does more than can be followed here, its lines alone are
written, one array each, and a comment says what to look at.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from firstgrad.linting.source import called_name, copied, find_loop, name_parts, names_in

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from firstgrad.observe.events import CodeLine

_WITHOUT_SHAPE = frozenset({"Deterministic", "Potential", "Data", "ConstantData", "MutableData", "Model"})
_STACKS = frozenset({"stack", "as_tensor_variable", "as_tensor", "concatenate", "array", "asarray"})
_DOTS = frozenset({"dot", "matmul"})
_REDUCTIONS = frozenset({"sum", "prod", "mean", "max", "min"})
_LOST = (
    "# each turn's values lie along the first axis; where shapes don't fit, add axes with [:, None]\n"
    "# make lists and dicts of arrays one array before: np.stack, or np.concatenate where lengths differ"
)
_CHECK_DOT = "# look at the products: each turn's matrix or vector has a leading axis now"


class _UnclearError(Exception):
    """The loop does something that isn't followed here."""


@dataclass(frozen=True, slots=True)
class _Turns:
    """A loop: its variables, and what it goes through."""

    names: tuple[str, ...]
    size: ast.expr  # how many turns
    begin: str  # where it begins, as an index; '' for the first
    values: dict[str, ast.expr]  # what its variables are as arrays, as far as that is followed

    def text(self, name: str) -> str:
        """Write one of its variables as an array."""
        if name not in self.values:
            raise _UnclearError
        return ast.unparse(self.values[name])


def _read_turns(target: ast.expr, over: ast.expr) -> _Turns:
    targets = target.elts if isinstance(target, ast.Tuple) else [target]
    names = tuple(one.id for one in targets if isinstance(one, ast.Name))
    if len(names) < len(targets):
        raise _UnclearError
    kind, args = called_name(over), over.args if isinstance(over, ast.Call) else []
    size: ast.expr = ast.Call(func=ast.Name(id="len"), args=[over], keywords=[])
    begin, arrays = "", [_call("np.asarray", over)]
    match kind, args:
        case "range", [end]:
            size = end
        case "range", [first, end]:
            size = ast.BinOp(left=end, op=ast.Sub(), right=first)
        case (("enumerate" | "zip" | "list" | "sorted"), [first, *_]):
            size = ast.Call(func=ast.Name(id="len"), args=[first], keywords=[])
    match kind:
        case "range":
            begin = f"[{ast.unparse(args[0])}:]" if len(args) > 1 else ""
            arrays = [_call("np.arange", *args)]
        case "enumerate" if len(names) == 2:  # noqa: PLR2004 - a number and a thing
            arrays = [_call("np.arange", size), _call("np.asarray", args[0])]
        case "zip" if len(names) == len(args):
            arrays = [_call("np.asarray", one) for one in args]
    is_known = len(arrays) == len(names) or kind == "range"
    return _Turns(names, size, begin, dict(zip(names, arrays, strict=False)) if is_known else {})


@dataclass(slots=True)
class _Writer:
    """Writes the statements of nested loops as arrays: one leading axis a loop."""

    trailing: int = 0  # dimensions that each turn's values have
    loops: list[_Turns] = field(default_factory=list)  # those around the present statement, outermost first
    deepest: int = 0
    depth_of: dict[str, int] = field(default_factory=dict)  # of what is assigned within the loops
    used: dict[str, tuple[_Turns, int]] = field(default_factory=dict)  # loop variables that are needed as arrays
    has_dot: bool = False
    is_reduced: bool = False  # whether each turn's values have an axis along which they are summed

    def write(self, loop: ast.For) -> list[str]:
        """Write a loop and those within it."""
        lines = self._loop(loop)
        return [*self.prelude(), *lines]

    def prelude(self) -> list[str]:
        """Write the loop variables that are needed as arrays."""
        written = []
        for name, (turns, place) in self.used.items():
            after = ", ".join(["None"] * (self.deepest - place - 1 + self.trailing))
            written.append(f"{name} = {turns.text(name)}{f'[:, {after}]' if after else ''}")
        return written

    def enter(self, *loops: _Turns) -> None:
        """Go into loops."""
        self.loops += loops
        self.deepest = max(self.deepest, len(self.loops))

    def place(self, name: str) -> int | None:
        """Say of which loop a name is a variable."""
        return next((place for place, turns in enumerate(self.loops) if name in turns.names), None)

    def is_of_loop(self, node: ast.AST) -> bool:
        """Whether an expression is another one in each turn."""
        return any(self.place(name) is not None or name in self.depth_of for name in names_in(node))

    def _loop(self, loop: ast.For) -> list[str]:
        if loop.orelse:
            raise _UnclearError
        self.enter(_read_turns(loop.target, loop.iter))
        lines = self._body(loop.body)
        self.loops.pop()
        return lines

    def _body(self, statements: Sequence[ast.stmt]) -> list[str]:
        return [line for statement in statements for line in self._statement(statement)]

    def _statement(self, statement: ast.stmt) -> list[str]:  # noqa: PLR0911 - a return a kind of statement
        match statement:
            case ast.For():
                return self._loop(statement)
            case ast.If(test=test, body=body, orelse=orelse) if not self.is_of_loop(test):
                lines = [f"if {ast.unparse(test)}:", *(f"    {line}" for line in self._body(body) or ["pass"])]
                return [*lines, *(["else:", *(f"    {line}" for line in self._body(orelse))] if orelse else [])]
            case ast.Assign(
                targets=[ast.Name(id=name)],
                value=ast.Call(func=ast.Attribute(attr="set_subtensor"), args=[ast.Subscript(), value]),
            ):
                return [f"{name} = {self._text(value)}"]
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                return [self._assign(name, value)]
            case ast.AugAssign(target=ast.Name(id=name), op=ast.Add(), value=value):
                return [self._sum(name, value)]
            case ast.Expr(value=ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr="append"), args=[value])):
                return [f"{name} = {self._text(value)}"]
            case ast.Expr(value=ast.Call() as value):
                return [self._text(value)]
            case ast.Pass():
                return []
        raise _UnclearError

    def _assign(self, name: str, value: ast.expr) -> str:
        added = _added_to(name, value)
        if added is not None and name not in self.depth_of:
            return self._sum(name, added)
        if name in names_in(value):
            raise _UnclearError
        text = f"{name} = {self._text(value)}"
        self.depth_of[name] = len(self.loops)
        return text

    def _sum(self, name: str, value: ast.expr) -> str:
        places: list[ast.expr] = [ast.Constant(value=place) for place in range(len(self.loops))]
        axis = places[0] if len(places) == 1 else ast.Tuple(elts=places)
        return f"{name} = {name} + {ast.unparse(_summed(_Arrays(self).visit(copied(value)), axis))}"

    def _text(self, value: ast.expr) -> str:
        return ast.unparse(ast.fix_missing_locations(_Arrays(self).visit(copied(value))))


class _Arrays(ast.NodeTransformer):
    """Writes an expression of one turn as one of all turns."""

    def __init__(self, writer: _Writer) -> None:
        self._writer = writer

    def visit_Name(self, node: ast.Name) -> ast.expr:
        writer = self._writer
        place = writer.place(node.id)
        if place is not None:
            writer.used[node.id] = writer.loops[place], place
            return node
        depth = writer.depth_of.get(node.id)
        if depth is not None and depth > len(writer.loops):
            raise _UnclearError
        return node if depth is None else self._spread(node, tuple(range(depth)))

    def visit_Subscript(self, node: ast.Subscript) -> ast.expr:
        index = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        places = [self._writer.place(one.id) if isinstance(one, ast.Name) else None for one in index]
        if all(place is not None for place in places) and isinstance(node.value, (ast.Name, ast.Attribute)):
            known = tuple(place for place in places if place is not None)
            is_whole = not self._writer.trailing and not any(self._writer.loops[place].begin for place in known)
            if is_whole and known == tuple(sorted(known)):
                return self._spread(node.value, known)
        depth = self._writer.depth_of.get(node.value.id) if isinstance(node.value, ast.Name) else None
        if depth is not None:  # of each turn's value
            whole = [*(ast.Slice() for _ in range(depth)), *(self.visit(one) for one in index)]
            return ast.Subscript(value=node.value, slice=ast.Tuple(elts=whole))
        return self.generic_visit(node)  # type: ignore[return-value]  # an expression stays one

    def visit_IfExp(self, node: ast.IfExp) -> ast.expr:
        if not self._writer.is_of_loop(node.test):
            return self.generic_visit(node)  # type: ignore[return-value]  # an expression stays one
        return _call("np.where", *(self.visit(one) for one in (node.test, node.body, node.orelse)))

    def visit_Call(self, node: ast.Call) -> ast.expr:
        called = called_name(node)
        if called in _DOTS and isinstance(node.func, ast.Attribute) and len(node.args) == 2:  # noqa: PLR2004 - two factors
            product = self._product(*node.args)
            if product is not None:
                return product
            self._writer.has_dot = True
        stem = self._stem(node.args[0] if node.args else None)
        if stem is None:
            is_reduced = called in _REDUCTIONS and isinstance(node.func, ast.Attribute) and not node.args
            if is_reduced and not node.keywords and self._writer.is_of_loop(node.func):
                node.keywords.append(ast.keyword(arg="axis", value=ast.Constant(value=-1)))
                self._writer.is_reduced = True
            return self.generic_visit(node)  # type: ignore[return-value]  # an expression stays one
        keywords = [
            ast.keyword(arg=one.arg, value=self.visit(one.value)) for one in node.keywords if one.arg != "shape"
        ]
        known = {one.arg for one in node.keywords}
        if not known & {"observed", "dims"} and called not in _WITHOUT_SHAPE and not called.startswith("_"):
            sizes = [turns.size for turns in self._writer.loops]
            shape = next((one.value for one in node.keywords if one.arg == "shape"), None)
            if shape is not None:
                sizes += shape.elts if isinstance(shape, ast.Tuple) else [shape]
            keywords.append(ast.keyword(arg="shape", value=sizes[0] if len(sizes) == 1 else ast.Tuple(elts=sizes)))
        args = [ast.Constant(value=stem), *(self.visit(one) for one in node.args[1:])]
        return ast.Call(func=node.func, args=args, keywords=keywords)

    def visit_BinOp(self, node: ast.BinOp) -> ast.expr:
        if isinstance(node.op, ast.MatMult):
            product = self._product(node.left, node.right)
            if product is not None:
                return product
            self._writer.has_dot = True
        return self.generic_visit(node)  # type: ignore[return-value]  # an expression stays one

    def _product(self, left: ast.expr, right: ast.expr) -> ast.expr | None:
        """Write a product of vectors that the loops pick as one of matrices, where that is the same."""
        rows, columns = self._picked(left), self._picked(right)
        if rows is None or rows[1] not in ((), (0,)):
            return None
        if columns is None or columns[1] not in ((), (len(self._writer.loops) - 1,)):
            return None
        factor = columns[0] if not columns[1] else ast.Attribute(value=columns[0], attr="T")
        if columns[1] == rows[1] == (0,):
            return None  # row by row
        return ast.BinOp(left=rows[0], op=ast.MatMult(), right=factor)

    def _picked(self, node: ast.expr) -> tuple[ast.expr, tuple[int, ...]] | None:
        """Read ``x[i]`` as x and the loop of i, and what has no loop's variable as itself."""
        if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Name):
            place = self._writer.place(node.slice.id)
            is_whole = place is not None and not self._writer.loops[place].begin
            return (node.value, (place,)) if place is not None and is_whole else None
        if isinstance(node, ast.Call) and called_name(node) in _DOTS and len(node.args) == 2:  # noqa: PLR2004 - two factors
            rows, matrix = self._picked(node.args[0]), self._picked(node.args[1])
            if rows is not None and matrix is not None and not matrix[1]:
                return ast.BinOp(left=rows[0], op=ast.MatMult(), right=matrix[0]), rows[1]
            return None
        return None if self._writer.is_of_loop(node) else (node, ())

    def _spread(self, value: ast.expr, places: tuple[int, ...]) -> ast.expr:
        """Give a value with axes for some loops one for each later loop, too."""
        depth = len(self._writer.loops)
        index: list[ast.expr] = [
            ast.Slice() if place in places else ast.Constant(value=None)
            for place in range(min(places, default=0), depth)
        ]
        if all(isinstance(one, ast.Slice) for one in index):
            return value
        return ast.Subscript(value=value, slice=index[0] if len(index) == 1 else ast.Tuple(elts=index))

    def _stem(self, name: ast.expr | None) -> str | None:
        """Read what the names that a loop makes have in common; None where it isn't such a name."""
        parts = name_parts(name)
        if parts is None or not any(isinstance(part, ast.expr) for part in parts):
            return None
        if not any(self._writer.is_of_loop(part) for part in parts if isinstance(part, ast.expr)):
            return None
        texts = [part for part in parts if isinstance(part, str)]
        return "".join(texts).strip("_[](). -,:") or "x"


def unrolled(lines: Sequence[CodeLine], *, terms: Sequence[Any] = (), dims: int = 0, is_recursion: bool = False) -> str:
    """Write the loop in which lines stand as arrays, or as a scan; '' where no loop is found around them.

    Parameters
    ----------
    lines : sequence of CodeLine
        Frames that made what is there many times, innermost first.
    terms : sequence of Term
        The model's variables that the loop makes, if any.
    dims : int
        Dimensions of each turn's values.
    is_recursion : bool
        Whether each turn needs the one before.
    """
    for line in lines:
        place = find_loop(line)
        if place is None:
            continue
        statement, loop = place
        try:
            if is_recursion:
                return "\n".join(_as_scan(loop))
            writer = _Writer(trailing=0 if terms else dims)
            written = (
                _of_comprehension(writer, statement, loop) if not isinstance(loop, ast.For) else writer.write(loop)
            )
        except (_UnclearError, RecursionError, ValueError):
            break
        notes = [_CHECK_DOT] if writer.has_dot else []
        if writer.is_reduced or any(getattr(term.variable, "ndim", 0) for term in terms):
            notes.append(_LOST)
        return "\n".join([*notes, *written])
    return _plain(lines, terms, is_recursion=is_recursion)


def _plain(lines: Sequence[CodeLine], terms: Sequence[Any], *, is_recursion: bool) -> str:
    """Say in words what to write, where the loop itself can't be followed."""
    text = next((line.text for line in lines if line.text), "")
    if is_recursion:
        return (
            "# write the step as a function and let PyTensor repeat it:\n"
            "states = pytensor.scan(step, sequences=[...], outputs_info=[start], return_updates=False)"
        )
    stems = dict.fromkeys(_stem_of([term.name for term in terms]))
    if terms:
        listed = ", ".join(stems) or terms[0].name
        return f"# one variable of shape ({len(terms)},) instead of {len(terms)}: {listed}\n# made here: {text}"
    if "switch(" in text or "where(" in text:
        return f"# say for each element which of the values it takes, and pick once: values[which]\n# instead of {text}"
    return f"# evaluate this once, on an array with one more axis, and reduce along it:\n# {text}"


def _stem_of(names: Iterable[str]) -> Iterator[str]:
    import re

    for name in names:
        yield re.sub(r"[_\[(]?\d+[\])]?", "", name) or name


# --- recursions ---------------------------------------------------------------------------------------------------


def _as_scan(loop: ast.AST) -> list[str]:
    if not isinstance(loop, ast.For):
        raise _UnclearError
    turns = _read_turns(loop.target, loop.iter)
    states: list[str] = []
    assigned: list[tuple[str, ast.expr]] = []
    appended: dict[str, ast.expr] = {}
    for one in loop.body:
        match one:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                assigned.append((name, value))
                states += [name] * (name in names_in(value))
            case ast.Expr(value=ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr="append"), args=[value])):
                appended[name] = value
            case ast.Expr(value=ast.Call(func=ast.Attribute(attr="append"))):
                pass
            case _:
                raise _UnclearError
    picking = _Sequences(turns, set(appended))
    written = [f"    {name} = {ast.unparse(picking.visit(copied(value)))}" for name, value in assigned]
    results = list(dict.fromkeys(states))
    for name, value in appended.items():
        if not (isinstance(value, ast.Name) and value.id in results):
            written.append(f"    {name}_now = {ast.unparse(picking.visit(copied(value)))}")
            if picking.lasts:
                results.append(f"{name}_now")
    if not results:
        raise _UnclearError
    sequences = list(picking.sequences.items())
    starts = [f"{name.removesuffix('_now')}[-1]" if name.endswith("_now") else name for name in results]
    befores = [f"{name.removesuffix('_now')}_before" if name.endswith("_now") else name for name in results]
    given = ", ".join([*(name for name, _ in sequences), *befores])
    source = ", ".join(text for _, text in sequences)
    lacking = "" if sequences else f", n_steps={ast.unparse(turns.size)}"
    listed = f"sequences=[{source}], " if sequences else ""
    return [
        f"def step({given}):",
        *written,
        f"    return {', '.join(results)}",
        "",
        f"{', '.join(name.removesuffix('_now') for name in results)} = pytensor.scan(step, {listed}"
        f"outputs_info=[{', '.join(starts)}]{lacking}, return_updates=False)",
        "# row t of the result is the state after step t",
    ]


class _Sequences(ast.NodeTransformer):
    """Takes what a loop picks by its variable as this step's part of a sequence."""

    def __init__(self, turns: _Turns, lists: set[str]) -> None:
        self._turns, self._lists = turns, lists
        self.sequences: dict[str, str] = {}
        self.lasts: set[str] = set()

    def visit_Subscript(self, node: ast.Subscript) -> ast.expr:
        base = node.value
        if isinstance(base, ast.Name) and base.id in self._lists:
            self.lasts.add(base.id)
            return ast.Name(id=f"{base.id}_before")
        index = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        if isinstance(base, ast.Name) and isinstance(index[0], ast.Name) and index[0].id in self._turns.names:
            if len(index) > 1:
                raise _UnclearError
            self.sequences.setdefault(f"{base.id}_t", f"{base.id}{self._turns.begin}")
            return ast.Name(id=f"{base.id}_t")
        if names_in(node.slice) & set(self._turns.names):
            raise _UnclearError
        return self.generic_visit(node)  # type: ignore[return-value]  # an expression stays one

    def visit_Name(self, node: ast.Name) -> ast.expr:
        if node.id in self._turns.names:
            self.sequences.setdefault(f"{node.id}_t", self._turns.text(node.id))
            return ast.Name(id=f"{node.id}_t")
        return node


def _of_comprehension(writer: _Writer, statement: ast.stmt, loop: Any) -> list[str]:
    """Write a statement with a list comprehension, or a generator, as arrays."""
    if any(one.ifs or one.is_async for one in loop.generators):
        raise _UnclearError
    writer.enter(*(_read_turns(one.target, one.iter) for one in loop.generators))
    array = _Arrays(writer).visit(copied(loop.elt))

    class Replace(ast.NodeTransformer):
        def visit(self, node: ast.AST) -> Any:
            if isinstance(node, ast.Call) and node.args and _is_same(node.args[0], loop):
                if called_name(node) == "sum":
                    return _summed(array, ast.Constant(value=0))
                if called_name(node) in _STACKS:
                    return array
            if _is_same(node, loop):
                return array
            return self.generic_visit(node)

    text = ast.unparse(ast.fix_missing_locations(Replace().visit(copied(statement))))
    return [*writer.prelude(), *text.splitlines()]


def _is_same(one: ast.AST, other: ast.AST) -> bool:
    return type(one) is type(other) and ast.dump(one) == ast.dump(other)


def _call(name: str, *args: ast.expr) -> ast.Call:
    module, _, function = name.rpartition(".")
    return ast.Call(func=ast.Attribute(value=ast.Name(id=module), attr=function), args=list(args), keywords=[])


def _summed(value: ast.expr, axis: ast.expr) -> ast.Call:
    return ast.Call(
        func=ast.Attribute(value=value, attr="sum"), args=[], keywords=[ast.keyword(arg="axis", value=axis)]
    )


def _added_to(name: str, value: ast.expr) -> ast.expr | None:
    """Return what ``name = name + value`` adds; None where it isn't such a sum."""
    if isinstance(value, ast.BinOp) and isinstance(value.op, ast.Add):
        for one, other in ((value.left, value.right), (value.right, value.left)):
            if isinstance(one, ast.Name) and one.id == name and name not in names_in(other):
                return other
    return None
