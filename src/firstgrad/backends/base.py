"""What a backend is: the stages between a model and its gradient, each callable on its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy as np
    from numpy.typing import NDArray

    from firstgrad.case import BackendName, ExternalModel, Target
    from firstgrad.points import Group, Point
    from firstgrad.record import RewritePass
    from firstgrad.spec import PoseSpec


@dataclass(frozen=True, slots=True)
class BuiltModel:
    """A built model.

    Attributes
    ----------
    model : object
        The backend's own model object.
    initial : Point, optional
        The start point, where the factory gave one.
    is_own : bool
        Whether it is the user's own model.
    """

    model: Any
    initial: Point | None
    is_own: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """What one call returned, waited for and in float64.

    Attributes
    ----------
    gradient : array, shape (n_values,)
        The flat gradient.
    logp : float, optional
        The log-density; none where the target is the gradient alone.
    """

    gradient: NDArray[np.float64]
    logp: float | None = None


@dataclass(frozen=True, slots=True)
class Hooks:
    """What a compile calls on its way.

    Attributes
    ----------
    rewrite_ended
        Called once, after the last rewrite pass.
    passing
        Called before a rewrite pass with its name, its number from 1, how many there are, and the nodes now.
    """

    rewrite_ended: Callable[[], None]
    passing: Callable[[str, int, int, int], None]


@dataclass(frozen=True, slots=True)
class Compiled:
    """A compiled function and what its compile told.

    Attributes
    ----------
    call : callable
        From a point to an `Answer`; returns only when the result is there.
    nodes_before, nodes_after : int
        Graph nodes before and after rewriting.
    nodes_by_type : tuple of (str, int)
        After rewriting, most frequent first.
    rewrite_passes : tuple of RewritePass
        In order.
    before_rewrite_link_seconds : float
        Part of linking that runs before rewriting (PyTensor scans the C cache there).
    rewriting_seconds, linker_seconds : float, optional
        The compiler's own account.
    stats : object, optional
        The compiler's own profile of this compile, for whoever wants more of it.
    """

    call: Callable[[Mapping[str, NDArray[np.float64]]], Answer]
    nodes_before: int = 0
    nodes_after: int = 0
    nodes_by_type: tuple[tuple[str, int], ...] = ()
    rewrite_passes: tuple[RewritePass, ...] = ()
    before_rewrite_link_seconds: float = 0.0
    rewriting_seconds: float | None = None
    linker_seconds: float | None = None
    stats: Any = None


class Backend(Protocol):
    """The stages of one measurement, in the order in which they are called."""

    name: BackendName

    def require(self) -> None:
        """Raise `BackendUnavailable` where a package or compiler is missing."""

    def import_modules(self) -> None:
        """Import all that a compile would import later, and build the toolchain's own helpers."""

    def load(self, model: PoseSpec | ExternalModel) -> Callable[[], BuiltModel]:
        """Make all ready that the factory needs (data, or the user's file) and return the factory."""

    def groups(self, built: BuiltModel, point: Point) -> tuple[Group, ...]:
        """List the groups, in the order of the flat gradient; discrete variables are none."""

    def start_point(self, built: BuiltModel) -> Point:
        """Find a start point for a model whose factory gave none."""

    def logp_graph(self, built: BuiltModel) -> Any:
        """Write the graph of the log-density."""

    def grad_graph(self, built: BuiltModel, logp: Any, target: Target) -> Any:
        """Write the graph of the target."""

    def compile(self, built: BuiltModel, graph: Any, target: Target, hooks: Hooks) -> Compiled:
        """Rewrite and link."""

    def logp_terms(self, built: BuiltModel) -> Callable[[Point], dict[str, float]]:
        """Make the log-density callable without the compiled function and without a compiler; slow.

        Its terms go by the name of the variable or potential; `firstgrad.points.add_terms` adds them up.
        """

    def compiled_units(self) -> int:
        """How many C modules or jitted functions this process has compiled so far."""

    def tell_units(self, tell: Callable[[int], None]) -> None:
        """Have `tell` called with that number, more or less, whenever a unit's compile begins."""
