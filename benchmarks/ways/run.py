"""Ways to call ``pm.sample`` on PyMC 6: which one draws soonest, and which samples faster afterwards.

Each sample is a process of its own that makes one call, by default settings but for what the way says. ``first`` is a
call for one draw after one, so that it ends with the first draw of every chain; ``whole`` draws more. ``cold`` begins
with empty caches, ``warm`` with those that an equal call left; JAX has no folder to keep anything in, as by default.
Ways take turns, every second round backwards.

Usage: ``python -m benchmarks.ways.run [--rounds 3] [--output docs/data/ways.json]``.
``--again`` adds rounds to those in the output; ``--rounds 0`` prints its table.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from firstgrad.measuring.environment import host_fingerprint
from firstgrad.measuring.private import PrivateCaches, worker_variables
from firstgrad.units import format_seconds

ROOT = Path(__file__).parents[2]
WAYS = {
    "default": "pm.sample()",
    "jax": 'pm.sample(backend="jax")',
    "jax-own": 'pm.sample(backend="jax", compile_kwargs={"gradient_backend": "jax"})',
    "pymc": 'pm.sample(nuts_sampler="pymc")',
    "pymc-c": 'pm.sample(nuts_sampler="pymc", backend="c")',
    "pymc-jax": 'pm.sample(nuts_sampler="pymc", backend="jax", cores=1)',
    "numpyro": 'pm.sample(nuts_sampler="numpyro")',
    "fast-mode": 'pm.sample(compile_kwargs={"mode": firstgrad.fast_mode()})',
    "firstgrad": "firstgrad.sample()",
}
"""What is typed; the first is what others are compared with."""
MODELS = {"pose": "pose model (T=20, K=2)", "schools": "eight schools"}
WHOLE_DRAWS = {"pose": 100, "schools": 1000}  # after as many of tuning
_LIMIT_SECONDS = 900.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Called:
    """One call in one process."""

    model: str
    way: str
    is_cold: bool
    is_whole: bool
    wall_seconds: float  # from the built model to the end of the call
    cpu_seconds: float  # of the process and the children that it waited for
    chains: int
    steps_a_draw: float | None  # leapfrog steps after tuning, on average


def sample(model_name: str, way: str, *, is_cold: bool, is_whole: bool) -> Called:
    """Make the call in this process."""
    import logging

    import jax  # noqa: F401 - imports are no part of it
    import numpy as np
    import nutpie  # noqa: F401
    import pymc as pm
    import pytensor.link.numba.dispatch  # noqa: F401

    import firstgrad

    logging.disable(logging.CRITICAL)
    if model_name == "pose":
        from firstgrad.pose.data import generate
        from firstgrad.pose.graph import build_pose_model
        from firstgrad.pose.spec import PoseSpec

        spec = PoseSpec(n_timesteps=20, n_directions=2)
        model = build_pose_model(spec, generate(spec))
    else:
        from examples.models.eight_schools import build

        model = build()
    began, processor = time.perf_counter(), sum(os.times()[:4])
    draws = WHOLE_DRAWS[model_name] if is_whole else 1
    options = {"draws": draws, "tune": draws, "random_seed": 1, "progressbar": False}
    options["compute_convergence_checks"] = False
    words = WAYS[way].removesuffix(")")
    with model:
        call = f"{words}{'' if words.endswith('(') else ', '}**options)"
        trace = eval(call, {"pm": pm, "firstgrad": firstgrad, "model": model, "options": options})  # noqa: S307 - ours
    wall, cpu = time.perf_counter() - began, sum(os.times()[:4]) - processor
    stats = trace["sample_stats"]
    steps = next((np.asarray(stats[name]) for name in ("n_steps", "tree_size") if name in stats), None)
    return Called(
        model=model_name,
        way=way,
        is_cold=is_cold,
        is_whole=is_whole,
        wall_seconds=wall,
        cpu_seconds=cpu,
        chains=int(trace["posterior"].sizes["chain"]),
        steps_a_draw=None if steps is None or not is_whole else float(steps.mean()),
    )


def measure(private: PrivateCaches, model: str, way: str, *, is_cold: bool, is_whole: bool) -> Called | None:
    """Make the call in a fresh process; none where it fails or takes too long, which is said."""
    private.restore()
    variables = worker_variables(private.folder, os.environ)
    kept = {name: value for name, value in variables.items() if not name.startswith("JAX_COMPILATION_CACHE")}
    command = [sys.executable, "-m", "benchmarks.ways.run", "--sample", model, way, str(+is_cold), str(+is_whole)]
    what = f"{model} {way} {'cold' if is_cold else 'warm'} {'whole' if is_whole else 'first'}"
    try:
        done = subprocess.run(
            command, env=kept, cwd=ROOT, capture_output=True, text=True, check=False, timeout=_LIMIT_SECONDS
        )
    except subprocess.TimeoutExpired:
        say(f"{what}: longer than {_LIMIT_SECONDS:g} s")
        return None
    if done.returncode:
        say(f"{what}: {done.stderr.strip().splitlines()[-1:]}")
        return None
    called = Called(**json.loads(done.stdout.splitlines()[-1]))
    say(f"{what}: {called.wall_seconds:.1f} s, CPU {called.cpu_seconds:.1f} s")
    return called


def measure_round(
    number: int, folders: dict[tuple[str, str], PrivateCaches], models: list[str], ways: list[str]
) -> list[Called]:
    """Measure every way of every model; the caches that its first cold call leaves are those of its warm ones."""
    taken = list[Called | None]()
    turns = [(model, way) for model in models for way in ways]
    for model, way in turns if number % 2 == 0 else reversed(turns):
        with ExitStack() as opened:
            empty = opened.enter_context(PrivateCaches())
            taken.append(measure(empty, model, way, is_cold=True, is_whole=False))
            if (model, way) not in folders:
                empty.save()
                folders[model, way] = empty
                opened.pop_all()
        taken += [measure(folders[model, way], model, way, is_cold=False, is_whole=whole) for whole in (False, True)]
    return [one for one in taken if one is not None]


def say(line: str) -> None:
    """Say what was measured just now."""
    print(f"{datetime.now(UTC):%H:%M:%S} {line}", file=sys.stderr, flush=True)


def describe(samples: list[Called]) -> str:
    """Say in a paragraph what was measured, and where."""
    packages = ", ".join(
        f"{name} {version(name)}" for name in ("pymc", "pytensor", "nutpie", "numba", "jax", "numpyro")
    )
    host, python = host_fingerprint(), sys.version.split()[0]
    most = max(len(group) for group in grouped(samples).values())
    calls = "one call" if most == 1 else f"medians of up to {most} calls"
    return (
        f"{samples[0].chains} chains, {host.cores} cores of {host.processor}, Python {python}, {packages}, "
        f"{datetime.now(UTC):%Y-%m-%d}; {calls} each, in turns, each in a process of its own, imports "
        "left out: processor seconds, compilers and all chains included; in brackets the ratio to the first row's."
    )


def grouped(samples: list[Called]) -> dict[tuple[str, str, bool, bool], list[Called]]:
    """Put equal calls together."""
    groups: dict[tuple[str, str, bool, bool], list[Called]] = defaultdict(list)
    for one in samples:
        groups[one.model, one.way, one.is_cold, one.is_whole].append(one)
    return groups


def markdown(samples: list[Called], about: str) -> str:
    """Write a table a model, and what it was measured on."""
    groups, parts = grouped(samples), [about]
    columns = ((True, False), (False, False), (False, True))
    for model, title in MODELS.items():
        names = (
            "first draw, empty caches",
            "first draw, later process",
            f"{2 * WHOLE_DRAWS[model]:,} draws a chain, later process",
            "leapfrog steps a draw",
        )
        lines = [f"| {title} | {' | '.join(names)} |", "| --- " * (1 + len(names)) + "|"]
        for way, call in WAYS.items():
            measured = [groups.get((model, way, *column), []) for column in columns]
            if not any(measured):
                continue
            bases = [groups.get((model, "default", *column), []) for column in columns]
            steps = [one.steps_a_draw for one in measured[-1] if one.steps_a_draw is not None]
            cells = [cell(own, base) for own, base in zip(measured, bases, strict=True)]
            lines.append(f"| `{call}` | {' | '.join(cells)} | {statistics.median(steps) if steps else math.nan:.0f} |")
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def cell(own: list[Called], base: list[Called]) -> str:
    """Write the median, and what it is of the default's."""
    if not own:
        return ""
    median = statistics.median(one.cpu_seconds for one in own)
    ratio = "" if own is base or not base else f" ({median / statistics.median(one.cpu_seconds for one in base):.2f})"
    return f"{format_seconds(median)}{ratio}"


def main() -> None:
    """Measure, keep, print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--sample", nargs=4, help=argparse.SUPPRESS)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--models", default=",".join(MODELS))
    parser.add_argument("--ways", default=",".join(WAYS))
    parser.add_argument("--again", action="store_true", help="add to what is in the output")
    parser.add_argument("--output", type=Path, default=Path("docs/data/ways.json"))
    chosen = parser.parse_args()
    if chosen.sample:
        model, way, is_cold, is_whole = chosen.sample
        print(json.dumps(asdict(sample(model, way, is_cold=is_cold == "1", is_whole=is_whole == "1"))))
        return
    stored: dict[str, Any] = {"about": "", "samples": []}
    if chosen.again or chosen.rounds == 0:
        stored = json.loads(chosen.output.read_text())
    samples, about = [Called(**one) for one in stored["samples"]], stored["about"]
    folders: dict[tuple[str, str], PrivateCaches] = {}
    try:
        for number in range(chosen.rounds):
            samples += measure_round(number, folders, chosen.models.split(","), chosen.ways.split(","))
            about = describe(samples)
            chosen.output.write_text(json.dumps({"about": about, "samples": [*map(asdict, samples)]}, indent=1) + "\n")
    finally:
        for private in folders.values():
            private.close()
    print(markdown(samples, about))


if __name__ == "__main__":
    main()
