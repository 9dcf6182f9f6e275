"""What PyTensor's rewriting tells: live, by marks between its passes; afterwards, from the profile that it keeps.

Marks are rewrites that change nothing, registered by PyTensor's public door for extra ones. The profile is made of
tuples whose places are PyTensor's own business: what a release has otherwise is left out, with the reason.
"""

from __future__ import annotations

import functools
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any

from firstgrad.observe import probes
from firstgrad.observe.events import NodeTypeCount, RewriterTime
from firstgrad.record import RewritePass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from firstgrad.observe.events import LineShares

_BEFORE_ALL, _AFTER_ALL = -1e6, 1e6
_JUST_BEFORE = 1e-7
_IS_MARK = "is_firstgrad_mark"


class MarkedMode:
    """A copy of a mode that does the same rewrites, with marks before, between and after them.

    Making it takes a moment, so one is made before the clock starts and used for every compile of the process.
    `nodes_before` counts the graph whose rewriting began last.
    """

    def __init__(self, mode: Any) -> None:
        self.nodes_before = 0
        self.unavailable: tuple[str, ...] = ()
        self._hooks: Any = None
        self._graph_id: int | None = None
        self._has_ended = False
        mark = _mark_class()
        marks = [(mark(self._begin), _BEFORE_ALL), (mark(self._end), _AFTER_ALL)]
        try:
            passes = probes.pass_positions(mode)
        except Exception as error:  # noqa: BLE001 - a database of another shape costs the news, not the compile
            passes = ()
            self.unavailable = (f"passes as they begin: {type(error).__name__}: {error}",)
        marks += [
            (mark(functools.partial(self._pass_begins, name, number, len(passes))), position - _JUST_BEFORE)
            for number, (name, position) in enumerate(passes, start=1)
            if position is not None
        ]
        self._mode = mode.register(*marks)

    def with_hooks(self, hooks: Any) -> Any:
        """Return the marked mode; its marks tell `hooks` of the next compile."""
        self._hooks, self._graph_id, self._has_ended, self.nodes_before = hooks, None, False, 0
        return self._mode

    def _begin(self, fgraph: Any) -> None:
        if self._hooks is not None and self._graph_id is None:
            self._graph_id, self.nodes_before = id(fgraph), len(fgraph.apply_nodes)

    def _pass_begins(self, name: str, number: int, total: int, fgraph: Any) -> None:
        if self._is_outer(fgraph):
            self._hooks.passing(name, number, total, len(fgraph.apply_nodes))

    def _end(self, fgraph: Any) -> None:
        if self._is_outer(fgraph):
            self._has_ended = True
            self._hooks.rewrite_ended()

    def _is_outer(self, fgraph: Any) -> bool:
        """Whether a graph is the compile's own: inner graphs (of a Scan) pass through the same rewrites."""
        return self._hooks is not None and not self._has_ended and self._graph_id == id(fgraph)


@functools.cache
def _mark_class() -> Any:
    # Within: PyTensor is imported when a mode is marked, not when this module is.
    rewriter_class = probes.GRAPH_REWRITER.find()

    class Mark(rewriter_class):  # type: ignore[misc, valid-type]  # PyTensor has no types
        """A rewrite that changes nothing."""

        def __init__(self, tell: Callable[[Any], None]) -> None:
            super().__init__()
            self._tell = tell

        def add_requirements(self, fgraph: Any) -> None:
            """Need nothing."""

        def apply(self, fgraph: Any) -> None:
            """Tell that this place is reached."""
            self._tell(fgraph)

    setattr(Mark, _IS_MARK, True)
    return Mark


def read_passes(profile: Any) -> tuple[tuple[RewritePass, ...], tuple[str, ...]]:
    """Read the named passes of a rewrite from PyTensor's profile, in order; and what can't be read, and why."""
    try:
        passes, nodes = probes.profiled_passes(profile), probes.profiled_nodes(profile)
        return tuple(
            RewritePass(
                name=str(getattr(rewriter, "name", None) or type(rewriter).__name__),
                wall_seconds=float(spent),
                nodes_before=before,
                nodes_after=after,
            )
            for (rewriter, spent, _), (before, after) in zip(passes, nodes, strict=True)
            if not hasattr(rewriter, _IS_MARK)
        ), ()
    except Exception as error:  # noqa: BLE001 - tuples of another shape cost the passes, not the sample
        return (), (f"passes: PyTensor's profile has another shape ({type(error).__name__}: {error})",)


def read_rewriters(profile: Any, lines_of: Callable[[str], LineShares] = lambda _: ()) -> tuple[RewriterTime, ...]:
    """Read what each rewriter of each pass took, those that took any time or changed anything, slowest first.

    A rewriter that runs others is replaced by those, so that nothing is counted twice. `lines_of` says of which lines
    the nodes were that a rewriter of this name replaced.
    """
    seconds: defaultdict[tuple[str, str], float] = defaultdict(float)
    applied: Counter[tuple[str, str]] = Counter()
    for rewriter, spent, inner in probes.profiled_passes(profile):
        parts = () if hasattr(rewriter, _IS_MARK) else _split(rewriter, float(spent), inner)
        for name, took, times in parts:
            seconds[name_rewriter(rewriter), name] += took
            applied[name_rewriter(rewriter), name] += times
    times_taken = [
        RewriterTime(
            name=name,
            pass_name=pass_name,
            wall_seconds=took,
            applied=applied[pass_name, name],
            lines=lines_of(name) if applied[pass_name, name] else (),
        )
        for (pass_name, name), took in seconds.items()
        if took > 0 or applied[pass_name, name]
    ]
    return tuple(sorted(times_taken, key=lambda one: -one.wall_seconds))


def _split(rewriter: Any, spent: float, profile: Any) -> Iterator[tuple[str, float, int]]:
    """Yield name, seconds and applications of what one rewriter consists of, itself where it is one piece."""
    parts = probes.profiled_parts(rewriter, profile)
    if parts is None:
        yield name_rewriter(rewriter), spent, 0
        return
    for part, took, times, inner in parts:
        seconds = spent if took is None else float(took)
        if inner is None:
            yield name_rewriter(part), seconds, times
        else:
            yield from _split(part, seconds, inner)


def name_rewriter(rewriter: Any) -> str:
    """Name a rewriter, or a pass: by its type where it has no name of its own."""
    return probes.rewriter_name(rewriter) or type(rewriter).__name__


def count_node_types(graph: Any, after: Iterable[tuple[str, int]]) -> tuple[NodeTypeCount, ...]:
    """Count a graph's nodes by type of operation, most frequent first; `after` is the same after rewriting."""
    before: Counter[str] = Counter()
    waiting, seen = list(graph) if isinstance(graph, (list, tuple)) else [graph], set[int]()
    while waiting:
        node = getattr(waiting.pop(), "owner", None)
        if node is None or id(node) in seen:
            continue
        seen.add(id(node))
        before[type(node.op).__name__] += 1
        waiting += node.inputs
    left = dict(after)
    counts = [NodeTypeCount(name=name, before=before[name], after=left.get(name, 0)) for name in {**before, **left}]
    return tuple(sorted(counts, key=lambda count: (-count.after, -count.before, count.name)))
