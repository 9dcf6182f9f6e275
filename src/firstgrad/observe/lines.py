"""Which of the user's lines a node of a graph is of.

PyTensor keeps the stack that made a variable, as far as ``traceback__limit`` says. What PyMC makes (densities,
transforms, Jacobians) has the line of the variable whose it is; a node of a gradient that of the node whose derivative
it is a part of. Both are written beside the stack that is there, so that clones and rewrites carry them on.
"""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from firstgrad.errors import UnavailableError
from firstgrad.observe import probes
from firstgrad.observe.calls import FunctionEvents
from firstgrad.observe.events import CodeLine
from firstgrad.observe.stacks import is_of, is_users_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from types import FrameType

FRAMES = 24
"""How many frames PyTensor is to keep: of the eight that it keeps by default, PyMC's own may take all."""
_OWN = str(Path(__file__).parents[1])
_POSE = str(Path(__file__).parents[1] / "pose")
_TERM = "_logprob"  # how PyMC ends the names of a log-density's terms, which begin with that of the value
_SEVERAL = object()
_MOST_REPLACED, _MOST_ORIGINS = 1000, 20

type Frame = tuple[str, int, str, str | None]
type Stack = list[Frame]


@contextmanager
def deep_traces() -> Iterator[None]:
    """Have PyTensor keep more of the stack of all that is made within, unless the user asks for as much.

    A node then takes some 20 microseconds longer to make: not for measuring.
    """
    config = probes.PYTENSOR_CONFIG.find()
    limit = config.traceback__limit
    with config.change_flags(traceback__limit=limit if limit < 0 else max(limit, FRAMES)):
        yield


class NodeLines:
    """The user's lines of a model's graphs.

    Within `following`, the model's log-density is written, differentiated and compiled; between the first two,
    `mark_density` is told of it. What is made outside has the lines that its stacks tell.

    Parameters
    ----------
    model
        The `pm.Model`.
    logp
        Its log-density or the terms of it, where they are there already.
    """

    def __init__(self, model: Any, logp: Any = None) -> None:
        self.model = model
        self._read: dict[int, tuple[Any, tuple[CodeLine, ...]]] = {}
        self._known: set[Any] = set()  # nodes that gradients were asked of, and those of gradients
        self.problems: list[str] = []
        if logp is not None:
            self.mark_density(logp)

    def of(self, thing: Any) -> tuple[CodeLine, ...]:
        """Return the user's frames that made a node or variable, innermost first; () where there is none."""
        return next(iter(self.origins(thing)), ())

    def origins(self, thing: Any) -> tuple[tuple[CodeLine, ...], ...]:
        """Return the frames of all that became this node: one that a rewrite fused has several, some more than once."""
        return tuple(filter(None, map(self._frames, _traces(thing))))

    def _stacks(self, thing: Any) -> list[Stack]:
        """Choose those stacks of a node or variable that have a line of the user's."""
        return list(islice((trace for trace in _traces(thing) if self._frames(trace)), _MOST_ORIGINS))

    def is_own(self, thing: Any) -> bool:
        """Whether the user's own code made it, with nothing but PyTensor between."""
        return any(is_own_trace(trace) for trace in _traces(thing))

    def share(self, nodes: Iterable[Any]) -> float:
        """Compute which part of some nodes has a line."""
        count = Counter(bool(self.of(node)) for node in nodes)
        return count[True] / max(count.total(), 1)

    def _frames(self, trace: Stack) -> tuple[CodeLine, ...]:
        """Choose the user's frames of a stack; many variables share one."""
        known = self._read.get(id(trace))
        if known is None:
            known = self._read[id(trace)] = trace, users_frames(trace)
        return known[1]

    @contextmanager
    def following(self) -> Iterator[None]:
        """Mark what rewrites put in the place of something, and the nodes of gradients, as they are made within."""
        events = FunctionEvents()
        try:
            events.watch(probes.CHANGE_OF_GRAPH.find(), started=self._on_change)
            events.watch(probes.gradient_step(), returned=self._on_gradient)
        except UnavailableError as error:
            self.problems.append(str(error))
        try:
            with events:
                yield
        finally:
            self.problems += events.problems

    def _on_change(self, frame: FrameType) -> None:
        """Mark the nodes that are new to a graph by those that they come in the place of."""
        change = frame.f_locals
        graph, replacement = change["self"], change["new_var"]
        new = [node for node in walk([replacement], graph.apply_nodes) if not self.of(node)]
        replaced = change["node"].inputs[change["i"]].owner if new else None
        if replaced is None:
            return
        # What is between the place and the inputs of what comes there: a fused node stands for many.
        kept = {one.owner for node in new for one in node.inputs if one.owner is not None}
        between = list(islice(walk(replaced.outputs[:1], kept), _MOST_REPLACED + 1))
        if len(between) > _MOST_REPLACED:
            between = [replaced]
        alike: dict[Any, list[Stack]] = {}
        for one in between:
            alike.setdefault(one.op, []).extend(self._stacks(one))
        every = [stack for stacks in alike.values() for stack in stacks]
        thin = {op: _thin(stacks or every) for op in {node.op for node in new} for stacks in [alike.get(op)]}
        for node in new:
            is_same = node is replacement.owner and node.op == replaced.op
            _mark(node, (self._stacks(replaced) if is_same else None) or thin[node.op])

    def _on_gradient(self, frame: FrameType, terms: Any) -> None:
        """Mark the nodes of a part of a derivative by the node that was asked for it."""
        node = frame.f_locals["node"]
        if node not in self._known:
            forward = list(walk(node.outputs, self._known))
            self.fill(forward)
            self._known.update(forward)
        stacks = self._stacks(node)
        for one in list(walk(terms, self._known)):
            self._known.add(one)
            if not self.of(one):
                _mark(one, stacks)

    def mark_density(self, logp: Any) -> None:
        """Mark what PyMC wrote of a log-density, or of its terms.

        By the one term that needs it; what more than one thing needs, by the variable from whose value it is made.
        """
        values = {self.model.rvs_to_values[rv]: rv for rv in self.model.basic_RVs}
        terms = {f"{value.name}{_TERM}": rv for value, rv in values.items()}
        nodes = list(walk(logp if isinstance(logp, (list, tuple)) else [logp]))
        made_from = self._made_from(nodes, list(values))
        needed_by: dict[Any, Any] = {}
        for node in reversed(nodes):
            near = (terms.get(str(output.name), needed_by.get(output)) for output in node.outputs)
            owners = list({id(owner): owner for owner in near if owner is not None}.values())
            owner = owners[0] if len(owners) == 1 else _SEVERAL if owners else None
            if self._stacks(node):
                owner = _SEVERAL
            else:
                whose = values.get(made_from.get(node.outputs[0])) if owner is _SEVERAL else owner
                _mark(node, [] if whose is None else self._stacks(whose))
            for one in node.inputs:
                if owner is not None and one.owner is not None:
                    needed_by[one] = owner if needed_by.get(one, owner) is owner else _SEVERAL
        self.fill(nodes)

    def _made_from(self, nodes: Sequence[Any], values: Sequence[Any]) -> dict[Any, Any]:
        """Find of each variable the last value that it is made from, if nothing of the user's own is between."""
        places = {value: place for place, value in enumerate(values)}
        is_users = set[Any]()
        for node in nodes:
            last = max((places.get(one, -1) for one in node.inputs), default=-1)
            places |= dict.fromkeys(node.outputs, last)
            if self._stacks(node) or not is_users.isdisjoint(node.inputs):
                is_users.update(node.outputs)
        return {one: values[place] for one, place in places.items() if place >= 0 and one not in is_users}

    def fill(self, nodes: Sequence[Any]) -> None:
        """Give what still has no line that of its inputs, where these agree, or else of what needs it."""
        needed_by: dict[Any, list[Stack]] = {}
        for node in nodes:
            if not (own := self._stacks(node)):
                near = [stacks for one in node.inputs if one.owner is not None and (stacks := self._stacks(one))]
                own = near[0] if len({self._frames(stacks[0]) for stacks in near}) == 1 else []
                _mark(node, own)
            needed_by.update((one, own) for one in node.inputs if own)
        for node in reversed(nodes):
            if not self._stacks(node):
                own = next((needed_by[one] for one in node.outputs if one in needed_by), [])
                _mark(node, own)
                needed_by.update((one, own) for one in node.inputs if own)


def walk(
    variables: Iterable[Any], known: Any = (), *, follow: Callable[[Iterable[Any]], Iterable[Any]] = iter
) -> Iterator[Any]:
    """Yield the nodes that variables are made by, each after those of its inputs, up to those that are known.

    `follow` says which variables are gone into, the last one first.
    """
    seen: set[Any] = set()
    waiting = [(one.owner, False) for one in follow(variables) if one.owner is not None]
    while waiting:
        node, is_done = waiting.pop()
        if is_done:
            yield node
        elif node not in seen and node not in known:
            seen.add(node)
            waiting.append((node, True))
            waiting += [(one.owner, False) for one in follow(node.inputs) if one.owner is not None]


def reach(
    nodes: Iterable[Any], begun: Mapping[Any, int], own: Mapping[Any, int] = MappingProxyType({})
) -> dict[Any, int]:
    """Carry bits from variables, and from nodes that have `own` ones, to all variables that are made of them."""
    reached = dict(begun)
    for node in nodes:
        bits = own.get(node, 0)
        for variable in node.inputs:
            bits |= reached.get(variable, 0)
        reached.update(dict.fromkeys(node.outputs, bits))
    return reached


def _mark(node: Any, stacks: Sequence[Stack]) -> None:
    """Write other stacks beside those that made a node."""
    for output in node.outputs if stacks else ():
        output.tag.trace = [*_traces(output), *stacks]


def _thin(stacks: Sequence[Stack]) -> list[Stack]:
    """Keep the shares of many stacks with few: of one only one, of several about as many as they are parts."""
    count, known = Counter(map(id, stacks)), {id(stack): stack for stack in stacks}
    scale = min(1.0, _MOST_ORIGINS / count.total()) if len(count) > 1 else 0.0
    return [known[key] for key, times in count.most_common() for _ in range(max(round(times * scale), 1))]


def users_frames(trace: Iterable[Frame]) -> tuple[CodeLine, ...]:
    """Choose the user's frames of a stack, innermost first, up to firstgrad's, a rewrite, or PyMC's `Model.logp`."""
    lines = []
    for file, line, function, text in reversed(list(trace)):
        is_pose = file.startswith(_POSE)
        if (file.startswith(_OWN) and not is_pose) or probes.derives_graphs(file, function):
            break
        if is_pose or is_users_file(file):
            lines.append(CodeLine(file=file, line=line, function=function, text=text or ""))
    return tuple(lines)


def is_own_trace(trace: Sequence[Frame]) -> bool:
    """Whether the innermost frame of a stack that isn't PyTensor's is the user's."""
    inner = next((frame for frame in reversed(trace) if not is_of(frame[0], "pytensor")), None)
    return inner is not None and bool(users_frames([inner]))


def _traces(thing: Any) -> list[Stack]:
    """Read the stacks that PyTensor kept of a node or variable, innermost frame last."""
    variable = thing.outputs[0] if hasattr(thing, "outputs") else thing
    traces = getattr(variable.tag, "trace", None) or []
    if traces and isinstance(traces[0], tuple):
        traces = [traces]
    return [trace for trace in traces if trace]
