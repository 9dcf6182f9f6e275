"""How many nodes are of each of the user's lines: in the density, in the gradient, and after rewriting."""

from __future__ import annotations

from collections import defaultdict
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from firstgrad.observe import probes
from firstgrad.observe.events import LineNodes, SourceFile
from firstgrad.observe.lines import NodeLines, deep_traces, walk
from firstgrad.phase import Phase

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from types import FrameType

    from firstgrad.observe.events import CodeLine, LineShares

_LONGEST_SOURCE = 500_000  # characters

type Counts = dict[int, float]
"""By the place of a line in `LineCounter.report`; the first place is that of no line."""


class LineCounter(NodeLines):
    """Counts nodes by line in a compile that it follows; a node of several lines is split between them."""

    def __init__(self) -> None:
        super().__init__(None)
        self._places: dict[CodeLine | None, int] = {None: 0}
        self._density: Counts = _counts()
        self._before: Counts = _counts()
        self._changed: defaultdict[str, Counts] = defaultdict(_counts)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Follow what the block builds, writes, differentiates and compiles."""
        with deep_traces(), self.following():
            yield

    def wrote(self, phase: Phase, model: Any, graph: Any) -> None:
        """Count the graph that a phase wrote."""
        if phase is Phase.LOGP_GRAPH:
            self.model = model
            self.mark_density(graph)
            self._density = self._count(walk(_listed(graph)))
        else:
            nodes = list(walk(_listed(graph)))
            self.fill(nodes)
            self._before = self._count(nodes)
            self._changed.clear()

    def shares(self, chains: Iterable[Sequence[Any]]) -> LineShares:
        """Say of which lines some nodes are, each given with those around it: the innermost that has a line counts."""
        count = _counts()
        nodes = [next((node for node in chain if self.of(node)), chain[0]) for chain in chains if chain]
        for node in nodes:
            for place, part in self._parts(node):
                count[place] += part / len(nodes)
        return tuple(sorted(count.items()))

    def changed(self, rewriter: str) -> LineShares:
        """Say of which lines the nodes were that a rewriter replaced, as parts of all of them that have one."""
        count = self._changed.get(rewriter, {})
        return tuple((place, part / sum(count.values())) for place, part in sorted(count.items()))

    def report(self, compiled: Iterable[Any]) -> tuple[LineNodes, ...]:
        """Count the nodes that are left after rewriting, too; the first entry is what is of no line."""
        compiled = list(walk(output for node in compiled for output in node.outputs))
        self.fill(compiled)
        after = self._count(compiled)
        operations = _counts()
        for node in compiled:
            size = _operations(node.op)
            for place, part in self._parts(node):
                operations[place] += part * size
        return tuple(
            LineNodes(
                line=line,
                density=self._density[place],
                before=self._before[place],
                after=after[place],
                operations=operations[place],
            )
            for line, place in self._places.items()
        )

    def sources(self) -> tuple[SourceFile, ...]:
        """Read the files that the lines are of."""
        import linecache

        files = dict.fromkeys(line.file for line in self._places if line is not None)
        texts = {file: "".join(linecache.getlines(file)) for file in files}
        return tuple(SourceFile(file=file, text=text) for file, text in texts.items() if len(text) < _LONGEST_SOURCE)

    def _parts(self, node: Any) -> list[tuple[int, float]]:
        lines: list[CodeLine | None] = [origin[0] for origin in self.origins(node)] or [None]
        return [(self._places.setdefault(line, len(self._places)), 1 / len(lines)) for line in lines]

    def _count(self, nodes: Iterable[Any]) -> Counts:
        count = _counts()
        for node in nodes:
            for place, part in self._parts(node):
                count[place] += part
        return count

    def _on_change(self, frame: FrameType) -> None:
        change = frame.f_locals
        replaced = change["node"].inputs[change["i"]].owner
        if replaced is not None and change["reason"] is not None and self.of(replaced):
            reason = change["reason"]
            name = probes.rewriter_name(reason) or str(reason)
            for place, part in self._parts(replaced):
                self._changed[name][place] += part
        super()._on_change(frame)


def _counts() -> Counts:
    return defaultdict(float)


def _listed(graph: Any) -> Sequence[Any]:
    return graph if isinstance(graph, (list, tuple)) else [graph]


def _operations(op: Any) -> int:
    """Count the operations within one: those that were fused, or those of a loop's body."""
    inner = getattr(op, "fgraph", None) or getattr(getattr(op, "scalar_op", None), "fgraph", None)
    return max(len(getattr(inner, "apply_nodes", ())), 1)
