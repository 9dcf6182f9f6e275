"""What Numba's cold first call costs, from ``x + 1`` over one matrix product to the pose model.

Each line is a process of its own with an empty cache, in turn for each Python that is given; so two releases of
PyTensor are compared by the Pythons of two environments. Needs PyTensor and Numba only, but for ``pose``, which needs
firstgrad to be importable there as well. Seconds are processor seconds.

Usage: ``python numba_cold.py [--graphs add,dot,logistic,pose] [--python PATH]... [--trial NAMES]... [--rounds 1]``.
A trial is one or more changes of ``numba_trials.py``, with commas; '' is none.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from numba_trials import TRIALS

GRAPHS = ("add", "dot", "dot_strided", "logistic", "pose")
MIB, KIB = 1024**2, 1024
TIME_LIMIT_SECONDS = 900
EVALUATIONS = 200


def make_graph(name: str) -> tuple[list[Any], Any, list[Any]]:
    """Write a graph; return its inputs, its output and values for the inputs."""
    import numpy as np
    import pytensor.tensor as pt

    if name == "pose":
        return _make_pose()
    if name == "logistic":
        rng = np.random.default_rng(1)
        design, flips = pt.as_tensor(rng.normal(size=(200, 5))), rng.integers(0, 2, size=200).astype(float)
        weights = pt.dvector("weights")
        logit = design @ weights
        density = (flips * logit - pt.softplus(logit)).sum() - (weights**2).sum() / 2
        return [weights], pt.grad(density, weights), [np.zeros(5)]
    x, y = pt.dmatrix("x"), pt.dmatrix("y")
    values = [np.ones((4, 4)), np.ones((4, 4))]
    match name:
        case "add":
            return [x], x + 1.0, values[:1]
        case "dot":
            return [x, y], x @ y, values
        case _:
            return [x, y], x[::2, ::2] @ y[::2, ::2], values


def _make_pose() -> tuple[list[Any], Any, list[Any]]:
    import numpy as np

    from firstgrad.pose.data import generate
    from firstgrad.pose.graph import build_pose_model
    from firstgrad.pose.spec import PoseSpec

    spec = PoseSpec()
    data = generate(spec)
    model = build_pose_model(spec, data)
    (output,) = model.replace_rvs_by_values([model.dlogp()])
    return model.value_vars, output, [np.asarray(data.initial[each.name]) for each in model.value_vars]


def measure(name: str, trials: list[str]) -> None:
    """Compile a graph in this process and print what that took, as JSON."""
    import pytensor
    import pytensor.link.numba.dispatch  # before the clock starts
    from numba.core import event

    for trial in trials:
        TRIALS[trial]()
    compiled = 0

    class Count(event.Listener):  # type: ignore[misc]  # numba has no types
        def on_start(self, event: Any) -> None:  # noqa: ARG002 - numba's signature
            nonlocal compiled
            compiled += 1

        def on_end(self, event: Any) -> None:
            """Need nothing."""

    inputs, output, values = make_graph(name)
    event.register("numba:compile", Count())
    began = time.process_time()
    function = pytensor.function(inputs, [output], mode="NUMBA")
    made = time.process_time()
    function(*values)
    called = time.process_time()
    for _ in range(EVALUATIONS):
        function(*values)
    evaluated = time.process_time()
    entries = [path.stat().st_size for path in Path(pytensor.config.base_compiledir).rglob("*.nbc")]
    told = {
        "pytensor": pytensor.__version__,
        "nodes": len(function.maker.fgraph.apply_nodes),
        "make_seconds": made - began,
        "first_call_seconds": called - made,
        "evaluation_seconds": (evaluated - called) / EVALUATIONS,
        "functions": compiled,
        "code_bytes": sum(entries),
        "largest_bytes": max(entries, default=0),
        "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * KIB,
    }
    print(json.dumps(told))


def measure_elsewhere(python: str, name: str, trial: str) -> dict[str, Any]:
    """Measure in a fresh process of another Python, with an empty cache."""
    with tempfile.TemporaryDirectory() as folder:
        flags = {"PYTENSOR_FLAGS": f"base_compiledir={folder}", "OMP_NUM_THREADS": "1"}
        done = subprocess.run(
            [python, __file__, "--measure", name, "--trial", trial],
            env=os.environ | flags,
            capture_output=True,
            text=True,
            check=False,
            timeout=TIME_LIMIT_SECONDS,
        )
    if done.returncode:
        sys.exit(f"{name} failed with {python}:\n{done.stderr}")
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


def main() -> None:
    """Print a line a measured process."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--graphs", default="add,dot,dot_strided,logistic", help=f"Of {', '.join(GRAPHS)}.")
    parser.add_argument("--python", action="append", help="An environment's Python; may be given twice.")
    parser.add_argument("--trial", action="append", help=f"Of {', '.join(TRIALS)}; may be given more than once.")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.measure:
        measure(chosen.measure, [name for name in (chosen.trial or [""])[0].split(",") if name])
        return
    head = ["graph", "trial", "PyTensor", "nodes", "first call", "functions", "code", "largest entry"]
    head += ["peak memory", "evaluation"]
    print(f"| {' | '.join(head)} |\n|{' --- |' * len(head)}")
    for _ in range(chosen.rounds):
        for name in chosen.graphs.split(","):
            for python, trial in itertools.product(chosen.python or [sys.executable], chosen.trial or [""]):
                told = measure_elsewhere(python, name, trial)
                cells = (
                    name,
                    trial or "none",
                    told["pytensor"],
                    told["nodes"],
                    f"{told['first_call_seconds']:.1f} s",
                    told["functions"],
                    f"{told['code_bytes'] / KIB:,.0f} KiB",
                    f"{told['largest_bytes'] / KIB:,.0f} KiB",
                    f"{told['peak_bytes'] / MIB:.0f} MiB",
                    f"{told['evaluation_seconds'] * 1e6:.0f} µs",
                )
                print(f"| {' | '.join(map(str, cells))} |", flush=True)


if __name__ == "__main__":
    main()
