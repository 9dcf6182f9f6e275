"""The limit: the pose model's density by hand, in JAX and in Numba, from the import to the steady evaluation.

Every sample is a process of its own; rounds go through all setups, every second one backwards. ``none``: JAX's
persistent cache is off. ``filled``: an identical process has filled it before, in a private folder, and each sample
starts from a copy. Times of the first gradient begin after the import and after the data are made.

Usage: ``python -m benchmarks.limit.run [--samples 5] [--timesteps 100] [--directions 5] [--only NAME]
[--output docs/data/limit.json]``.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.limit.table import markdown, text
from benchmarks.limit.variants import VARIANTS, Measured, Setup, read_measured, variant_named
from firstgrad.measuring.environment import describe_environment
from firstgrad.measuring.private import PrivateCaches, worker_variables

ROOT = Path(__file__).parents[2]
STATES = 2
TIMEOUT_SECONDS = 900


def setups(only: str = "") -> list[Setup]:
    """List what is measured: the variants whose name holds `only`, HMM off and on, without and with a cache."""
    return [
        Setup(variant=variant.name, n_states=n_states, is_warm=is_warm)
        for n_states in (0, STATES)
        for variant in VARIANTS
        if only in variant.name and (variant.without_hmm or n_states)
        for is_warm in ((False, True) if variant.is_cached else (False,))
    ]


def measure(setup: Setup, private: PrivateCaches, size: tuple[int, int], *, is_cached: bool) -> Measured:
    """Measure one sample in a fresh process; SystemExit where it fails or its cache was not what it had to be."""
    environment = worker_variables(private.folder, os.environ)
    environment["JAX_ENABLE_COMPILATION_CACHE"] = str(is_cached).lower()
    words = [setup.variant, str(setup.n_states), *map(str, size)]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.limit.sample", *words],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT_SECONDS,
    )
    if done.returncode:
        sys.exit(f"{setup} failed:\n{done.stderr}")
    measured = read_measured(json.loads(done.stdout.splitlines()[-1]))
    if variant_named(setup.variant).source != "loops" and (measured.cache_hits > 0) != setup.is_warm:
        sys.exit(f"{setup}: {measured.cache_hits} programs came from JAX's cache")
    return measured


def fill(setup: Setup, private: PrivateCaches, size: tuple[int, int]) -> None:
    """Fill a private cache by a process that does what the samples will do."""
    measure(Setup(variant=setup.variant, n_states=setup.n_states, is_warm=False), private, size, is_cached=True)
    private.save()


def describe(samples: int, size: tuple[int, int]) -> str:
    """Say in a paragraph what was measured, where, and how to read it."""
    environment = describe_environment()
    versions, host = dict(environment.versions), environment.host
    return (
        f"The pose model's density by hand, T={size[0]}, K={size[1]}, C=3, float64, value and gradient; {samples} "
        f"samples a row, each a process of its own, all setups in turn. JAX {versions['jax']}, Numba "
        f"{versions['numba']}, NumPy {versions['numpy']}, Python {environment.python}, {host.cores} cores of "
        f"{host.processor}, {datetime.now(UTC):%Y-%m-%d}. Made by `make bench-limit`. Stages are medians of wall time; "
        "the first gradient is everything but the import. Intervals are of the median; below 6 samples the whole "
        "range. `level 0` is XLA's `xla_backend_optimization_level=0`; `executable` is XLA's serialised one. Every "
        "sample agrees with the oracle at the start point and 8 points near it."
    )


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--samples", type=int, default=5)
    parser.add_argument("--timesteps", type=int, default=100)
    parser.add_argument("--directions", type=int, default=5)
    parser.add_argument("--only", default="", help="a part of the variants' names")
    parser.add_argument("--output", type=Path)
    chosen = parser.parse_args()
    size = (chosen.timesteps, chosen.directions)
    found: dict[Setup, list[Measured]] = {setup: [] for setup in setups(chosen.only)}
    if not found:
        parser.error(f"no variant's name holds {chosen.only!r}: {', '.join(each.name for each in VARIANTS)}")

    with ExitStack() as stack:
        folders = {setup: stack.enter_context(PrivateCaches()) for setup in found if setup.is_warm}
        empty = stack.enter_context(PrivateCaches())
        for setup, private in folders.items():
            fill(setup, private, size)
        for number in range(chosen.samples):
            for setup in reversed(found) if number % 2 else found:
                private = folders.get(setup, empty)
                private.restore()
                found[setup].append(measure(setup, private, size, is_cached=setup.is_warm))
            print(f"round {number + 1} of {chosen.samples}", file=sys.stderr, flush=True)

    where = describe(chosen.samples, size)
    print(f"{text(found)}\n\n{markdown(found, where)}")
    if chosen.output:
        document = {
            "where": where,
            "environment": asdict(describe_environment()),
            "timesteps": size[0],
            "directions": size[1],
            "setups": [{**asdict(setup), "samples": list(map(asdict, each))} for setup, each in found.items()],
        }
        chosen.output.write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
