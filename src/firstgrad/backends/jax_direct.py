"""The backends ``jax_direct`` and ``jax_quick``: the log-density as one JAX function, differentiated by JAX itself."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from firstgrad.backends.base import Answer, Compiled
from firstgrad.backends.jax import JaxBackend, explained, no_jax
from firstgrad.backends.refusals import explain_not_static
from firstgrad.case import BackendName, Target
from firstgrad.fast.effort import Effort

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    from firstgrad.backends.base import BuiltModel, Hooks

_EFFORTS = {BackendName.JAX_DIRECT: Effort.NORMAL, BackendName.JAX_QUICK: Effort.LEAST}


class JaxDirectBackend(JaxBackend):
    """What `firstgrad.fast_gradient` does, stage by stage.

    PyTensor rewrites the log-density only. Tracing, differentiating and compiling by JAX all happen in ``link``, so
    nothing is left to the first call but the call. There is no gradient graph.
    """

    def __init__(self, name: BackendName) -> None:
        super().__init__()
        self.name = name

    def import_backend(self) -> None:
        """Import what the JAX backend imports, and firstgrad's own way."""
        super().import_backend()
        import firstgrad.fast.fast_gradient  # noqa: F401 - imported for its time

    def grad_graph(self, built: BuiltModel, logp: Any, target: Target) -> Any:  # noqa: ARG002 - the protocol's
        """Return the log-density: JAX differentiates its own function later."""
        return logp

    def compile(self, built: BuiltModel, graph: Any, target: Target, hooks: Hooks) -> Compiled:
        """Rewrite the log-density, trace and compile its value and gradient."""
        from firstgrad.backends.rewrite_marks import read_passes
        from firstgrad.fast.fast_gradient import make_fast_gradient, with_parameter_checks

        self._has_compiled = True
        mode = with_parameter_checks(self.marked.with_hooks(hooks), built.model)
        seen = SimpleNamespace(rewriter_profile=None, nodes_before=0, nodes=())

        def rewrite(fgraph: Any) -> None:
            seen.nodes_before = len(fgraph.apply_nodes)
            optimizer = mode.optimizer
            seen.rewriter_profile = (optimizer, optimizer.rewrite(fgraph))
            seen.nodes = tuple(fgraph.apply_nodes)

        point = built.initial if built.initial is not None else self.start_point(built)
        try:
            gradient = make_fast_gradient(
                built.model,
                graph,
                point,
                _EFFORTS[self.name],
                rewrite,
                with_logp=target is Target.LOGP_DLOGP,
            )
        except NotImplementedError as error:
            raise no_jax(error, is_own=built.is_own) from error
        except (TypeError, IndexError) as error:  # JAX's own are kinds of these; it traces here, not in the first call
            if not type(error).__module__.startswith("jax") and "concrete" not in str(error):
                raise
            raise explain_not_static(error, built.model) from error

        def call(at: Mapping[str, NDArray[np.float64]]) -> Answer:
            logp, flat = gradient(gradient.flatten(at), extra_vars=at)
            return Answer(self.to_float64(flat), logp if target is Target.LOGP_DLOGP else None)

        return Compiled(
            call=explained(call, built),
            nodes_before=seen.nodes_before,
            nodes_after=len(seen.nodes),
            nodes_by_type=tuple(Counter(type(node.op).__name__ for node in seen.nodes).most_common()),
            rewrite_passes=read_passes(seen),
            stats=seen,
        )


BACKEND = JaxDirectBackend(BackendName.JAX_DIRECT)
