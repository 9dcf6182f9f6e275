"""What the PyTensor backends share: the public steps that PyMC's ``compile_dlogp`` takes, one by one."""

from __future__ import annotations

import inspect
from collections import Counter
from contextlib import nullcontext, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from firstgrad.backends.base import Answer, BuiltModel, Compiled, pose_oracle
from firstgrad.case import Sampler, Target
from firstgrad.errors import ModelError, SamplerUnavailable, UnavailableError
from firstgrad.observe import probes
from firstgrad.observe.calls import on_call
from firstgrad.observe.rewriting import MarkedMode, read_passes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractContextManager

    import numpy as np
    from numpy.typing import NDArray

    from firstgrad.backends.base import BackendFacts, DeviceAccess, Hooks
    from firstgrad.case import Case
    from firstgrad.linting.derivatives import GraphExplainer
    from firstgrad.linting.values import Density
    from firstgrad.model import Model
    from firstgrad.phase import Phase
    from firstgrad.points import Group, Point
    from firstgrad.record import DrawCheck, Pace


class PyTensorBackend:
    """A backend that differs from the others by its facts, its modules and how it waits."""

    facts: BackendFacts
    marked: MarkedMode

    def __init__(self) -> None:
        self._has_compiled = False
        self._told = 0
        self._for_start_points = 0
        self._start: tuple[Any, Point] | None = None
        self._evaluated: Density | None = None
        self._tell: Callable[[int], None] = lambda _: None

    def mode(self) -> Any:
        """Return the PyTensor mode that users get by this backend's name."""
        from pytensor.compile.mode import Mode, get_mode

        mode = self.facts.mode
        return Mode(*mode) if len(mode) > 1 else get_mode(*mode)

    def compiled_units(self) -> int:
        """Count C modules compiled so far, but for a start point; a subclass adds what else it compiles.

        They count for every backend: up to PyMC 5.25 constant folding compiles C, whatever the mode.
        """
        import pytensor

        # To ask makes PyTensor scan its cache, which belongs into the first compile, not before it.
        if not (self._has_compiled and pytensor.config.cxx):
            return -self._for_start_points
        counts = probes.module_counts(probes.GET_MODULE_CACHE.find()())
        return (counts[0] if counts is not None else 0) - self._for_start_points

    def tell_units(self, tell: Callable[[int], None]) -> None:
        """Have `tell` called when a unit's compile begins; a subclass calls `unit_begins` for what else it compiles."""
        self._told, self._tell = self.compiled_units(), tell

    def unit_begins(self) -> None:
        """Pass on that one more unit is being compiled."""
        self._told += 1
        self._tell(self._told)

    def import_backend(self) -> None:
        """Import what the backend would import lazily within a compile."""

    def import_modules(self) -> None:
        """Import PyMC and the backend, and build PyTensor's own C helpers, which any first function needs."""
        import pymc  # noqa: F401 - imported for its time
        import pytensor
        import pytensor.tensor as pt
        import scipy.special  # noqa: F401 - PyTensor defers it to the first constant that it folds

        self.import_backend()
        if pytensor.config.cxx:
            with suppress(UnavailableError):
                probes.LAZY_LINKER.find()
            with suppress(UnavailableError):
                on_call(probes.COMPILE_C_MODULE.find(), self.unit_begins)
        x = pt.dscalar("x")
        pytensor.function([x], x, mode=pytensor.compile.mode.Mode("py", None))
        self.marked = MarkedMode(self.mode())

    def device(self) -> str:
        """Be the processor; a subclass knows better."""
        return "cpu"

    def access(self) -> DeviceAccess | None:
        """Have no device but the processor."""
        return None

    def load(self, model: Model) -> Callable[[], BuiltModel]:
        """Generate the pose model's data, or import the user's file; return the factory."""
        if (spec := model.pose) is not None:
            from firstgrad.pose.data import generate
            from firstgrad.pose.graph import build_pose_model

            data = generate(spec)
            oracle = pose_oracle(spec, data)
            return lambda: BuiltModel(build_pose_model(spec, data), dict(data.initial), oracle=oracle)
        from firstgrad.backends.user_model import fit_start, load_user_model, require_continuous

        user_model = load_user_model(model)

        def build() -> BuiltModel:
            built = user_model.build()
            require_continuous(built.model, model.reference)
            return replace(built, initial=fit_start(built, model))

        return build

    def groups(self, built: BuiltModel, point: Point) -> tuple[Group, ...]:
        """List the model's continuous variables with the shapes that the point has."""
        import numpy as np

        from firstgrad.points import Group

        names = {built.model.rvs_to_values[rv].name: rv.name for rv in built.model.free_RVs}
        values = [var.name for var in built.model.continuous_value_vars]
        return tuple(Group(names[value], np.shape(point[value]), value_name=value) for value in values)

    def start_point(self, built: BuiltModel) -> Point:
        """Ask the model for its initial point, once; what is compiled for that is no part of the gradient."""
        import numpy as np

        if self._start is None or self._start[0] is not built.model:
            before = self._told
            point = {name: np.asarray(value) for name, value in built.model.initial_point().items()}
            self._for_start_points += self._told - before
            self._start = built.model, point
        return self._start[1]

    def any_point(self, built: BuiltModel) -> Point:
        """Ask PyTensor's interpreter where the factory gave no start point."""
        import pytensor
        from pytensor.compile.mode import Mode

        with pytensor.config.change_flags(cxx="", mode=Mode("py", None)):
            return built.initial if built.initial is not None else self.start_point(built)

    def load_kept(
        self,
        built: BuiltModel,  # noqa: ARG002 - the protocol's, as the others
        point: Point,  # noqa: ARG002
        target: Target,  # noqa: ARG002
        stage: Callable[[Phase], AbstractContextManager[None]],  # noqa: ARG002
    ) -> Compiled | None:
        """Keep nothing whole."""
        return None

    def logp_graph(self, built: BuiltModel) -> Any:
        """Write the log-density, Jacobians included."""
        return built.model.logp()

    def grad_graph(self, built: BuiltModel, logp: Any, target: Target) -> Any:
        """Simplify, differentiate, and flatten, as PyMC does; discrete variables stay inputs, their values held."""
        from pymc.pytensorf import gradient

        if target is Target.LOGP_DLOGP:
            return self.one_pass_gradient(built, logp, target)
        return self._differentiate(built, logp, gradient)[1]

    def one_pass_gradient(self, built: BuiltModel, logp: Any, target: Target) -> Any:
        """Differentiate by one backward pass for all values, as NUTS does; ``Model.dlogp`` takes one a variable."""
        import pytensor
        import pytensor.tensor as pt

        def in_one_pass(cost: Any, values: Any) -> Any:
            parts = pytensor.grad(cost, values, disconnected_inputs="ignore")
            return pt.join(0, *[pt.as_tensor_variable(part).ravel() for part in parts])

        cost, flat = self._differentiate(built, logp, in_one_pass)
        return [cost, flat] if target is Target.LOGP_DLOGP else flat

    def _differentiate(self, built: BuiltModel, logp: Any, gradient: Callable[[Any, Any], Any]) -> tuple[Any, Any]:
        from pymc.pytensorf import rewrite_pregrad
        from pytensor.gradient import NullTypeGradError
        from pytensor.graph.utils import MethodNotDefined

        from firstgrad.linting.refusals import explain_missing_gradient

        cost = rewrite_pregrad(logp)
        values = built.model.continuous_value_vars
        try:
            return cost, gradient(cost, values)
        except (NotImplementedError, MethodNotDefined, NullTypeGradError) as error:
            raise explain_missing_gradient(error, cost, values) from error

    def compile(self, built: BuiltModel, graph: Any, target: Target, hooks: Hooks) -> Compiled:
        """Compile as ``Model.compile_dlogp`` does, with PyTensor's own profile beside it."""
        import pytensor

        profile, unavailable = _profile_stats()
        self._has_compiled = True
        with pytensor.config.change_flags(profile_optimizer=True):
            function = built.model.compile_fn(
                graph,
                inputs=built.model.value_vars,
                mode=self.marked.with_hooks(hooks),
                profile=profile,
                on_unused_input="ignore",
            )
        inner = function.f
        nodes = tuple(inner.maker.fgraph.apply_nodes)
        passes, unread = read_passes(profile)

        def left(point: Mapping[str, NDArray[np.float64]]) -> Any:
            return self.wait(function(point))

        def call(point: Mapping[str, NDArray[np.float64]]) -> Answer:
            result = left(point)
            if target is Target.LOGP_DLOGP:
                return Answer(self.to_float64(result[1]), float(result[0]))
            return Answer(self.to_float64(result))

        return Compiled(
            call=call,
            left=left,
            nodes_before=(passes[0].nodes_before if passes else None) or self.marked.nodes_before,
            nodes_after=len(nodes),
            nodes=nodes,
            nodes_by_type=tuple(Counter(type(node.op).__name__ for node in nodes).most_common()),
            rewrite_passes=passes,
            before_rewrite_link_seconds=getattr(profile, "preload_cache_time", 0.0),
            rewriting_seconds=getattr(profile, "rewriting_time", None),
            linker_seconds=getattr(profile, "linker_time", None),
            stats=profile,
            unavailable=(*self.marked.unavailable, *unavailable, *unread),
        )

    def wait(self, result: Any) -> Any:
        """Return once the result is there; most backends compute before they return."""
        return result

    def to_float64(self, gradient: Any) -> NDArray[np.float64]:
        """Bring a gradient to NumPy, refusing lower precision."""
        import numpy as np

        array = np.asarray(gradient)
        if array.dtype != np.float64:
            raise ModelError(
                f"backend {str(self.facts.name)!r} returned {array.dtype}; firstgrad compares in float64. Unset floatX "
                "(and JAX_ENABLE_X64=0) for the measurement"
            )
        return array

    def import_sampler(self, sampler: Sampler) -> None:
        """Import a sampler; for `auto` the one that may be taken."""
        from firstgrad.backends.draws import require_sampler

        with nullcontext() if sampler is not Sampler.AUTO else suppress(SamplerUnavailable):
            require_sampler(Sampler.NUTPIE if sampler is Sampler.AUTO else sampler)

    def choose_sampler(self, built: BuiltModel, case: Case) -> tuple[Sampler, str]:
        """Take the one that was asked for, or else whom ``pm.sample`` takes."""
        from firstgrad.backends.draws import choose_sampler

        return choose_sampler(built.model, case) if case.sampler is Sampler.AUTO else (case.sampler, "")

    def draw(
        self, built: BuiltModel, case: Case, sampler: Sampler, drew: Callable[[int], None]
    ) -> tuple[DrawCheck, tuple[str, ...]]:
        """Run ``pm.sample``, or firstgrad's."""
        from firstgrad.backends.draws import draw_once

        self._has_compiled = True
        return draw_once(self, built, case, sampler, drew)

    def time_draws(self, built: BuiltModel, case: Case, sampler: Sampler) -> Pace | None:
        """Run it again."""
        from firstgrad.backends.draws import time_draws

        return time_draws(self, built, case, sampler)

    def logp_terms(self, built: BuiltModel) -> Callable[[Point], dict[str, float]]:
        """Make the log-density's terms callable in Python, stabilised as the compiled function is."""
        return self._density(built)

    def explainer(self, built: BuiltModel, rebuild: Callable[[], BuiltModel]) -> GraphExplainer:
        """Look at the graph, node by node."""
        from firstgrad.linting.derivatives import GraphExplainer

        return GraphExplainer(self._density(built), lambda: rebuild().model)

    def _density(self, built: BuiltModel) -> Density:
        from firstgrad.linting.values import Density

        if self._evaluated is None or self._evaluated.model is not built.model:
            self._evaluated = Density(built.model)
        return self._evaluated


def _profile_stats() -> tuple[Any, tuple[str, ...]]:
    """Make an empty profile for PyTensor to fill; none where this release has no such thing, and why."""
    try:
        stats_class = probes.PROFILE_STATS.find()
    except UnavailableError as error:
        return None, (str(error),)
    # PyTensor 2.35 crashes at exit when a profile wants to print itself.
    known = inspect.signature(stats_class.__init__).parameters
    options = {"atexit_print": False, "flag_time_thunks": False}
    return stats_class(**{name: value for name, value in options.items() if name in known}), ()
