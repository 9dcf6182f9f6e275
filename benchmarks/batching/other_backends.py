"""What batching does to a cold compile by Numba and by C, to evaluations and to memory, as a model grows.

The pose model (T=20, no HMM) with K bones: as loops write it, its log-density batched by `firstgrad.batch` before
PyTensor differentiates it, and written as arrays. Each sample is a process of its own with caches of its own, which are
empty; a round goes through all of them, every second one backwards.

Usage: ``python -m benchmarks.batching.other_backends [--rounds 1] [--bones 3 6 12] [--output
docs/data/batching-backends.json]``. `make pages` puts the table into its page.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.batching.compare import ARRAYS, BATCHED, CALLS, ROOT, SIDES
from benchmarks.limit.sample import peak_rss_bytes
from benchmarks.markers import table_lines
from benchmarks.where import where
from firstgrad.measuring.private import worker_variables

TIMESTEPS = 20
MODES = {"numba": "NUMBA", "c": "CVM"}


def measure(backend: str, side: str, bones: int) -> dict[str, float]:
    """Compile one gradient in this process."""
    import pytensor

    from firstgrad import PoseSpec, batch, build_pose_model
    from firstgrad.linting.values import with_parameter_checks
    from firstgrad.pose.spec import Formulation

    if backend == "numba":
        import pytensor.link.numba.dispatch
    formulation = Formulation.VECTORISED if side == ARRAYS else Formulation.PER_JOINT
    model = build_pose_model(PoseSpec(n_timesteps=TIMESTEPS, n_directions=bones, formulation=formulation))
    values = model.continuous_value_vars
    point = model.initial_point()
    before = peak_rss_bytes()
    wall, cpu = time.perf_counter(), time.process_time()
    children = os.times().children_user + os.times().children_system
    logp = model.logp()
    if side == BATCHED:
        (logp,) = batch([logp])
    outputs = [logp, *pytensor.grad(logp, values)]
    mode = with_parameter_checks(pytensor.compile.mode.get_mode(MODES[backend]), model)
    function = pytensor.function(values, outputs, mode=mode)
    function.trust_input = True
    given = [np.asarray(point[value.name], dtype=value.type.dtype) for value in values]
    answer = function(*given)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    cpu += os.times().children_user + os.times().children_system - children  # g++
    seconds = []
    for _ in range(CALLS):
        start = time.perf_counter()
        function(*given)
        seconds.append(time.perf_counter() - start)
    return {
        "wall": wall,
        "cpu": cpu,
        "call": statistics.median(seconds),
        "nodes": len(function.maker.fgraph.apply_nodes),
        "grown": peak_rss_bytes() - before,
        "logp": float(answer[0]),
        "gradient": float(sum(float(np.abs(part).sum()) for part in answer[1:])),
    }


def sample(backend: str, side: str, bones: int) -> dict[str, float]:
    """Measure in a process whose caches are empty."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "benchmarks.batching.other_backends", "--one", backend, side, str(bones)]
        variables = worker_variables(Path(folder), os.environ)
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=900, env=variables, cwd=ROOT)
        found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
        return found


def table(stored: dict[str, Any]) -> str:
    """Write where it was measured, and a row a backend, size and side."""
    rows = []
    for row in stored["rows"]:
        samples = row["samples"]
        cpu, call, grown = (statistics.median(one[key] for one in samples) for key in ("cpu", "call", "grown"))
        numbers = (f"{samples[0]['nodes']:,}", f"{cpu:.1f} s", f"{1e3 * call:.3f} ms", f"{grown / 2**20:,.0f} MiB")
        rows.append((row["backend"], row["bones"], row["side"], *numbers))
    head = ("backend", "K", "written as", "compiled nodes", "cold compile, CPU", "evaluation", "memory grew by")
    return "\n".join([stored["where"], "", *table_lines(head, rows)])


def main() -> None:
    """Measure all in turn, keep, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--bones", type=int, nargs="+", default=[3, 6, 12])
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "data" / "batching-backends.json")
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.one:
        backend, side, bones = chosen.one
        print(json.dumps(measure(backend, side, int(bones))))
        return
    cells = list(product(MODES, chosen.bones, SIDES))
    found: dict[Any, list[dict[str, float]]] = {cell: [] for cell in cells}
    for number in range(chosen.rounds):
        for backend, bones, side in reversed(cells) if number % 2 else cells:
            found[backend, bones, side].append(sample(backend, side, bones))
            print(backend, bones, side, found[backend, bones, side][-1], file=sys.stderr, flush=True)
    for (backend, bones, side), samples in found.items():
        if not np.allclose([one["logp"] for one in samples], found[backend, bones, SIDES[0]][0]["logp"], rtol=1e-11):
            sys.exit(f"{backend}, K={bones}, {side}: the log-density differs")
        if side == BATCHED and not np.isclose(
            samples[0]["gradient"], found[backend, bones, SIDES[0]][0]["gradient"], rtol=1e-10
        ):
            sys.exit(f"{backend}, K={bones}: the gradient differs")
    rows = [
        {"backend": backend, "bones": bones, "side": side, "samples": samples}
        for (backend, bones, side), samples in found.items()
    ]
    stored = {"where": where(f"{chosen.rounds} sample a row, each a process with empty caches"), "rows": rows}
    chosen.output.write_text(json.dumps(stored, indent=1) + "\n")
    print(table(stored))


if __name__ == "__main__":
    main()
