"""Live news from within rewriting, by PyTensor's public door for extra rewrites; nothing is patched.

Rewrites that change nothing are registered between the passes of a mode. They tell which pass comes next
and when rewriting ends. Seconds of each pass come from PyTensor's own profile.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytensor.graph.rewriting.basic import GraphRewriter

from firstgrad.record import RewritePass

if TYPE_CHECKING:
    from firstgrad.backends.base import Hooks

_BEFORE_ALL, _AFTER_ALL = -1e6, 1e6
_JUST_BEFORE = 1e-7


class _Sequence:
    """State that the marks of one mode share; `start` makes it ready for the next compile."""

    def __init__(self) -> None:
        self.hooks: Hooks | None = None
        self.graph_id: int | None = None
        self.ended = False

    def start(self, hooks: Hooks) -> None:
        self.hooks, self.graph_id, self.ended = hooks, None, False

    def is_outer(self, fgraph: Any) -> bool:
        """Whether a graph is the compile's own: inner graphs (of a Scan) pass through the same rewrites."""
        return not self.ended and self.graph_id == id(fgraph)


class _Mark(GraphRewriter):  # type: ignore[misc]  # PyTensor has no types
    """A rewrite that changes nothing."""

    def __init__(self, sequence: _Sequence, text: str = "", number: int = 0, total: int = 0) -> None:
        super().__init__()
        self._sequence, self._text, self._number, self._total = sequence, text, number, total

    def add_requirements(self, fgraph: Any) -> None:
        """Need nothing."""

    def apply(self, fgraph: Any) -> None:
        """Tell which pass comes next."""
        if self._sequence.hooks is not None and self._sequence.is_outer(fgraph):
            self._sequence.hooks.passing(self._text, self._number, self._total, len(fgraph.apply_nodes))


class _FirstMark(_Mark):
    def apply(self, fgraph: Any) -> None:
        if self._sequence.hooks is not None and self._sequence.graph_id is None:
            self._sequence.graph_id = id(fgraph)


class _LastMark(_Mark):
    def apply(self, fgraph: Any) -> None:
        if self._sequence.hooks is not None and self._sequence.is_outer(fgraph):
            self._sequence.ended = True
            self._sequence.hooks.rewrite_ended()


class MarkedMode:
    """A copy of a mode that does the same rewrites, with marks before, between and after them.

    Making it asks PyTensor's database for the passes, which takes a moment, so it is made before the clock
    starts and used for every compile of the process.

    Parameters
    ----------
    mode : pytensor.compile.mode.Mode
        Not changed.
    """

    def __init__(self, mode: Any) -> None:
        self._sequence = sequence = _Sequence()
        passes = [each for each in mode.optimizer.data if getattr(each, "name", None)]
        positions = mode.optdb.__position__
        marks: list[tuple[_Mark, float]] = [
            (_FirstMark(sequence), _BEFORE_ALL),
            (_LastMark(sequence), _AFTER_ALL),
        ]
        for number, each in enumerate(passes, start=1):
            if each.name in positions:
                mark = _Mark(sequence, each.name, number, len(passes))
                marks.append((mark, positions[each.name] - _JUST_BEFORE))
        self._mode = mode.register(*marks)

    def with_hooks(self, hooks: Hooks) -> Any:
        """Return the marked mode; its marks call `hooks` during the next compile.

        Returns
        -------
        pytensor.compile.mode.Mode
        """
        self._sequence.start(hooks)
        return self._mode


def read_passes(profile: Any) -> tuple[RewritePass, ...]:
    """Read the named passes of a finished rewrite from PyTensor's profile.

    Parameters
    ----------
    profile : pytensor.compile.ProfileStats
        Of a compile under ``profile_optimizer=True``.

    Returns
    -------
    tuple of RewritePass
        In order, without the marks; empty where PyTensor left no profile.
    """
    if not profile.rewriter_profile:
        return ()
    details = profile.rewriter_profile[1]
    rewriters, seconds, nodes = details[0].data, details[1], details[8]
    return tuple(
        RewritePass(
            name=str(rewriter.name or type(rewriter).__name__),
            wall_seconds=float(spent),
            nodes_before=int(counts[0]),
            nodes_after=int(counts[1]),
        )
        for rewriter, spent, counts in zip(rewriters, seconds, nodes, strict=True)
        if not isinstance(rewriter, _Mark)
    )
