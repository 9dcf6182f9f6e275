"""What does measuring cost? The same compile measured by firstgrad and by a bare script, in turn.

Both sides run in fresh processes with empty private caches and the same environment; the order within a pair changes
from pair to pair. Compared are processor seconds from the start of `build` to the first gradient, compilers included.
The watcher is a process of its own, so its processor time is no part of the compile.

Usage: ``python -m benchmarks.overhead.compare [--backend jax] [--pairs 20] [--timesteps 20] [--directions 2]
[--limit 1.03] [--output docs/data/overhead.json]``. Exit code 1 where the whole interval lies above the limit.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import bootstrap

from benchmarks.where import where
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


def sentence(stored: dict[str, Any]) -> str:
    """Say what a measured compile takes of a bare one's processor seconds."""
    median, low, high = ratio_of(stored["ratios"])
    return (
        "- **Measuring costs little.** Processor seconds of a compile measured by firstgrad over those of a bare "
        f"script: median {median:.3f}, 95% interval [{low:.3f}, {high:.3f}], {len(stored['ratios'])} pairs in turn "
        "(`make bench-overhead`)."
    )


def ratio_of(ratios: list[float]) -> tuple[float, float, float]:
    """Return the median with its interval, by the bootstrap."""
    interval = bootstrap(
        (np.array(ratios),), np.median, confidence_level=0.95, rng=np.random.default_rng(1), method="percentile"
    ).confidence_interval
    return float(np.median(ratios)), float(interval.low), float(interval.high)


def main() -> None:
    """Measure the pairs, keep them, and print the ratio with its interval."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--backend", default="jax", choices=["jax", "numba", "c"])
    parser.add_argument("--pairs", type=int, default=20)
    parser.add_argument("--timesteps", type=int, default=20)
    parser.add_argument("--directions", type=int, default=2)
    parser.add_argument("--limit", type=float, default=1.03)
    parser.add_argument("--output", type=Path)
    chosen = parser.parse_args()
    spec = PoseSpec(n_timesteps=chosen.timesteps, n_directions=chosen.directions)
    case = Case(model=spec, backend=BackendName(chosen.backend), evaluations=0)
    arguments = [chosen.backend, str(chosen.timesteps), str(chosen.directions)]

    ratios = []
    print("pair  measured  bare      ratio   (processor seconds)")
    for pair in range(chosen.pairs):
        if pair % 2:
            bare = bare_cpu_seconds(arguments)
            measured = measured_cpu_seconds(case)
        else:
            measured = measured_cpu_seconds(case)
            bare = bare_cpu_seconds(arguments)
        ratios.append(measured / bare)
        print(f"{pair + 1:4}  {measured:8.2f}  {bare:8.2f}  {ratios[-1]:6.3f}", flush=True)

    if chosen.output:
        stored = {"where": where(f"{case}, {chosen.pairs} pairs in turn"), "ratios": ratios}
        chosen.output.write_text(json.dumps(stored, indent=1) + "\n")
    median, low, high = ratio_of(ratios)
    print(
        f"\n{case}: ratio of processor seconds, measured to bare: median {median:.3f}, "
        f"95% interval [{low:.3f}, {high:.3f}] (bootstrap, {chosen.pairs} pairs)"
    )
    sys.exit(1 if low > chosen.limit else 0)


if __name__ == "__main__":
    main()
