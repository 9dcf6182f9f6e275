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
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from firstgrad.fast.repeats import Batch, Graph, comes_whole, join_sums, scalar_op
from firstgrad.fast.stacking import LEAST_TOGETHER, Writer
from firstgrad.grouping import grouped

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from firstgrad.fast.repeats import Value

LEAST_MEMBERS = 3
_ROUNDS = 8  # of looking for chains
_SMALL = 4  # height of a graph
_REWRITE, _FIRST = "firstgrad_batch", 0.01  # its name and place among PyTensor's rewrites


def batch(
    outputs: Sequence[Any],
    *,
    least: int = LEAST_MEMBERS,
    stack: Callable[[tuple[Any, ...]], Any] | None = None,
) -> list[Any]:
    """Return outputs that are computed with fewer, larger operations.

    Parameters
    ----------
    outputs : sequence of TensorVariable
        Such as a log-density, before anything is differentiated. Their inputs stay as they are.
    least : int
        How many operations must be alike to become one.
    stack : callable, optional
        Returns a stack of several inputs of the graph, where you have one already. Where left out, the graph stacks
        them itself.

    Returns
    -------
    list of TensorVariable
        Equal to `outputs` but for rounding, of the same types; the very same where nothing pays.
    """
    graph = Graph(outputs, instead=join_sums(outputs))
    finder = _Finder(graph, has_stacks=stack is not None)
    finder.find(least)
    return Writer(stack or (lambda _: None)).write(graph.outputs) if finder.groups else list(outputs)


def with_batching(mode: Any) -> Any:
    """Return a mode of PyTensor's that batches what it compiles, before all other rewrites.

    Where a function has a gradient already, its terms are batched with it: ``firstgrad.batch`` before the gradient is
    taken leaves less to do. ``docs/findings.md`` says what it saves with Numba and C, which is little.

    Parameters
    ----------
    mode : Mode or str
        Such as ``"NUMBA"``, ``"CVM"``. nutpie reads only the linker of a mode, so ``pm.sample`` gains by it with
        ``nuts_sampler="pymc"`` alone.

    Returns
    -------
    pytensor.compile.mode.Mode
        The same linker and rewrites, after batching.
    """
    from pytensor.compile.mode import get_mode, optdb
    from pytensor.graph import graph_rewriter

    if _REWRITE not in optdb:
        optdb.register(_REWRITE, graph_rewriter(_batch_all), position=_FIRST)
    return get_mode(mode).including(_REWRITE)


def _batch_all(fgraph: Any) -> None:
    batched = batch(fgraph.outputs)
    pairs = [(old, new) for old, new in zip(fgraph.outputs, batched, strict=True) if old is not new]
    fgraph.replace_all(pairs, reason=_REWRITE)


class _Finder:
    """Finds what is alike, and keeps what pays."""

    def __init__(self, graph: Graph, *, has_stacks: bool) -> None:
        self._graph, self._values = graph, graph.values
        inputs = [value.number for value in graph.values if value.data is None and value.variable.owner is None]
        self._side_by_side = frozenset(inputs if has_stacks else ())  # a stack of these costs no more than one of them
        self.groups: list[Batch] = []

    def find(self, least: int) -> None:
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
        candidates = self._refined(candidates, deep, least)
        while circle := self._in_circles(candidates):
            candidates = [group for group in candidates if all(group is not one for one in circle)]
        self.groups = [Batch(members) for members in candidates]
        self._join_groups()
        self._drop_what_does_not_pay(least)

    def _classes(self, links: set[int], known: Sequence[int | None] | None = None) -> list[int]:
        """Give values numbers by what they are made of, whatever variables, constants and links stand at the bottom.

        With the numbers of an earlier look, a value is told by its operation and those of its inputs; None is anything.
        So links of a chain, each of them made of all before, are found to be alike.
        """
        numbers: dict[Any, int] = {}
        classes: list[int] = []
        for value in self._values:
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
                if type(value.op).__name__ == "Subtensor" and before[value.inputs[0].number] is None:
                    parts = (("array", value.inputs[0].number), *parts[1:])  # what is taken out of one array
                exponent = value.inputs[1].number if scalar_op(value.op) == "pow" else None
                kind = (value.op, value.fold, parts, exponent, value.variable.type)
            classes.append(numbers.setdefault(kind, len(numbers)))
        return classes

    def _members(self, classes: Sequence[int], links: set[int], least: int) -> list[list[Value]]:
        members = grouped(
            (classes[value.number], value)
            for value in self._values
            if value.number not in links and value.is_batchable and any(one.data is None for one in value.inputs)
        )
        return [several for several in members.values() if len(several) >= least]

    def _in_circles(self, candidates: list[list[Value]]) -> list[list[Value]]:
        """List the candidates whose members need each other, by way of whatever: they can't be computed at once."""
        nodes = list(range(len(self._values)))
        for number, group in enumerate(candidates):
            for member in group:
                nodes[member.number] = len(self._values) + number
        edges = {(nodes[one.number], nodes[value.number]) for value in self._values for one in value.inputs}
        itself = {one for one, other in edges if one == other}
        parts = _parts(edges, len(self._values) + len(candidates), connection="strong")
        sizes = Counter(parts)
        return [
            group
            for number, group in enumerate(candidates, len(self._values))
            if number in itself or sizes[parts[number]] > 1
        ]

    def _refined(self, candidates: list[list[Value]], deep: Sequence[int], least: int) -> list[list[Value]]:
        """Part members whose inputs are made of different things, where each part is large enough by itself.

        What a logarithm is taken of stays apart in any case: PyTensor has stable forms of ``log(f(x))``, and sees them
        where nothing stands between.
        """
        in_log = {value.inputs[0].number for value in self._values if scalar_op(value.op) in ("log", "log1p")}
        self._join_groups()
        refined: list[list[Value]] = []
        for group in candidates:
            parts = [*grouped((value.number in in_log, value) for value in group).values()]
            parts = [part for part in parts if len(part) >= least]
            for position in range(len(group[0].inputs)):
                taken = ((value, value.inputs[position]) for value in group)
                made_of = {value.number: (deep[one.number], id(one.group)) for value, one in taken}
                finer = [
                    part
                    for several in parts
                    for part in grouped((made_of[value.number], value) for value in several).values()
                ]
                if all(len(part) >= least for part in finer):
                    parts = finer
            refined += parts
            for batch in map(Batch, parts):
                for member in batch.members:
                    member.group = batch  # for those that take them
        return refined

    def _join_groups(self) -> None:
        for value in self._values:
            value.group = None
        for group in self.groups:
            for place, member in enumerate(group.members):
                member.group, member.place = group, place

    def _drop_what_does_not_pay(self, least: int) -> None:
        """Drop group after group, the one that is most in the way first, then islands of groups that don't pay."""
        taking = ((one.number, value) for value in self._values for one in dict.fromkeys(value.inputs))
        users = defaultdict(list, grouped(taking))
        wanted = frozenset(output.number for output in self._graph.outputs)
        while self.groups:
            costs = _Costs(self.groups, users, wanted, self._side_by_side)
            worst = max(self.groups, key=costs.spared_without)
            if costs.spared_without(worst) <= 0:
                break
            self._drop([worst])
        costs = _Costs(self.groups, users, wanted, self._side_by_side)
        for island in _connected(self.groups):
            if costs.spared_by(island) <= 0:
                self._drop(island)
        self._release_single(users, least)

    def _release_single(self, users: Mapping[int, Sequence[Value]], least: int) -> None:
        """Take members out that nobody needs together with the others, and that little is needed for.

        It costs no node, and the others can be taken as they are, all of them.
        """
        costs = _Costs(self.groups, users, frozenset(), self._side_by_side)
        for group in reversed(self.groups):  # users first
            kept = [
                value
                for value in group.members
                if value.height > _SMALL or any(costs.takes_whole(user, group) for user in users[value.number])
            ]
            if least <= len(kept) < len(group.members):
                group.members = kept
                self._join_groups()

    def _drop(self, groups: Sequence[Batch]) -> None:
        gone = set(map(id, groups))
        self.groups = [group for group in self.groups if id(group) not in gone]
        self._join_groups()


class _Costs:
    """Counts nodes of the graph with the present groups."""

    def __init__(
        self,
        groups: Sequence[Batch],
        users: Mapping[int, Sequence[Value]],
        wanted: frozenset[int],
        side_by_side: frozenset[int],
    ) -> None:
        self._users, self._side_by_side = users, side_by_side
        self._whole: dict[tuple[int, int], bool] = {}
        self._stacks: Counter[tuple[int, ...]] = Counter()
        """Inputs that must be stacked, and by how many groups."""
        self._alone: set[int] = set()  # members that are needed by themselves
        for group in groups:
            self._stacks.update(_stacks_of(group))
            for member in group.members:
                alone = any(not self.takes_whole(user, group) for user in users[member.number])
                if alone or member.number in wanted:
                    self._alone.add(member.number)

    def takes_whole(self, user: Value, group: Batch) -> bool:
        """Tell whether a user needs no single member of a group."""
        key = id(user.group or user), id(group)
        if key not in self._whole:
            if user.group is not None:
                positions = user.group.positions()
                self._whole[key] = any(all(one.group is group for one in position) for position in positions)
            else:
                collects = bool(user.fold) or type(user.op).__name__ in ("Join", "MakeVector")
                self._whole[key] = collects and sum(one.group is group for one in user.inputs) >= LEAST_TOGETHER
        return self._whole[key]

    def spared_without(self, group: Batch) -> int:
        """How many nodes fewer there were without a group."""
        spared = 1 - len(group.members) + sum(member.number in self._alone for member in group.members)
        spared += sum(self._price(stack) for stack in _stacks_of(group) if self._stacks[stack] == 1)
        needing = {
            id(user.group): user.group for one in group.members for user in self._users[one.number] if user.group
        }
        for other in needing.values():
            for position in other.positions():
                if all(one.group is group for one in position) and any(one is not position[0] for one in position):
                    spared -= self._price([one.number for one in position])
        givers = {
            one.number for position in group.positions() if comes_whole(position) for one in position if one.group
        }
        return spared - len(givers - self._alone)

    def spared_by(self, groups: Sequence[Batch]) -> int:
        """How many nodes fewer there are by some groups that give to no other ones and take from none."""
        stacks = {stack for group in groups for stack in _stacks_of(group)}
        spared = sum(len(group.members) - 1 for group in groups)
        alone = sum(member.number in self._alone for group in groups for member in group.members)
        return spared - alone - sum(map(self._price, stacks))

    def _price(self, stack: Collection[int]) -> int:
        return 1 if self._side_by_side.issuperset(stack) else 1 + len(stack)


def _stacks_of(group: Batch) -> set[tuple[int, ...]]:
    return {tuple(one.number for one in position) for position in group.positions() if not comes_whole(position)}


def _connected(groups: Sequence[Batch]) -> list[list[Batch]]:
    """Put groups together that give to each other."""
    number = {group: place for place, group in enumerate(groups)}
    givers = {(one.group, group) for group in groups for value in group.members for one in value.inputs if one.group}
    parts = _parts({(number[one], number[other]) for one, other in givers}, len(groups), connection="weak")
    return [*grouped((parts[place], group) for place, group in enumerate(groups)).values()]


def _parts(edges: Collection[tuple[int, int]], size: int, connection: Literal["weak", "strong"]) -> list[int]:
    """Give nodes numbers, equal for those that edges connect."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    begins, ends = zip(*edges, strict=True) if edges else ((), ())
    matrix = coo_array((np.ones(len(edges)), (begins, ends)), shape=(size, size))
    return connected_components(matrix, directed=True, connection=connection)[1].tolist()
