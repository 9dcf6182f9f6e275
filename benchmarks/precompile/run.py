"""Compile the pose model's log-density and gradient alone, and after ``firstgrad.precompile``, in turns, cold each.

``python -m benchmarks.precompile.run --backend numba --jobs 2 --rounds 2``: each compile is a process with an empty
cache of its own; seconds are counted from the built model to the first gradient, imports left out.
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
from pathlib import Path
from typing import Any

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


def compile_once(arguments: argparse.Namespace, jobs: int) -> dict[str, Any]:
    """Compile in a fresh process with an empty cache."""
    with tempfile.TemporaryDirectory(prefix="firstgrad-bench-") as folder:
        flags = ",".join(filter(None, [os.environ.get("PYTENSOR_FLAGS", ""), f"base_compiledir={folder}"]))
        sizes = (arguments.timesteps, arguments.directions)
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", COMPILE, arguments.backend, str(jobs), *map(str, sizes)],
            env=os.environ | {"PYTENSOR_FLAGS": flags},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise SystemExit(done.stderr)
        return json.loads(done.stdout.splitlines()[-1])


def print_table(rows: dict[int, list[dict[str, Any]]]) -> None:
    """Print medians of each number of jobs, and how many times as long a compile alone takes."""
    columns = ("jobs", "wall, s", "alone / this", "longest child + parent, CPU s", "alone / this", "all CPU, s", "MiB")
    print(f"| {' | '.join(columns)} |\n{'| --- ' * len(columns)}|")
    for jobs, told in rows.items():
        wall, longest = (statistics.median(map(of, told)) for of in (_wall, _longest))
        ratios = [statistics.median(map(of, rows[0])) / now for of, now in ((_wall, wall), (_longest, longest))]
        every = statistics.median(sum(row["children"]) + row["cpu"] for row in told)
        peak = statistics.median(row["peak"] for row in told) / 2**20
        cells = (jobs or "alone", f"{wall:.1f}", f"{ratios[0]:.2f}", f"{longest:.1f}", f"{ratios[1]:.2f}")
        print(f"| {' | '.join(map(str, (*cells, f'{every:.1f}', f'{peak:.0f}')))} |")


def _wall(row: dict[str, Any]) -> float:
    return row["wall"]


def _longest(row: dict[str, Any]) -> float:
    return max([0.0, *row["children"]]) + row["cpu"]


def main() -> None:
    """Measure in turns, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backend", choices=["numba", "c"], default="numba")
    parser.add_argument("--jobs", type=int, nargs="+", default=[2], help="one or several numbers")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--timesteps", type=int, default=20)
    parser.add_argument("--directions", type=int, default=2)
    parser.add_argument("--out", type=Path, help="a file for the numbers, JSON, a line a compile")
    arguments = parser.parse_args()
    rows: dict[int, list[dict[str, Any]]] = {jobs: [] for jobs in (0, *arguments.jobs)}
    began = time.perf_counter()
    for _ in range(arguments.rounds):
        for jobs, told in rows.items():
            told.append(compile_once(arguments, jobs))
            if arguments.out is not None:
                facts = {"backend": arguments.backend, "timesteps": arguments.timesteps, "jobs": jobs}
                facts |= {"directions": arguments.directions, "load": os.getloadavg()[0]}
                with arguments.out.open("a") as file:
                    file.write(f"{json.dumps(facts | told[-1])}\n")
    print_table(rows)
    print(f"\nload {os.getloadavg()[0]:.1f}; {time.perf_counter() - began:.0f} s in all")


if __name__ == "__main__":
    main()
