"""One gradient a variable, or one gradient of all: what PyMC's ``Model.dlogp`` writes and what it needs.

``pymc.pytensorf.gradient`` calls ``pytensor.grad`` once for each variable, so the graph is walked backwards as many
times and each walk writes its own nodes, scans included; ``merge1`` finds later that most of them are equal. Needs
PyMC and PyTensor only. The model is a Gaussian HMM with K variables in its mean; seconds are processor seconds of one
process, the first measurement is thrown away, and nothing is compiled.

Usage: ``python gradient_per_variable.py [K ...]``.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt
from pymc.pytensorf import gradient, rewrite_pregrad
from pytensor.compile.mode import Mode
from pytensor.graph.traversal import ancestors

if TYPE_CHECKING:
    from collections.abc import Callable

TIMESTEPS, STATES = 100, 2


def make_model(variables: int) -> pm.Model:
    """Build a Gaussian HMM whose mean is a sum of `variables`, with its states summed out by a scan."""
    observed = np.random.default_rng(1).normal(size=TIMESTEPS)
    log_transition = np.log(np.full((STATES, STATES), 1 / STATES))

    def forward(emission: Any, alpha: Any, transition: Any) -> Any:
        return emission + pt.logsumexp(alpha[:, None] + transition, axis=0)

    with pm.Model() as model:
        means = [pm.Normal(f"mean_{number}") for number in range(variables)]
        centre = pt.stack([sum(means), -sum(means)])
        emissions = -0.5 * (pt.as_tensor(observed)[:, None] - centre) ** 2
        alphas = pytensor.scan(
            forward,
            sequences=[emissions[1:]],
            outputs_info=[emissions[0]],
            non_sequences=[pt.as_tensor(log_transition)],
            return_updates=False,
        )
        pm.Potential("hmm", pt.logsumexp(alphas[-1]))
    return model


def gradient_in_one(cost: Any, values: list[Any]) -> Any:
    """Differentiate with respect to all values at once."""
    return pt.concatenate([each.ravel() for each in pytensor.grad(cost, values)])


def measure(variables: int, write: Callable[[Any, list[Any]], Any]) -> tuple[str, ...]:
    """Count nodes and time the two steps of one way to write the gradient; return the cells of its row."""
    model = make_model(variables)
    cost, values = rewrite_pregrad(model.logp()), model.continuous_value_vars
    began = time.process_time()
    graph = write(cost, values)
    written = time.process_time()
    nodes = {each.owner for each in ancestors([graph]) if each.owner is not None}
    before = Counter(type(node.op).__name__ for node in nodes)
    began_rewriting = time.process_time()
    # No linker takes part: the numbers are those of the graph.
    function = model.compile_fn(graph, inputs=model.value_vars, mode=Mode("py", "fast_run"))
    rewritten = time.process_time()
    after = Counter(type(node.op).__name__ for node in function.f.maker.fgraph.apply_nodes)
    return (
        f"{before.total():,}",
        f"{before['Scan']}",
        f"{written - began:.2f} s",
        f"{rewritten - began_rewriting:.2f} s",
        f"{after.total():,}",
        f"{after['Scan']}",
    )


def main() -> None:
    """Print the table."""
    sizes = [int(text) for text in sys.argv[1:]] or [1, 4, 16, 64]
    measure(1, gradient)  # what is done once a process is done here
    head = ("K", "written", "nodes", "scans", "`grad`", "rewriting", "nodes after", "scans after")
    print(f"PyMC {pm.__version__}, PyTensor {pytensor.__version__}\n")
    print(f"| {' | '.join(head)} |\n|{' --- |' * len(head)}")
    for variables in sizes:
        for name, write in (("once a variable", gradient), ("once", gradient_in_one)):
            print(f"| {variables} | {name} | {' | '.join(measure(variables, write))} |", flush=True)


if __name__ == "__main__":
    main()
