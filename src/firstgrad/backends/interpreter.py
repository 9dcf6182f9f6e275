"""PyTensor's graph in Python, node by node: no compiler takes part, so it works wherever PyMC does, slowly."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from firstgrad.backends.base import Answer, BackendFacts, Compiled
from firstgrad.backends.pytensor import PyTensorBackend
from firstgrad.case import BackendName, Target

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    from firstgrad.backends.base import BuiltModel, Hooks


class InterpreterBackend(PyTensorBackend):
    """What a compiled function computes, by what each operation does in Python."""

    facts = BackendFacts(
        name=BackendName.INTERPRETER,
        compiler=BackendName.INTERPRETER,
        colour="#999999",
        marker="h",
        mode=("py", "fast_compile"),
        has_cache=False,
    )

    def import_backend(self) -> None:
        """Keep PyTensor from the C compiler."""
        import pytensor

        pytensor.config.cxx = ""

    def compile(self, built: BuiltModel, graph: Any, target: Target, hooks: Hooks) -> Compiled:
        """Rewrite; there is nothing to link."""
        from firstgrad.linting.values import stabilise

        outputs = graph if isinstance(graph, list) else [graph]
        evaluator = stabilise(built.model, outputs)
        hooks.rewrite_ended()

        def call(point: Mapping[str, NDArray[np.float64]]) -> Answer:
            values = evaluator.at(point)
            *logp, gradient = (values[output] for output in evaluator.outputs)
            return Answer(self.to_float64(gradient), float(logp[0]) if target is Target.LOGP_DLOGP else None)

        return Compiled(
            call=call,
            nodes_after=len(evaluator.nodes),
            nodes_by_type=tuple(Counter(type(node.op).__name__ for node in evaluator.nodes).most_common()),
        )


BACKENDS = (InterpreterBackend(),)
