"""What a backend is: its facts, readable without importing what it compiles with, and the stages of a measurement."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    import numpy as np
    from numpy.typing import NDArray

    from firstgrad.agreement import LocalDerivative
    from firstgrad.case import BackendName, Case, Sampler, Target
    from firstgrad.model import Model
    from firstgrad.observe.disk_cache import CacheEntry
    from firstgrad.phase import Phase
    from firstgrad.points import Group, Point
    from firstgrad.pose.data import PoseData
    from firstgrad.pose.spec import PoseSpec
    from firstgrad.record import DrawCheck, Origin, Pace, RewritePass, WrongDerivative


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendFacts:
    """All that the rest of firstgrad must know of a backend: what needs a fact of one takes it from here."""

    name: BackendName
    compiler: BackendName  # whose compiler it takes: its own name, or that of the backend to which it is a further way
    colour: str  # in figures; of Okabe's and Ito's palette
    marker: str  # in figures: Matplotlib's letter for a shape, so that none is told by its colour alone
    mode: tuple[str, ...] = ()
    """PyTensor's name of the mode, or linker and rewrites; () where the backend makes its own."""
    package: str = ""  # what Python imports and an installer installs; '' where there is none
    programs: tuple[str, ...] = ()  # one of them must be there
    missing: str = ""  # what to call it where it is missing
    install: str = ""  # the command that installs it
    cache_entries: tuple[CacheEntry, ...] = ()  # in its cache, each one compiled unit
    variables: Mapping[str, str] = field(default_factory=dict)
    """A worker's environment, with ``{caches}`` for the private folder and ``{threads}``."""
    default_variables: Mapping[str, str] = field(default_factory=dict)  # the same, where the user has set nothing else
    options: tuple[str, ...] = ()  # the user's variables that change what its compiler makes
    platform_variable: str = ""
    """The one of them that names the platform it runs on; '' where that is always the processor."""
    keeps: str = ""  # what a user's own warm cache needs
    has_cache: bool = True  # whether a compile writes to one
    keeps_all: bool = True  # whether every compile does: of some models firstgrad's own ways keep nothing

    @property
    def is_real(self) -> bool:
        """Whether it compiles anything."""
        return bool(self.package or self.programs)


@dataclass(frozen=True, slots=True)
class OracleAnswer:
    """What a model's oracle says of one point, by means of its own."""

    logp: float | None
    """Every constant and every Jacobian included, as PyMC has it; None where the oracle knows the gradient alone."""
    gradient: Mapping[str, NDArray[np.float64]]  # by the names that the point has
    rounding: float = 0.0  # absolute difference of a gradient value that the oracle's own arithmetic explains


type Oracle = Callable[[Point], OracleAnswer]


@dataclass(frozen=True, slots=True)
class BuiltModel:
    """A built model."""

    model: Any  # the backend's own model object
    initial: Point | None  # the start point, where the factory gave one
    is_own: bool = False  # whether it is the user's own model
    oracle: Oracle | None = None
    note: str = ""  # how far a script was run, where the model is a script's


@dataclass(frozen=True, slots=True)
class Answer:
    """What one call returned, waited for and in float64."""

    gradient: NDArray[np.float64]  # flat
    logp: float | None = None  # none where the target is the gradient alone


@dataclass(frozen=True, slots=True)
class DeviceAccess:
    """What can be asked of the device that compiled functions run on."""

    memory: Callable[[], Mapping[str, int]]  # JAX's statistics: ``bytes_in_use`` and the like; empty where it has none
    send: Callable[[Any], int]  # bring a point's inputs there; returns their bytes
    fetch: Callable[[Any], int]  # bring a result to NumPy; returns its bytes


@dataclass(frozen=True, slots=True)
class Hooks:
    """What a compile calls on its way."""

    rewrite_ended: Callable[[], None]  # once, after the last rewrite pass
    passing: Callable[[str, int, int, int], None]
    """Before a rewrite pass, with its name, its number from 1, how many there are, and the nodes now."""


@dataclass(frozen=True, slots=True)
class Compiled:
    """A compiled function and what its compile told."""

    call: Callable[[Mapping[str, NDArray[np.float64]]], Answer]  # returns only when the result is there
    left: Callable[[Mapping[str, NDArray[np.float64]]], Any] | None = None
    """The same, but the result is left where it was computed; none where it is in NumPy anyway."""
    inputs: Callable[[Mapping[str, NDArray[np.float64]]], Any] = dict  # what of a point is brought there
    nodes_before: int = 0
    nodes_after: int = 0
    nodes: tuple[Any, ...] = ()  # those after rewriting
    nodes_by_type: tuple[tuple[str, int], ...] = ()  # after rewriting, most frequent first
    rewrite_passes: tuple[RewritePass, ...] = ()
    before_rewrite_link_seconds: float = 0.0
    """Part of linking that runs before rewriting (PyTensor scans the C cache there)."""
    rewriting_seconds: float | None = None
    linker_seconds: float | None = None  # this and the above: the compiler's own account
    stats: Any = None  # the compiler's own profile of this compile, for whoever wants more of it
    kept: str = ""  # of firstgrad's own executable: whether it was loaded or kept, or why not
    unavailable: tuple[str, ...] = ()  # what this release doesn't tell, each with the reason


class Explainer(Protocol):
    """What can be told of a model's log-density without the compiled function."""

    @property
    def random_operations(self) -> tuple[str, ...]:
        """Operations that draw anew in each call."""

    @property
    def rewriting_seconds(self) -> float:
        """What it took to stabilise the terms' graph."""

    def origins(self, point: Point, bad: Mapping[str, NDArray[np.bool_]]) -> tuple[Origin, ...]:
        """Find where values that aren't finite are made; `bad` says which of the gradient's, by value name."""

    def derivatives(self, point: Point, names: Sequence[str]) -> Iterator[LocalDerivative]:
        """Yield the operations that some variables go through."""

    def nearly_equal(self, point: Point) -> WrongDerivative | None:
        """Find an eigendecomposition whose derivative can't be right."""


class Backend(Protocol):
    """The stages of one measurement, in the order in which they are called."""

    facts: BackendFacts

    def import_modules(self) -> None:
        """Import all that a compile would import later, and build the toolchain's own helpers."""

    def device(self) -> str:
        """Say where compiled functions run: ``cpu``, or the platform and the kind of device."""

    def access(self) -> DeviceAccess | None:
        """Give access to that device; none where it is always the processor."""

    def load(self, model: Model) -> Callable[[], BuiltModel]:
        """Make all ready that the factory needs (data, or the user's file) and return the factory."""

    def groups(self, built: BuiltModel, point: Point) -> tuple[Group, ...]:
        """List the groups, in the order of the flat gradient; discrete variables are none."""

    def start_point(self, built: BuiltModel) -> Point:
        """Find a start point for a model whose factory gave none."""

    def any_point(self, built: BuiltModel) -> Point:
        """Find a point for its shapes, without a compiler."""

    def load_kept(
        self, built: BuiltModel, point: Point, target: Target, stage: Callable[[Phase], AbstractContextManager[None]]
    ) -> Compiled | None:
        """Load the function that an earlier process kept whole, each part within its `stage`; none where there is none.

        What compilers keep in pieces they find by themselves.
        """

    def logp_graph(self, built: BuiltModel) -> Any:
        """Write the graph of the log-density."""

    def grad_graph(self, built: BuiltModel, logp: Any, target: Target) -> Any:
        """Write the graph of the target."""

    def compile(self, built: BuiltModel, graph: Any, target: Target, hooks: Hooks) -> Compiled:
        """Rewrite and link."""

    def import_sampler(self, sampler: Sampler) -> None:
        """Import a sampler; called before `import_modules`. Raises SamplerUnavailable where it is missing."""

    def choose_sampler(self, built: BuiltModel, case: Case) -> tuple[Sampler, str]:
        """Say who is to draw, and why where that was left open."""

    def draw(
        self, built: BuiltModel, case: Case, sampler: Sampler, drew: Callable[[int], None]
    ) -> tuple[DrawCheck, tuple[str, ...]]:
        """Compile all that a sampler needs, and draw; `drew` is told each chain's number with its first draw.

        It may be told from another thread, and more than once. Returned is what the draws are worth, and what this
        release doesn't tell.
        """

    def time_draws(self, built: BuiltModel, case: Case, sampler: Sampler) -> Pace | None:
        """Run the sampler once more, for the case's timed draws; none where it doesn't tell what they cost."""

    def logp_terms(self, built: BuiltModel) -> Callable[[Point], dict[str, float]]:
        """Make the log-density callable without the compiled function and without a compiler; slow.

        Its terms go by the name of the variable or potential; `firstgrad.points.add_terms` adds them up.
        """

    def explainer(self, built: BuiltModel, rebuild: Callable[[], BuiltModel]) -> Explainer | None:
        """Make what can say where a NaN is made and which derivative is wrong; none where there is no graph."""

    def compiled_units(self) -> int:
        """How many C modules or jitted functions this process has compiled so far."""

    def tell_units(self, tell: Callable[[int], None]) -> None:
        """Have `tell` called with that number, more or less, whenever a unit's compile begins."""


def pose_oracle(spec: PoseSpec, data: PoseData) -> Oracle:
    """Make the oracle of a pose model; its module is imported when it is asked for the first time."""

    def answer(point: Point) -> OracleAnswer:
        from firstgrad.pose.oracle import allowed_rounding, value_and_gradient

        logp, gradient = value_and_gradient(spec, data, point)
        return OracleAnswer(logp, gradient, allowed_rounding(spec, logp))

    return answer
