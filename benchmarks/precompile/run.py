"""Compile the pose model's log-density and gradient alone, and after ``firstgrad.precompile``, in turns, cold each.

``python -m benchmarks.precompile.run --backends c numba --jobs 2 --rounds 2``: each compile is a process with an empty
cache of its own; seconds are counted from the built model to the first gradient, imports left out. Writes
``docs/data/precompile.json``; `make pages` puts the table into its page.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.markers import table_lines
from benchmarks.where import where
from firstgrad.units import format_bytes, format_seconds

if TYPE_CHECKING:
    from collections.abc import Callable

COMPILE = """
import json, os, sys, time
import numpy as np
import pymc, pytensor
from pytensor.compile.mode import Mode
from firstgrad.pose.data import generate
from firstgrad.pose.graph import build_pose_model
from firstgrad.pose.spec import PoseSpec
from firstgrad.precompiling.units import peak_bytes
backend, jobs, timesteps, directions = sys.argv[1], *map(int, sys.argv[2:])
mode = {"numba": "NUMBA", "c": Mode("cvm", "fast_run")}[backend]
if backend == "numba":
    import pytensor.link.numba.dispatch
spec = PoseSpec(n_timesteps=timesteps, n_directions=directions)
data = generate(spec)
model = build_pose_model(spec, data)
cpu = lambda used=None: sum(os.times()[:4])
wall, used = time.perf_counter(), cpu()
told = {"children": [], "units": 0, "precompile": 0.0}
if jobs:
    import firstgrad
    report = firstgrad.precompile(model, backend=backend, jobs=jobs, progress=False).report
    told["children"] = [child.cpu_seconds for child in report.children]
    told["units"] = sum(unit.compiled for unit in report.units)
    told["precompile"] = time.perf_counter() - wall
    told["left"] = [f"{unit.name}: {unit.left}" for unit in report.left]
    used += sum(told["children"])  # which ended within: what is left is this process's own
function = model.logp_dlogp_function(ravel_inputs=True, mode=mode, initial_point=dict(data.initial))
function(np.concatenate([np.ravel(data.initial[value.name]) for value in model.continuous_value_vars]))
told |= {"wall": time.perf_counter() - wall, "cpu": cpu() - used, "peak": peak_bytes(with_compilers=False)}
print(json.dumps(told))
"""


def compile_once(arguments: argparse.Namespace, backend: str, jobs: int) -> dict[str, Any]:
    """Compile in a fresh process with an empty cache."""
    with tempfile.TemporaryDirectory(prefix="firstgrad-bench-") as folder:
        flags = ",".join(filter(None, [os.environ.get("PYTENSOR_FLAGS", ""), f"base_compiledir={folder}"]))
        sizes = (arguments.timesteps, arguments.directions)
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", COMPILE, backend, str(jobs), *map(str, sizes)],
            env=os.environ | {"PYTENSOR_FLAGS": flags},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise SystemExit(done.stderr)
        return json.loads(done.stdout.splitlines()[-1])


def table(stored: dict[str, Any]) -> str:
    """Write where it was measured, and a row a backend and number of jobs: medians, and a compile alone over them."""
    columns = ("backend", "jobs", "longest child + this process, CPU", "alone / this", "all CPU", "peak memory here")
    rows = []
    alone = {row["backend"]: _median(row, _longest) for row in stored["rows"] if not row["jobs"]}
    for row in stored["rows"]:
        longest = _median(row, _longest)
        numbers = (
            format_seconds(longest),
            f"{alone[row['backend']] / longest:.2f}",
            format_seconds(_median(row, lambda one: sum(one["children"]) + one["cpu"])),
            format_bytes(round(_median(row, lambda one: one["peak"]))),
        )
        rows.append((row["backend"], row["jobs"] or "alone", *numbers))
    return "\n".join([stored["where"], "", *table_lines(columns, rows)])


def _median(row: dict[str, Any], of: Callable[[dict[str, Any]], float]) -> float:
    return statistics.median(map(of, row["samples"]))


def _longest(row: dict[str, Any]) -> float:
    return max([0.0, *row["children"]]) + row["cpu"]


def main() -> None:
    """Measure in turns, keep, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backends", choices=["numba", "c"], nargs="+", default=["c", "numba"])
    parser.add_argument("--jobs", type=int, nargs="+", default=[2], help="one or several numbers")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--timesteps", type=int, default=20)
    parser.add_argument("--directions", type=int, default=2)
    parser.add_argument("--output", type=Path, default=Path("docs/data/precompile.json"))
    arguments = parser.parse_args()
    rows: list[dict[str, Any]] = [
        {"backend": backend, "jobs": jobs, "samples": []}
        for backend in arguments.backends
        for jobs in (0, *arguments.jobs)
    ]
    for _ in range(arguments.rounds):
        for row in rows:
            row["samples"].append(compile_once(arguments, row["backend"], row["jobs"]))
            print(row["backend"], row["jobs"], row["samples"][-1], file=sys.stderr, flush=True)
    rounds = f"{arguments.rounds} round{'s' if arguments.rounds > 1 else ''}"
    how = f"Pose model, T={arguments.timesteps}, K={arguments.directions}, log-density and gradient, {rounds} in turns"
    stored = {"where": where(how, ("pymc", "pytensor", "numba")), "rows": rows}
    arguments.output.write_text(json.dumps(stored, indent=1) + "\n")
    print(table(stored))


if __name__ == "__main__":
    main()
