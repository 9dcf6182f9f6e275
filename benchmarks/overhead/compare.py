"""What does measuring cost? The same compile measured by firstgrad and by a bare script, in turn.

Both sides run in fresh processes with empty private caches and the same environment; the order within a pair changes
from pair to pair. Compared are processor seconds from the start of `build` to the first gradient, compilers included.
The watcher is a process of its own, so its processor time is no part of the compile.

Usage: ``python -m benchmarks.overhead.compare [--backend jax] [--pairs 20] [--timesteps 20] [--directions 2]
[--limit 1.03] [--keep]``. Exit code 1 where the whole interval lies above the limit.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
from pathlib import Path

from benchmarks.overhead.kept import MEASURED, keep, ratio_of
from firstgrad.case import BackendName, Case
from firstgrad.measuring.launch import run_sample
from firstgrad.measuring.private import PrivateCaches, worker_variables
from firstgrad.pose.spec import PoseSpec
from firstgrad.record import Status

BARE = Path(__file__).with_name("bare.py")


def measured_cpu_seconds(case: Case) -> float:
    """Processor seconds of the compile, as firstgrad measured them."""
    with PrivateCaches() as private:
        record = run_sample(case, private)
    if record.status is not Status.OK or record.time_to_first_gradient_cpu_seconds is None:
        sys.exit(f"the sample failed: {record.failure}")
    return record.time_to_first_gradient_cpu_seconds


def bare_cpu_seconds(arguments: list[str]) -> float:
    """Processor seconds by the bare script, in the environment that a worker gets."""
    with PrivateCaches() as private:
        environment = worker_variables(private.folder, os.environ)
        done = subprocess.run(
            [sys.executable, str(BARE), *arguments],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        sys.exit(f"the bare script failed:\n{done.stderr}")
    return float(done.stdout)


def main() -> None:
    """Measure the pairs, keep them, and print the ratio with its interval."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--backend", default="jax", choices=["jax", "numba", "c"])
    parser.add_argument("--pairs", type=int, default=20)
    parser.add_argument("--timesteps", type=int, default=20)
    parser.add_argument("--directions", type=int, default=2)
    parser.add_argument("--limit", type=float, default=1.03)
    parser.add_argument("--keep", action="store_true", help="in docs/data")
    chosen = parser.parse_args()
    spec = PoseSpec(n_timesteps=chosen.timesteps, n_directions=chosen.directions)
    case = Case(model=spec, backend=BackendName(chosen.backend), evaluations=0)
    arguments = [chosen.backend, str(chosen.timesteps), str(chosen.directions)]

    ratios, bares = [], []
    print("pair  measured  bare      ratio   (processor seconds)")
    for pair in range(chosen.pairs):
        if pair % 2:
            bare = bare_cpu_seconds(arguments)
            measured = measured_cpu_seconds(case)
        else:
            measured = measured_cpu_seconds(case)
            bare = bare_cpu_seconds(arguments)
        ratios.append(measured / bare)
        bares.append(bare)
        print(f"{pair + 1:4}  {measured:8.2f}  {bare:8.2f}  {ratios[-1]:6.3f}", flush=True)

    if chosen.keep:
        keep(MEASURED, f"{case}", ratios, statistics.median(bares))
    median, low, high = ratio_of(ratios)
    print(
        f"\n{case}: ratio of processor seconds, measured to bare: median {median:.3f}, "
        f"95% interval [{low:.3f}, {high:.3f}] (bootstrap, {chosen.pairs} pairs)"
    )
    sys.exit(1 if low > chosen.limit else 0)


if __name__ == "__main__":
    main()
