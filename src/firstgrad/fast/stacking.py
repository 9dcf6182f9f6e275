"""The graph that batching writes: a group of values that are alike is one array, with an axis more in front."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from firstgrad.grouping import grouped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from firstgrad.fast.repeats import Batch, Value

LEAST_TOGETHER = 3
"""Fewest members of a group that are added, multiplied or stacked as one."""
_MOST_OPERANDS = 16  # of one sum or product: Numba and NumPy take some 30


class Writer:
    """Writes a graph anew, from its outputs' values."""

    def __init__(self, stack: Callable[[tuple[Any, ...]], Any]) -> None:
        self._ask_for_stack = stack
        self._stacks: dict[tuple[int, ...], Any] = {}
        self._alone: dict[int, Any] = {}
        self._whole: dict[int, Any] = {}

    def write(self, outputs: Sequence[Value]) -> list[Any]:
        """Write what the outputs need, from the bottom up, without recursion."""
        waiting: list[tuple[Value, bool]] = [(output, False) for output in reversed(outputs)]
        while waiting:
            value, is_ready = waiting.pop()
            if self._is_written(value):
                continue
            members = value.group.members if value.group else [value]
            if is_ready:
                if value.group:
                    self._whole[id(value.group)] = self._write_batch(value.group)
                else:
                    self._alone[value.number] = self._write_alone(value)
                continue
            waiting.append((value, True))
            waiting += [(one, False) for member in members for one in member.inputs if not self._is_written(one)]
        return [self._take(output) for output in outputs]

    def _is_written(self, value: Value) -> bool:
        return id(value.group) in self._whole if value.group else value.number in self._alone

    def _take(self, value: Value) -> Any:
        """Give a value by itself."""
        if value.number not in self._alone:
            self._alone[value.number] = self._whole[id(value.group)][value.place]
        return self._alone[value.number]

    def _write_alone(self, value: Value) -> Any:
        if value.op is None:
            return self._rebuild_output(value)
        if value.fold and len(value.inputs) > 1:
            return _fold(value, self._parts(value))
        if type(value.op).__name__ in ("Join", "MakeVector"):
            return self._write_join(value)
        inputs = [self._take(one) for one in value.inputs]
        return _of_type(value.op(*inputs), value.variable)

    def _rebuild_output(self, value: Value) -> Any:
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

    def _parts(self, value: Value) -> list[Any]:
        """Give the operands of a sum or product, members of one group folded to one."""
        several = _by_group(value.inputs)
        parts = []
        for group, operands in several:
            if group is None:
                parts += [self._take(one) for one in operands]
            else:
                parts.append(getattr(self._picked(group, operands), value.fold)(axis=0))
        return parts

    def _picked(self, group: Batch, members: Iterable[Value]) -> Any:
        return _pick(self._whole[id(group)], np.array([one.place for one in members]))

    def _write_join(self, value: Value) -> Any:
        import pytensor.tensor as pt

        name = type(value.op).__name__
        operands = value.inputs if name == "MakeVector" else _join_operands(value)
        axis = 0 if name == "MakeVector" else value.op.axis if hasattr(value.op, "axis") else int(value.inputs[0].data)
        pieces: list[Any] = []
        for group, several in _runs(operands):
            if group is None:
                taken = map(self._take, several)
                pieces += [pt.expand_dims(one, 0) for one in taken] if name == "MakeVector" else taken
            else:
                picked = self._picked(group, several)
                pieces.append(picked if name == "MakeVector" else _side_by_side(picked, axis))
        if len(pieces) == 1:
            return _of_type(pieces[0], value.variable)
        if len(pieces) == len(operands):
            return _of_type(value.op(*[self._take(one) for one in value.inputs]), value.variable)
        return _of_type(pt.join(axis, *pieces), value.variable)

    def _write_batch(self, group: Batch) -> Any:
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

    def _folded_positions(self, first: Value, positions: Sequence[tuple[Value, ...]]) -> list[Any]:
        """Give the operands of a group of sums or products, those of one group folded to one."""
        together: dict[int, list[tuple[Value, ...]]] = defaultdict(list)
        singles = []
        for position in positions:
            groups = {id(one.group) for one in position}
            if len(groups) == 1 and position[0].group is not None:
                together[id(position[0].group)].append(position)
            else:
                singles.append(position)
        parts = [self._stack(position) for position in singles]
        for key, several in together.items():
            if len(several) < LEAST_TOGETHER:
                parts += [self._stack(position) for position in several]
                continue
            places = np.array([[one.place for one in position] for position in several])  # (operands, members)
            picked = _pick(self._whole[key], places.ravel())
            shape = picked.type.shape
            parts.append(getattr(picked.reshape((*places.shape, *shape[1:])), first.fold)(axis=0))
        return parts

    def _stack(self, position: tuple[Value, ...]) -> Any:
        """Give one position's inputs: the one variable that they all are, or an array with an axis more."""
        import pytensor.tensor as pt

        first = position[0]
        if all(one is first for one in position):
            return _Same(self._take(first))
        if all(one.data is not None for one in position):
            return pt.constant(np.stack([one.data for one in position]))
        if first.group is not None and all(one.group is first.group for one in position):
            return self._picked(first.group, position)
        distinct = list(dict.fromkeys(position))
        if 2 * len(distinct) <= len(position):
            where = {one.number: place for place, one in enumerate(distinct)}
            return _pick(self._stack(tuple(distinct)), np.array([where[one.number] for one in position]))
        numbers = tuple(one.number for one in position)
        if numbers not in self._stacks:
            self._stacks[numbers] = self._make_stack(position)
        return self._stacks[numbers]

    def _make_stack(self, position: tuple[Value, ...]) -> Any:
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
                pieces.append(self._picked(group, several))
        return pieces[0] if len(pieces) == 1 else pt.join(0, *pieces)

    def _take_along(self, group: Batch, positions: Sequence[tuple[Value, ...]]) -> Any:
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
        if len(written) == 1:
            return _pick(self._take(source[0]), places)
        taken = self._take(source[0])[tuple(written)]
        order = [axis, *(number for number in range(taken.type.ndim) if number != axis)]
        return taken if axis == 0 else taken.dimshuffle(order)


@dataclass(frozen=True, slots=True)
class _Same:
    """An input that all members share."""

    variable: Any


def _vectorised(first: Value, inputs: Sequence[Any]) -> Any:
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


def _fold(value: Value, parts: Sequence[Any]) -> Any:
    """Add or multiply, not too many at once."""
    import pytensor.tensor as pt

    operation, dtype = {"sum": pt.add, "prod": pt.mul}[value.fold], value.variable.type.dtype
    waiting = [part.variable if isinstance(part, _Same) else part for part in parts]
    # As exact as the whole: several constants of single precision may come together.
    waiting = [pt.constant(one.data, dtype=dtype) if hasattr(one, "data") else one for one in waiting]
    while len(waiting) > 1:
        waiting = [
            several[0] if len(several) == 1 else operation(*several)
            for several in (waiting[begin : begin + _MOST_OPERANDS] for begin in range(0, len(waiting), _MOST_OPERANDS))
        ]
    return waiting[0]


def _pick(whole: Any, places: Any) -> Any:
    """Take members out of a whole group, or rows of an array, in this order."""
    size = whole.type.shape[0]
    if len(places) == size and (places == np.arange(size)).all():
        return whole
    if (period := _period(places)) < len(places):  # the same ones over and over: the gradient is a sum, no scatter
        once = _pick(whole, places[:period])
        shape = once.type.shape
        return _broadcast(once, len(places) // period).reshape((len(places), *shape[1:]))
    return whole[_as_slice(places, size)]


def _period(places: Any) -> int:
    """Find after how many places they begin anew, if those are no places twice; else all of them."""
    again = np.flatnonzero(places[1:] == places[0])
    period = int(again[0]) + 1 if len(again) else len(places)
    is_periodic = len(places) % period == 0 and (places.reshape(-1, period) == places[:period]).all()
    return period if is_periodic and len(set(places[:period].tolist())) == period else len(places)


def _broadcast(once: Any, times: int) -> Any:
    import pytensor.tensor as pt

    return pt.alloc(once, times, *once.type.shape)


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


def _join_operands(value: Value) -> Sequence[Value]:
    return value.inputs if hasattr(value.op, "axis") else value.inputs[1:]


def _by_group(operands: Iterable[Value]) -> list[tuple[Batch | None, list[Value]]]:
    """Put operands of one group together where there are enough of them; the others as they come."""
    alone: list[Value] = []
    whole: list[tuple[Batch | None, list[Value]]] = []
    for members in grouped((id(one.group), one) for one in operands).values():
        group = members[0].group
        if group is None or len(members) < LEAST_TOGETHER:
            alone += members
        else:
            whole.append((group, members))
    return [*whole, (None, alone)]


def _runs(operands: Iterable[Value]) -> list[tuple[Batch | None, list[Value]]]:
    """Cut operands into stretches of one group, in their order."""
    runs: list[tuple[Batch | None, list[Value]]] = []
    for one in operands:
        if runs and runs[-1][0] is one.group:
            runs[-1][1].append(one)
        else:
            runs.append((one.group, [one]))
    merged: list[tuple[Batch | None, list[Value]]] = []
    for group, members in runs:
        group = group if len(members) >= LEAST_TOGETHER else None  # noqa: PLW2901 - too short to be worth it
        if group is None and merged and merged[-1][0] is None:
            merged[-1][1].extend(members)
        else:
            merged.append((group, members))
    return merged
