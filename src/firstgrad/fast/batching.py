"""``firstgrad.batch``: what a graph computes many times over, with other numbers, is computed once, on arrays.

A graph that Python loops wrote holds the same few operations again and again: one likelihood an element, one variable a
cell, an integral unrolled. Here operations that are alike (same operation, types and shapes; inputs and constants may
differ) become members of a group, and a group becomes one operation with one more axis in front. Sums, products and
stacks of members become reductions and reshapes of it; whoever needs a single member takes it out.

The rule when that pays, in nodes of the graph: a group of n saves n - 1 nodes; inputs that aren't members of one group,
nor constants, nor one variable, must be stacked, for n + 1 nodes; a member that is needed alone costs one. Groups that
cost more than they save are left as they are.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

LEAST_MEMBERS = 3
_ROUNDS = 8  # of looking for chains
_MOST_OPERANDS = 16  # of one sum or product: Numba and NumPy take some 30
_LARGEST_FOLDED = 10_000  # elements of a constant
_PLAIN = ("Elemwise", "DimShuffle", "Sum", "Prod", "Max", "Min", "All", "Any", "CAReduce", "Subtensor")
_OTHERS = ("Blockwise", "Dot", "Join", "MakeVector", "CumOp", "Softmax", "LogSoftmax", "CheckParameterValue", "Assert")
_BATCHED = frozenset((*_PLAIN, *_OTHERS, "ScalarFromTensor", "TensorFromScalar", "ExtractDiag", "Reshape"))
_FOLDS = {"add": "sum", "sub": "sum", "mul": "prod"}


@dataclass(slots=True, eq=False)
class _Value:
    """A variable of the graph: an input, a constant, or what a node returns."""

    variable: Any
    number: int
    inputs: tuple[_Value, ...] = ()  # of the operation that makes it, sums and products flattened
    op: Any = None
    fold: str = ""  # ``sum`` or ``prod`` where it is a flattened sum or product
    data: Any = None  # of a constant
    height: int = 0  # of the graph above it
    group: _Group | None = None
    place: int = 0  # within its group

    @property
    def is_batchable(self) -> bool:
        """Whether its operation is one that may have an axis more."""
        return self.op is not None and type(self.op).__name__ in _BATCHED and _is_known(self.variable)


@dataclass(slots=True, eq=False)
class _Group:
    members: list[_Value]

    def positions(self) -> Iterator[tuple[_Value, ...]]:
        """Yield the members' inputs, position by position."""
        yield from zip(*(member.inputs for member in self.members), strict=True)


def batch(
    outputs: Sequence[Any],
    *,
    least: int = LEAST_MEMBERS,
    stack: Callable[[tuple[Any, ...]], Any] = lambda _: None,
) -> list[Any]:
    """Return outputs that are computed with fewer, larger operations.

    Parameters
    ----------
    outputs : sequence of TensorVariable
        Such as a log-density, before anything is differentiated. Their inputs stay as they are.
    least : int
        Fewest operations that are alike to become one.
    stack : callable, optional
        Is asked for a stack of several inputs of the graph: for whoever has them side by side already. None: the graph
        stacks them itself.

    Returns
    -------
    list of TensorVariable
        Equal to `outputs` but for rounding, of the same types; the very same where nothing pays.
    """
    graph = _Graph(outputs)
    graph.find_groups(least)
    return graph.write(stack) if graph.groups else list(outputs)


class _Graph:
    """The graph above some outputs, in the order in which it is computed."""

    def __init__(self, outputs: Sequence[Any]) -> None:
        self._outputs = list(outputs)
        self._of: dict[Any, _Value] = {}
        self._constants: dict[tuple[Any, ...], _Value] = {}
        self._same: dict[Any, _Value] = {}
        self.values: list[_Value] = []
        self.groups: list[_Group] = []
        nodes = _toposort(self._outputs)
        users = Counter(variable for node in nodes for variable in node.inputs)
        users.update(self._outputs)
        flattened = _find_flattened(nodes, users)
        for node in nodes:
            if all(output in flattened for output in node.outputs):
                continue
            fold = _fold_of(node)
            if _scalar_op(node.op) == "sub" and flattened.isdisjoint(node.inputs):
                fold = ""  # a difference, not the end of a sum
            inputs = tuple(self._operands(node, flattened)) if fold else tuple(map(self._value, node.inputs))
            if len(node.outputs) > 1:
                for output in node.outputs:
                    self._add(output, inputs)
                continue
            (output,), key = node.outputs, (node.op, fold, inputs)
            if _does_nothing(node):
                self._of[output] = inputs[0]
            elif (folded := _fold_constants(node, inputs)) is not None:
                self._of[output] = self._constant(output, folded)
            elif key in self._same:
                self._of[output] = self._same[key]
            else:
                self._same[key] = self._add(output, inputs, node.op, fold)
        for output in self._outputs:
            self._value(output)

    def _add(self, variable: Any, inputs: tuple[_Value, ...] = (), op: Any = None, fold: str = "") -> _Value:
        value = _Value(variable, len(self.values), inputs, op, fold)
        self._of[variable] = value
        self.values.append(value)
        value.height = 1 + max((one.height for one in inputs), default=0)
        return value

    def _operands(self, node: Any, flattened: frozenset[Any]) -> Iterator[_Value]:
        """Yield what a sum or product is of, with what it takes as negative terms."""
        waiting = [(node, False)]
        while waiting:
            one, is_negative = waiting.pop()
            if hasattr(one, "op"):
                signs = [is_negative ^ (place == 1 and _scalar_op(one.op) == "sub") for place in range(len(one.inputs))]
                operands = [(each.owner if each in flattened else each) for each in one.inputs]
                waiting += reversed(list(zip(operands, signs, strict=True)))
            else:
                yield self._negative(self._value(one)) if is_negative else self._value(one)

    def _negative(self, value: _Value) -> _Value:
        import pytensor.tensor as pt

        if value.data is not None:
            return self._constant(pt.constant(-value.data, dtype=value.variable.type.dtype), -value.data)
        key = (pt.neg, "", (value,))
        if key not in self._same:
            self._same[key] = self._add(pt.neg(value.variable), (value,), pt.neg)
        return self._same[key]

    def _value(self, variable: Any) -> _Value:
        if variable in self._of:
            return self._of[variable]
        data = _data_of(variable)
        if data is None:
            return self._add(variable)
        self._of[variable] = self._constant(variable, data)
        return self._of[variable]

    def _constant(self, variable: Any, data: Any) -> _Value:
        key = (variable.type, data.dtype.str, data.shape, data.tobytes())
        if key not in self._constants:
            self._constants[key] = self._add(variable)
            self._constants[key].data = data
        return self._constants[key]

    # --- what is alike ---------------------------------------------------------------------------------------------

    def find_groups(self, least: int) -> None:
        """Find the groups that pay."""
        links: set[int] = set()
        for _ in range(_ROUNDS):
            deep = self._classes(links)
            counts = Counter(deep)
            classes = self._classes(links, [one if counts[one] >= least else None for one in deep])
            candidates = self._members(classes, links, least)
            # What has one height in the graph can't need each other.
            chains = [group for group in self._in_circles(candidates) if len({value.height for value in group}) > 1]
            if not chains:
                break
            links |= {value.number for group in chains for value in group}
        candidates = [part for group in candidates for part in _refine(group, deep, least)]
        while circle := self._in_circles(candidates):
            candidates = [group for group in candidates if all(group is not one for one in circle)]
        self.groups = [_Group(members) for members in candidates]
        self._join_groups()
        self._drop_what_does_not_pay()

    def _classes(self, links: set[int], known: Sequence[int | None] | None = None) -> list[int]:
        """Give values numbers by what they are made of, whatever variables, constants and links stand at the bottom.

        With the numbers of an earlier look, a value is told by its operation and those of its inputs; None is anything.
        So links of a chain, each of them made of all before, are found to be alike.
        """
        numbers: dict[Any, int] = {}
        classes: list[int] = []
        for value in self.values:
            kind: Any
            if value.data is not None:
                kind = ("constant", value.variable.type)
            elif not value.is_batchable or (known is None and value.number in links):
                kind = ("anything", value.variable.type)
            else:
                before = classes if known is None else known
                parts = tuple(
                    one.variable.type if (number := before[one.number]) is None else number for one in value.inputs
                )
                exponent = value.inputs[1].number if _scalar_op(value.op) == "pow" else None
                kind = (value.op, value.fold, parts, exponent, value.variable.type)
            classes.append(numbers.setdefault(kind, len(numbers)))
        return classes

    def _members(self, classes: Sequence[int], links: set[int], least: int) -> list[list[_Value]]:
        members: dict[int, list[_Value]] = defaultdict(list)
        for value in self.values:
            if value.number not in links and value.is_batchable and any(one.data is None for one in value.inputs):
                members[classes[value.number]].append(value)
        return [several for several in members.values() if len(several) >= least]

    def _in_circles(self, candidates: list[list[_Value]]) -> list[list[_Value]]:
        """List the candidates whose members need each other, by way of whatever: they can't be computed at once."""
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        nodes = list(range(len(self.values)))
        for number, group in enumerate(candidates):
            for member in group:
                nodes[member.number] = len(self.values) + number
        edges = {(nodes[one.number], nodes[value.number]) for value in self.values for one in value.inputs}
        itself = {one for one, other in edges if one == other}
        size = len(self.values) + len(candidates)
        begins, ends = zip(*edges, strict=True) if edges else ((), ())
        matrix = coo_array((np.ones(len(edges)), (begins, ends)), shape=(size, size))
        _, parts = connected_components(matrix, directed=True, connection="strong")
        sizes = Counter(parts.tolist())
        return [
            group
            for number, group in enumerate(candidates, len(self.values))
            if number in itself or sizes[parts[number]] > 1
        ]

    def _join_groups(self) -> None:
        for value in self.values:
            value.group = None
        for group in self.groups:
            for place, member in enumerate(group.members):
                member.group, member.place = group, place

    # --- what pays -------------------------------------------------------------------------------------------------

    def _drop_what_does_not_pay(self) -> None:
        """Drop group after group, the one that is most in the way first, then islands of groups that don't pay."""
        users: dict[int, list[_Value]] = defaultdict(list)
        for value in self.values:
            for one in dict.fromkeys(value.inputs):
                users[one.number].append(value)
        wanted = frozenset(self._value(output).number for output in self._outputs)
        while self.groups:
            costs = _Costs(self.groups, users, wanted)
            worst = max(self.groups, key=costs.spared_without)
            if costs.spared_without(worst) <= 0:
                break
            self._drop([worst])
        costs = _Costs(self.groups, users, wanted)
        for island in _connected(self.groups):
            if costs.spared_by(island) <= 0:
                self._drop(island)

    def _drop(self, groups: Sequence[_Group]) -> None:
        gone = set(map(id, groups))
        self.groups = [group for group in self.groups if id(group) not in gone]
        self._join_groups()

    # --- the new graph ---------------------------------------------------------------------------------------------

    def write(self, stack: Callable[[tuple[Any, ...]], Any]) -> list[Any]:
        """Write the graph with its groups."""
        return _Writer(stack).write([self._value(output) for output in self._outputs])


class _Costs:
    """Counts nodes of the graph with the present groups."""

    def __init__(self, groups: Sequence[_Group], users: dict[int, list[_Value]], wanted: frozenset[int]) -> None:
        self._users = users
        self._stacks: Counter[tuple[int, ...]] = Counter()
        """Inputs that must be stacked, and by how many groups."""
        self._alone: set[int] = set()  # members that are needed by themselves
        for group in groups:
            self._stacks.update(_stacks_of(group))
            for member in group.members:
                alone = any(not _takes_whole(user, group) for user in users[member.number])
                if alone or member.number in wanted:
                    self._alone.add(member.number)

    def spared_without(self, group: _Group) -> int:
        """How many nodes fewer there were without a group."""
        spared = 1 - len(group.members) + sum(member.number in self._alone for member in group.members)
        spared += sum(1 + len(stack) for stack in _stacks_of(group) if self._stacks[stack] == 1)
        needing = {
            id(user.group): user.group for one in group.members for user in self._users[one.number] if user.group
        }
        for other in needing.values():
            for position in other.positions():
                if all(one.group is group for one in position) and any(one is not position[0] for one in position):
                    spared -= 1 + len(position)
        givers = {
            one.number for position in group.positions() if _comes_whole(position) for one in position if one.group
        }
        return spared - len(givers - self._alone)

    def spared_by(self, groups: Sequence[_Group]) -> int:
        """How many nodes fewer there are by some groups that give to no other ones and take from none."""
        stacks = {stack for group in groups for stack in _stacks_of(group)}
        spared = sum(len(group.members) - 1 for group in groups)
        alone = sum(member.number in self._alone for group in groups for member in group.members)
        return spared - alone - sum(1 + len(stack) for stack in stacks)


def _stacks_of(group: _Group) -> set[tuple[int, ...]]:
    return {tuple(one.number for one in position) for position in group.positions() if not _comes_whole(position)}


class _Writer:
    def __init__(self, stack: Callable[[tuple[Any, ...]], Any]) -> None:
        self._ask_for_stack = stack
        self._stacks: dict[tuple[int, ...], Any] = {}
        self._alone: dict[int, Any] = {}
        self._whole: dict[int, Any] = {}

    def write(self, outputs: Sequence[_Value]) -> list[Any]:
        """Write what the outputs need, from the bottom up, without recursion."""
        waiting: list[tuple[_Value, bool]] = [(output, False) for output in reversed(outputs)]
        while waiting:
            value, is_ready = waiting.pop()
            if self._is_written(value):
                continue
            members = value.group.members if value.group else [value]
            if is_ready:
                if value.group:
                    self._whole[id(value.group)] = self._write_group(value.group)
                else:
                    self._alone[value.number] = self._write_alone(value)
                continue
            waiting.append((value, True))
            waiting += [(one, False) for member in members for one in member.inputs if not self._is_written(one)]
        return [self._take(output) for output in outputs]

    def _is_written(self, value: _Value) -> bool:
        return id(value.group) in self._whole if value.group else value.number in self._alone

    def _take(self, value: _Value) -> Any:
        """Give a value by itself."""
        if value.number not in self._alone:
            self._alone[value.number] = self._whole[id(value.group)][value.place]
        return self._alone[value.number]

    def _write_alone(self, value: _Value) -> Any:
        if value.op is None:
            return self._rebuild_output(value)
        if value.fold and len(value.inputs) > 1:
            return _fold(value, self._parts(value))
        if type(value.op).__name__ in ("Join", "MakeVector"):
            return self._write_join(value)
        inputs = [self._take(one) for one in value.inputs]
        return _of_type(value.op(*inputs), value.variable)

    def _rebuild_output(self, value: _Value) -> Any:
        """Give an input, a constant, or one of several outputs of a node."""
        node = value.variable.owner
        if node is None:
            return value.variable
        if value.data is not None:
            import pytensor.tensor as pt

            return pt.constant(value.data, dtype=value.variable.type.dtype)
        inputs = [self._take(one) for one in value.inputs]
        same = all(one is other for one, other in zip(inputs, node.inputs, strict=True))
        made = node if same else node.op.make_node(*inputs)
        for number, output in enumerate(node.outputs):
            if output is value.variable:
                return made.outputs[number]
        raise AssertionError(value)

    def _parts(self, value: _Value) -> list[Any]:
        """Give the operands of a sum or product, members of one group folded to one."""
        several = _by_group(value.inputs)
        parts = []
        for group, operands in several:
            if group is None:
                parts += [self._take(one) for one in operands]
            else:
                places = np.array([one.place for one in operands])
                parts.append(getattr(_pick(self._whole[id(group)], places), value.fold)(axis=0))
        return parts

    def _write_join(self, value: _Value) -> Any:
        import pytensor.tensor as pt

        name = type(value.op).__name__
        operands = value.inputs if name == "MakeVector" else _join_operands(value)
        axis = 0 if name == "MakeVector" else value.op.axis if hasattr(value.op, "axis") else int(value.inputs[0].data)
        pieces = []
        for group, several in _runs(operands):
            if group is None:
                pieces += [
                    pt.expand_dims(self._take(one), 0) if name == "MakeVector" else self._take(one) for one in several
                ]
                continue
            picked = _pick(self._whole[id(group)], np.array([one.place for one in several]))
            pieces.append(picked if name == "MakeVector" else _side_by_side(picked, axis))
        if len(pieces) == 1:
            return _of_type(pieces[0], value.variable)
        if len(pieces) == len(operands):
            return _of_type(value.op(*[self._take(one) for one in value.inputs]), value.variable)
        return _of_type(pt.join(axis, *pieces), value.variable)

    def _write_group(self, group: _Group) -> Any:
        first, size = group.members[0], len(group.members)
        positions = list(group.positions())
        if first.fold and len(first.inputs) > 1:
            whole = _fold(first, self._folded_positions(first, positions))
        elif type(first.op).__name__ == "Subtensor" and (taken := self._take_along(group, positions)) is not None:
            whole = taken
        else:
            whole = _vectorised(first, [self._stack(position) for position in positions])
        shape = first.variable.type.shape
        if whole.type.ndim == len(shape):  # nothing differs between the members
            import pytensor.tensor as pt

            whole = pt.alloc(whole, size, *shape)
        return whole

    def _folded_positions(self, first: _Value, positions: Sequence[tuple[_Value, ...]]) -> list[Any]:
        """Give the operands of a group of sums or products, those of one group folded to one."""
        together: dict[int, list[tuple[_Value, ...]]] = defaultdict(list)
        singles = []
        for position in positions:
            groups = {id(one.group) for one in position}
            if len(groups) == 1 and position[0].group is not None:
                together[id(position[0].group)].append(position)
            else:
                singles.append(position)
        parts = [self._stack(position) for position in singles]
        for key, several in together.items():
            if len(several) < LEAST_MEMBERS:
                parts += [self._stack(position) for position in several]
                continue
            places = np.array([[one.place for one in position] for position in several])  # (operands, members)
            picked = _pick(self._whole[key], places.ravel())
            shape = picked.type.shape
            parts.append(getattr(picked.reshape((*places.shape, *shape[1:])), first.fold)(axis=0))
        return parts

    def _stack(self, position: tuple[_Value, ...]) -> tuple[Any, bool] | Any:
        """Give one position's inputs: the one variable that they all are, or an array with an axis more."""
        import pytensor.tensor as pt

        first = position[0]
        if all(one is first for one in position):
            return _Same(self._take(first))
        if all(one.data is not None for one in position):
            return pt.constant(np.stack([one.data for one in position]))
        if first.group is not None and all(one.group is first.group for one in position):
            return _pick(self._whole[id(first.group)], np.array([one.place for one in position]))
        distinct = list(dict.fromkeys(position))
        if 2 * len(distinct) <= len(position):
            where = {one.number: place for place, one in enumerate(distinct)}
            return _pick(self._stack(tuple(distinct)), np.array([where[one.number] for one in position]))
        numbers = tuple(one.number for one in position)
        if numbers not in self._stacks:
            self._stacks[numbers] = self._make_stack(position)
        return self._stacks[numbers]

    def _make_stack(self, position: tuple[_Value, ...]) -> Any:
        import pytensor.tensor as pt

        if all(one.op is None and one.variable.owner is None for one in position):
            given = self._ask_for_stack(tuple(one.variable for one in position))
            if given is not None:
                return given
        pieces = []
        for group, several in _runs(position):
            if group is None:
                pieces.append(pt.stack([self._take(one) for one in several]))
            else:
                pieces.append(_pick(self._whole[id(group)], np.array([one.place for one in several])))
        return pieces[0] if len(pieces) == 1 else pt.join(0, *pieces)

    def _take_along(self, group: _Group, positions: Sequence[tuple[_Value, ...]]) -> Any:
        """Take members that differ in one whole number of their index out of one array; None where they are others."""
        source, *indices = positions
        varying = [number for number, position in enumerate(indices) if any(one is not position[0] for one in position)]
        if any(one is not source[0] for one in source) or len(varying) != 1:
            return None
        if any(one.data is None for one in indices[varying[0]]):
            return None
        places = np.array([int(one.data) for one in indices[varying[0]]])
        written: list[Any] = []
        entries = iter(range(len(indices)))
        axis, kept = None, 0
        for entry in group.members[0].op.idx_list:
            if isinstance(entry, slice):
                ends = [
                    None if end is None else self._take(indices[next(entries)][0])
                    for end in (entry.start, entry.stop, entry.step)
                ]
                written.append(slice(*ends))
                kept += 1
            else:
                number = next(entries)
                if number == varying[0]:
                    axis = kept
                    written.append(_as_slice(places, self._take(source[0]).type.shape[len(written)]))
                    kept += 1
                else:
                    written.append(self._take(indices[number][0]))
        if axis is None:
            return None  # a slice's end varies
        taken = self._take(source[0])[tuple(written)]
        order = [axis, *(number for number in range(taken.type.ndim) if number != axis)]
        return taken if axis == 0 else taken.dimshuffle(order)


@dataclass(frozen=True, slots=True)
class _Same:
    """An input that all members share."""

    variable: Any


def _vectorised(first: _Value, inputs: Sequence[Any]) -> Any:
    """Apply an operation to inputs with an axis more."""
    from pytensor.graph.replace import vectorize_graph

    name = type(first.op).__name__
    given = [one.variable if isinstance(one, _Same) else one for one in inputs]
    if name == "Elemwise":
        return first.op(*given)
    dummies = [
        one.variable if isinstance(one, _Same) else old.variable.type()
        for one, old in zip(inputs, first.inputs, strict=True)
    ]
    replace = {dummy: new for dummy, new in zip(dummies, given, strict=True) if dummy is not new}
    output = first.op.make_node(*dummies).outputs[0]
    return vectorize_graph(output, replace=replace) if replace else output


def _fold(value: _Value, parts: Sequence[Any]) -> Any:
    """Add or multiply, not too many at once."""
    import pytensor.tensor as pt

    operation = {"sum": pt.add, "prod": pt.mul}[value.fold]
    waiting = [part.variable if isinstance(part, _Same) else part for part in parts]
    while len(waiting) > 1:
        waiting = [
            several[0] if len(several) == 1 else operation(*several)
            for several in (waiting[begin : begin + _MOST_OPERANDS] for begin in range(0, len(waiting), _MOST_OPERANDS))
        ]
    return waiting[0]


def _pick(whole: Any, places: Any) -> Any:
    """Take members out of a whole group, in this order."""
    size = whole.type.shape[0]
    if len(places) == size and (places == np.arange(size)).all():
        return whole
    index = _as_slice(places, size)
    return whole[index]


def _as_slice(places: Any, size: int | None) -> Any:
    """Write equally spaced places as a slice: its gradient is no scatter."""
    steps = np.diff(places)
    if size is None or len(places) < 2 or (steps != steps[0]).any() or steps[0] <= 0 or places[0] < 0:  # noqa: PLR2004
        return places
    return slice(int(places[0]), int(places[-1]) + 1, int(steps[0]) if steps[0] > 1 else None)


def _side_by_side(picked: Any, axis: int) -> Any:
    """Lay members along one of their own axes, as joining them does."""
    count, *shape = picked.type.shape
    axes = list(range(1, picked.type.ndim))
    if shape[axis] == 1:
        return picked.dimshuffle([*axes[:axis], 0, *axes[axis + 1 :]])
    moved = picked if axis == 0 else picked.dimshuffle([*axes[:axis], 0, *axes[axis:]])
    return moved.reshape((*shape[:axis], count * shape[axis], *shape[axis + 1 :]))


def _of_type(made: Any, variable: Any) -> Any:
    return made if made.type.ndim == variable.type.ndim else made.reshape(variable.type.shape)


# --- reading a graph -----------------------------------------------------------------------------------------------


def _toposort(outputs: Iterable[Any]) -> list[Any]:
    """List the nodes above some outputs, inputs first."""
    order: list[Any] = []
    known: set[Any] = set()
    waiting = [(output.owner, False) for output in reversed(list(outputs)) if output.owner is not None]
    while waiting:
        node, is_ready = waiting.pop()
        if is_ready:
            order.append(node)
        elif node not in known:
            known.add(node)
            waiting.append((node, True))
            waiting += [(one.owner, False) for one in reversed(node.inputs) if one.owner is not None]
    return order


def _data_of(variable: Any) -> Any:
    """Read a constant of numbers; None of anything else."""
    data = getattr(variable, "data", None) if variable.owner is None else None
    return np.asarray(data) if isinstance(data, int | float | np.generic | np.ndarray) else None


def _does_nothing(node: Any) -> bool:
    """Whether a node returns its first input: PyMC's densities are full of these."""
    first, output = node.inputs[0] if node.inputs else None, node.outputs[0]
    if first is None or first.type != output.type or not _is_known(output):
        return False
    name = type(node.op).__name__
    return name == "Alloc" or (name == "Sum" and not output.type.ndim) or _scalar_op(node.op) == "identity"


def _fold_constants(node: Any, inputs: Sequence[_Value]) -> Any:
    """Compute a small node of constants now; None where it isn't one."""
    if type(node.op).__name__ not in _PLAIN or not inputs or any(one.data is None for one in inputs):
        return None
    shape = getattr(node.outputs[0].type, "shape", ())
    if None in shape or np.prod(shape, dtype=float) > _LARGEST_FOLDED or len(inputs) != len(node.inputs):
        return None
    cell: list[Any] = [[None]]
    node.op.perform(node, [one.data if one.variable.type.ndim else one.data[()] for one in inputs], cell)
    return np.asarray(cell[0][0], dtype=node.outputs[0].type.dtype)


def _is_known(variable: Any) -> bool:
    shape = getattr(variable.type, "shape", None)
    return shape is not None and None not in shape


def _scalar_op(op: Any) -> str:
    return str(getattr(getattr(op, "scalar_op", None), "name", "") or "")


def _fold_of(node: Any) -> str:
    if type(node.op).__name__ != "Elemwise" or not _is_known(node.outputs[0]):
        return ""
    return _FOLDS.get(_scalar_op(node.op), "")


def _find_flattened(nodes: Sequence[Any], users: Counter[Any]) -> frozenset[Any]:
    """Find the sums that are nothing but an operand of one other sum, and products alike.

    Of differences only those that another one goes on from: ``total - a - b``.
    """
    flattened: set[Any] = set()
    for node in nodes:
        if not (fold := _fold_of(node)):
            continue
        is_difference = _scalar_op(node.op) == "sub"
        for one in node.inputs[:1] if is_difference else node.inputs:
            if one.owner is None or users[one] != 1 or _fold_of(one.owner) != fold or one.type != node.outputs[0].type:
                continue
            if _scalar_op(one.owner.op) != "sub" or is_difference or not flattened.isdisjoint(one.owner.inputs):
                flattened.add(one)
    return frozenset(flattened)


def _join_operands(value: _Value) -> Sequence[_Value]:
    return value.inputs if hasattr(value.op, "axis") else value.inputs[1:]


def _by_group(operands: Iterable[_Value]) -> list[tuple[_Group | None, list[_Value]]]:
    """Put operands of one group together where there are enough of them; the others as they come."""
    several: dict[int, list[_Value]] = defaultdict(list)
    for one in operands:
        several[id(one.group)].append(one)
    alone: list[_Value] = []
    whole: list[tuple[_Group | None, list[_Value]]] = []
    for members in several.values():
        group = members[0].group
        if group is None or len(members) < LEAST_MEMBERS:
            alone += members
        else:
            whole.append((group, members))
    return [*whole, (None, alone)]


def _runs(operands: Iterable[_Value]) -> list[tuple[_Group | None, list[_Value]]]:
    """Cut operands into stretches of one group, in their order."""
    runs: list[tuple[_Group | None, list[_Value]]] = []
    for one in operands:
        if runs and runs[-1][0] is one.group:
            runs[-1][1].append(one)
        else:
            runs.append((one.group, [one]))
    merged: list[tuple[_Group | None, list[_Value]]] = []
    for group, members in runs:
        group = group if len(members) >= LEAST_MEMBERS else None  # noqa: PLW2901 - too short to be worth it
        if group is None and merged and merged[-1][0] is None:
            merged[-1][1].extend(members)
        else:
            merged.append((group, members))
    return merged


def _comes_whole(position: tuple[_Value, ...]) -> bool:
    first = position[0]
    return (
        all(one is first for one in position)
        or all(one.data is not None for one in position)
        or (first.group is not None and all(one.group is first.group for one in position))
    )


def _takes_whole(user: _Value, group: _Group) -> bool:
    """Whether a user needs no single member of a group."""
    if user.group is not None:
        return any(all(one.group is group for one in position) for position in user.group.positions())
    collects = bool(user.fold) or type(user.op).__name__ in ("Join", "MakeVector")
    return collects and sum(one.group is group for one in user.inputs) >= LEAST_MEMBERS


def _refine(group: list[_Value], deep: Sequence[int], least: int) -> list[list[_Value]]:
    """Part members whose inputs are made of different things, where each part is large enough by itself."""
    parts = [group]
    for position in range(len(group[0].inputs)):
        finer = [part for several in parts for part in _by_class_of_input(several, position, deep)]
        if all(len(part) >= least for part in finer):
            parts = finer
    return parts


def _by_class_of_input(group: Iterable[_Value], position: int, classes: Sequence[int]) -> list[list[_Value]]:
    parts: dict[int, list[_Value]] = defaultdict(list)
    for value in group:
        parts[classes[value.inputs[position].number]].append(value)
    return list(parts.values())


def _connected(groups: Sequence[_Group]) -> list[list[_Group]]:
    """Put groups together that give to each other."""
    leader = {id(group): id(group) for group in groups}

    def find(key: int) -> int:
        while leader[key] != key:
            key = leader[key]
        return key

    for group in groups:
        for member in group.members:
            for one in member.inputs:
                if one.group is not None:
                    leader[find(id(one.group))] = find(id(group))
    parts: dict[int, list[_Group]] = defaultdict(list)
    for group in groups:
        parts[find(id(group))].append(group)
    return list(parts.values())
