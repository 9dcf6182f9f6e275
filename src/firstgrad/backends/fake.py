"""A backend that compiles nothing: it serves the tests of worker, launch, store and display.

Its "compiled function" is the NumPy oracle, its "cache" one file; it needs neither PyMC nor PyTensor. For a user's
reference it accepts any object with the attributes that are asked of a model, and the gradient is zero.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from firstgrad.backends.base import Answer, BackendFacts, BuiltModel, Compiled, pose_oracle
from firstgrad.case import BackendName, Sampler, Target
from firstgrad.record import DrawCheck, Pace, RewritePass

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy as np
    from numpy.typing import NDArray

    from firstgrad.backends.base import Hooks
    from firstgrad.case import Case
    from firstgrad.model import Model
    from firstgrad.points import Group, Point


class FakeBackend:
    """Every stage, without a compiler."""

    facts = BackendFacts(name=BackendName.FAKE, compiler=BackendName.FAKE, colour="#CC79A7", marker="X")

    def __init__(self) -> None:
        self._units = 0
        self._tell: Callable[[int], None] = lambda _: None

    def import_modules(self) -> None:
        """Import nothing."""

    def device(self) -> str:
        """Be the processor."""
        return "cpu"

    def access(self) -> None:
        """Have no device."""

    def load(self, model: Model) -> Callable[[], BuiltModel]:
        """Return a factory of the pose model's data, or the user's."""
        if (spec := model.pose) is not None:
            from firstgrad.pose.data import generate

            data = generate(spec)
            return lambda: BuiltModel((spec, data), dict(data.initial), oracle=pose_oracle(spec, data))
        import numpy as np

        from firstgrad.backends.user_model import load_user_model

        user_model = load_user_model(model)

        def build() -> BuiltModel:
            built = user_model.build()
            return replace(built, initial=built.initial or {"x": np.zeros(1)})

        return build

    def groups(self, built: BuiltModel, point: Point) -> tuple[Group, ...]:
        """List the pose model's groups; one a name of the point otherwise."""
        import numpy as np

        from firstgrad.points import Group

        if isinstance(built.model, tuple):
            return tuple(built.model[0].groups)
        return tuple(Group(name, np.shape(value), value_name=name) for name, value in point.items())

    def start_point(self, built: BuiltModel) -> Point:
        """Never needed: `load` gives one."""
        return dict(built.initial or {})

    any_point = start_point

    def load_kept(self, *_: Any) -> None:
        """Keep nothing whole."""

    def logp_graph(self, built: BuiltModel) -> Any:
        """Write no graph."""
        return built

    def grad_graph(self, built: BuiltModel, logp: Any, target: Target) -> Any:  # noqa: ARG002 - the protocol's
        """Write no graph."""
        return logp

    def compile(self, built: BuiltModel, graph: Any, target: Target, hooks: Hooks) -> Compiled:  # noqa: ARG002 - the protocol's
        """Read or write one file where a compiler would use its cache."""
        import numpy as np

        from firstgrad.points import flatten

        hooks.passing("fake_pass", 1, 1, 1)
        hooks.rewrite_ended()
        self._use_cache()

        def call(point: Mapping[str, NDArray[np.float64]]) -> Answer:
            if not isinstance(built.model, tuple):
                return Answer(np.zeros(sum(np.size(value) for value in point.values())), 0.0)
            from firstgrad.pose.oracle import value_and_gradient

            spec, data = built.model
            logp, gradient = value_and_gradient(spec, data, dict(point))
            return Answer(flatten(gradient, spec), logp if target is Target.LOGP_DLOGP else None)

        passes = (RewritePass(name="fake_pass", wall_seconds=0.0, nodes_before=1, nodes_after=1),)
        return Compiled(call=call, nodes_before=1, nodes_after=1, nodes_by_type=(("Fake", 1),), rewrite_passes=passes)

    def import_sampler(self, sampler: Sampler) -> None:
        """Import nothing."""

    def choose_sampler(self, built: BuiltModel, case: Case) -> tuple[Sampler, str]:  # noqa: ARG002 - the protocol's
        """Take PyMC's own where nobody is named."""
        return (Sampler.PYMC, "there is no other") if case.sampler is Sampler.AUTO else (case.sampler, "")

    def draw(
        self, built: BuiltModel, case: Case, sampler: Sampler, drew: Callable[[int], None]
    ) -> tuple[DrawCheck, tuple[str, ...]]:
        """Use the cache as `compile` does, and draw nothing; a user's object may have a `sample` of its own."""
        self._use_cache()
        sample = getattr(built.model, "sample", None)
        if sample is not None:
            return sample(case, sampler, drew), ()
        for chain in range(case.chains):
            drew(chain)
        return DrawCheck(moved=case.chains), ()

    def time_draws(self, built: BuiltModel, case: Case, sampler: Sampler) -> Pace | None:
        """Make none; a user's object may tell a `pace` of its own."""
        tell = getattr(built.model, "pace", None)
        return tell(case, sampler) if tell is not None else None

    def logp_terms(self, built: BuiltModel) -> Callable[[Point], dict[str, float]]:
        """Ask the oracle; a user's model has a log-density of zero, as its gradient is."""
        if not isinstance(built.model, tuple):
            return lambda _: {"logp": 0.0}
        from firstgrad.pose.oracle import logp

        spec, data = built.model
        return lambda point: {"logp": float(logp(spec, data, point))}

    def explainer(self, built: BuiltModel, rebuild: Callable[[], BuiltModel]) -> None:
        """Have no graph."""

    def compiled_units(self) -> int:
        """Count the file once written."""
        return self._units

    def tell_units(self, tell: Callable[[int], None]) -> None:
        """Tell of the file once written."""
        self._tell = tell

    def _use_cache(self) -> None:
        folder = os.environ.get("NUMBA_CACHE_DIR")
        if not folder:
            return
        entry = Path(folder) / "fake.1.nbc"
        if entry.exists():
            entry.read_bytes()
        else:
            entry.parent.mkdir(parents=True, exist_ok=True)
            entry.write_bytes(b"compiled by nobody")
            entry.with_name("fake.nbi").touch()  # as Numba, whose cache it pretends to fill
            self._units += 1
            self._tell(self._units)


BACKENDS = (FakeBackend(),)
