"""What batching saves `fast_gradient`: models as loops write them, with and without, and written as arrays.

The pose model, and those of `examples/cases` that a loop wrote. Each sample is a process of its own that keeps nothing;
a round goes through all of them, every second one backwards. Reported are the processor seconds from the built model to
the first gradient (imports are before it), an evaluation, the nodes of the log-density's graph, and how many times as
long as with arrays the first gradient takes with loops: paired by round, with a 95% interval.

Usage: ``python -m benchmarks.batching.compare [--rounds 4] [--only TEXT] [--output docs/data/batching.json]``; some 6
minutes. `make pages` puts the table into its page.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from itertools import product
from pathlib import Path
from runpy import run_path
from typing import Any

import numpy as np

from benchmarks.markers import table_lines
from benchmarks.where import where
from firstgrad.comparing.ratio import estimate_ratio

ROOT = Path(__file__).parents[2]
POSE = {"pose, K=5, no HMM": (5, False), "pose, K=5, HMM": (5, True), "pose, K=20, HMM": (20, True)}
CASES: dict[str, tuple[str, dict[str, int]]] = {
    "unrolled_integral, 100 panels": ("unrolled_integral", {"panels": 100, "patients": 80}),
    "variable_per_cell, 12 x 6": ("variable_per_cell", {"traps": 12, "weeks": 6}),
    "variable_per_pair, 136 pairs": ("variable_per_pair", {"households": 17}),
    "likelihood_per_clinic, 12": ("likelihood_per_clinic", {"clinics": 12}),
}
LOOPS, BATCHED, ARRAYS = "loops, as they are", "loops, batched", "arrays"
SIDES = (LOOPS, BATCHED, ARRAYS)
CALLS = 200


def build(name: str, side: str) -> Any:
    """Build a model as a side has it."""
    from firstgrad import HmmSpec, PoseSpec, build_pose_model
    from firstgrad.pose.spec import Formulation

    if name in CASES:
        file, sizes = CASES[name]
        return run_path(str(ROOT / "examples" / "cases" / f"{file}.py"))["build"](**sizes, cured=side == ARRAYS)
    directions, has_hmm = POSE[name]
    formulation = Formulation.VECTORISED if side == ARRAYS else Formulation.PER_JOINT
    return build_pose_model(
        PoseSpec(n_directions=directions, hmm=HmmSpec() if has_hmm else None, formulation=formulation)
    )


def measure(name: str, side: str) -> dict[str, float]:
    """Compile one gradient in this process."""
    from firstgrad import fast_gradient
    from firstgrad.backends import load_backend
    from firstgrad.case import BackendName
    from firstgrad.fast import freezing
    from firstgrad.fast.batching import batch

    load_backend(BackendName.JAX_DIRECT).import_modules()
    model = build(name, side)
    point = model.initial_point()
    (logp,) = [model.logp()] if side == LOOPS else batch([model.logp()])
    nodes, waiting = set(), [logp.owner]
    while waiting:
        node = waiting.pop()
        if node is not None and node not in nodes:
            nodes.add(node)
            waiting += [one.owner for one in node.inputs]
    if side == LOOPS:
        freezing.batch = lambda outputs, **_: outputs  # type: ignore[assignment]  # as it was before
    wall, cpu = time.perf_counter(), time.process_time()
    gradient = fast_gradient(model, initial_point=point)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    vector = gradient.flatten(point)
    seconds = []
    for _ in range(CALLS):
        start = time.perf_counter()
        gradient(vector)
        seconds.append(time.perf_counter() - start)
    call = statistics.median(seconds)
    return {"wall": wall, "cpu": cpu, "call": call, "nodes": len(nodes), "logp": gradient(vector)[0]}


def table(stored: dict[str, Any]) -> str:
    """Write where it was measured and a row a model and side, with the ratios of the loops to the arrays."""
    rows = []
    for name, sides in stored["models"].items():
        for side, samples in sides.items():
            cpu, call = (statistics.median(one[key] for one in samples) for key in ("cpu", "call"))
            ratio = ""
            if side != ARRAYS:
                times = estimate_ratio(*([one["cpu"] for one in sides[each]] for each in (ARRAYS, side)), paired=True)
                interval = f" [{times.low:.2f}, {times.high:.2f}]" if times.confidence else ""
                ratio = f"{times.value:.2f}{interval}"
            nodes = f"{samples[0]['nodes']:,}"
            rows.append((name, side, nodes, f"{cpu:.2f} s", ratio, f"{1e3 * call:.3f} ms"))
    head = ("model", "written as", "nodes", "first gradient, CPU", "over arrays", "evaluation")
    return "\n".join([stored["where"], "", *table_lines(head, rows)])


def main() -> None:
    """Measure all in turn, keep, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--only", default="", help="models whose name has this text")
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "data" / "batching.json")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.one:
        print(json.dumps(measure(*chosen.one)))
        return
    names = [name for name in (*POSE, *CASES) if chosen.only in name]
    cells = list(product(names, SIDES))
    found: dict[str, dict[str, list[dict[str, float]]]] = {name: {side: [] for side in SIDES} for name in names}
    for number in range(chosen.rounds):
        for name, side in reversed(cells) if number % 2 else cells:
            command = [sys.executable, "-m", "benchmarks.batching.compare", "--one", name, side]
            variables = os.environ | {"FIRSTGRAD_CACHE": "0"}
            done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300, env=variables)
            found[name][side].append(json.loads(done.stdout.splitlines()[-1]))
            print(name, side, found[name][side][-1], file=sys.stderr, flush=True)
    for name, sides in found.items():
        values = [samples[0]["logp"] for samples in sides.values()]
        if not np.allclose(values, values[0], rtol=1e-11):
            sys.exit(f"{name}: the log-densities differ: {values}")
    stored = {"where": where(f"{chosen.rounds} rounds in turns, each sample a process of its own"), "models": found}
    chosen.output.write_text(json.dumps(stored, indent=1) + "\n")
    print(table(stored))


if __name__ == "__main__":
    main()
