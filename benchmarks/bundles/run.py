"""Caches that travel, and caches that are shared: the findings' tables of bundles and of many writers.

Bundles: a model and a backend at a time, a process fills empty caches, a second one checks them, all is packed; then
a fresh process has nothing but the bundle. Writers: many processes begin at once with one empty folder of caches, as
jobs of a cluster do; then one more process is measured with what they left.

Usage: ``python -m benchmarks.bundles.run [bundles] [writers] [--models eight_schools glm lkj]
[--backends jax_direct jax numba c] [--processes 8]``; some 4 minutes each. Writes ``docs/data/bundles.json`` and
``docs/data/writers.json``.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.limit.run import ROOT
from benchmarks.markers import table_lines
from firstgrad.backends import cache_entries
from firstgrad.bundles import pack, verify, whole_seconds
from firstgrad.case import BackendName, Case, Target
from firstgrad.measuring.private import worker_variables
from firstgrad.model import make_model
from firstgrad.units import format_bytes, format_seconds

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, kw_only=True)
class Row:
    """What a bundle has, and what it saved a fresh process."""

    model: str
    backend: str
    units: int
    size_bytes: int
    units_read: int
    units_compiled: int
    is_same: bool
    problem: str
    without_seconds: float
    with_seconds: float


def make_case(model: str, backend: BackendName) -> Case:
    """Ask for log-density and gradient of an example."""
    reference = str((ROOT / "examples" / "models" / f"{model}.py").relative_to(Path.cwd()))
    return Case(model=make_model(f"{reference}:build"), backend=backend, target=Target.LOGP_DLOGP, evaluations=0)


def measure(model: str, backend: BackendName, folder: Path) -> Row:
    """Pack and prove one."""
    packed = pack([make_case(model, backend)], folder / f"{model}-{backend}.tar.gz")
    (verified,) = verify(packed.file)
    use, manifest = verified.record.caches, packed.manifest
    return Row(
        model=model,
        backend=str(backend),
        units=manifest.units,
        size_bytes=Path(packed.file).stat().st_size,
        units_read=use.entries_read if use else 0,
        units_compiled=use.entries_written if use else 0,
        is_same=verified.is_same,
        problem=verified.problem,
        without_seconds=verified.bundled.first_seconds,
        with_seconds=whole_seconds(verified.record),
    )


def table(rows: list[Row]) -> str:
    """Write them as Markdown."""
    head = ("model", "backend", "units", "bundle", "read", "compiled", "results", "without", "with it", "saved")
    cells = []
    for row in rows:
        results = row.problem or ("identical" if row.is_same else "different")
        times = (format_seconds(row.without_seconds), format_seconds(row.with_seconds))
        saved = (
            f"{format_seconds(row.without_seconds - row.with_seconds)} ({row.without_seconds / row.with_seconds:.1f}x)"
        )
        counts = (row.units, format_bytes(row.size_bytes), row.units_read, row.units_compiled)
        cells.append((row.model, row.backend, *counts, results, *times, saved))
    return "\n".join(table_lines(head, cells))


# --- many writers -------------------------------------------------------------------------------------------------

_WRITE = """
import hashlib, runpy, sys
from pymc.blocking import DictToArrayBijection
backend, path = sys.argv[1:]
model = runpy.run_path(path)["build"]()
point = DictToArrayBijection.map(model.initial_point())
if backend == "jax_direct":
    import firstgrad
    answer = firstgrad.fast_gradient(model)(point.data)
else:
    from pytensor.compile.mode import Mode
    mode = Mode("cvm", "fast_run") if backend == "c" else backend.upper()
    function = model.logp_dlogp_function(ravel_inputs=True, mode=mode)
    function.set_extra_values({})
    answer = function(point)
import numpy as np
print(hashlib.sha256(b"".join(np.asarray(part).tobytes() for part in answer)).hexdigest())
"""
_LIMIT_SECONDS = 500


@dataclass(frozen=True, kw_only=True)
class Written:
    """What a process that compiles a model into a folder of caches came to."""

    seconds: float  # from its start to its end
    answer: str  # digest of log-density and gradient, bit by bit; '' where it failed
    why: str  # it failed; '' where it didn't


@dataclass(frozen=True, kw_only=True)
class Shared:
    """What many processes that began at once left in one folder."""

    models: tuple[str, ...]  # each process compiles one of them, in turn
    backend: str
    writers: int
    failed: tuple[str, ...]  # why, of each that failed
    alone_seconds: float  # of one process of the first model, with the machine for itself
    slowest_seconds: float  # of the writers
    units_alone: int  # that one process of each model left, one after the other
    units: int
    left_over: tuple[str, ...]  # files that no compiler reads again
    next_compiled: int  # units that one more process of each model added
    is_same: bool  # whether all results have the bits of the process that was alone


def share(models: tuple[str, ...], backend: BackendName, writers: int) -> Shared:
    """Have processes fill one folder at once, and then one more of each model use it."""
    with tempfile.TemporaryDirectory() as folder:
        alone = {model: compile_into(model, backend, Path(folder)) for model in models}
        units_alone = _count_units(Path(folder))
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(writers) as pool:
        turns = [models[number % len(models)] for number in range(writers)]
        together = list(pool.map(lambda model: compile_into(model, backend, Path(folder)), turns))
        units = _count_units(Path(folder))
        following = [compile_into(model, backend, Path(folder)) for model in models]
        left = [path.name for path in Path(folder).rglob("*") if ".tmp." in path.name or path.suffix == ".half"]
        left += [path.parent.name for path in Path(folder).rglob("mod.cpp") if not any(path.parent.glob("*.so"))]
        added = _count_units(Path(folder)) - units
    answers = zip((*turns, *models), (*together, *following), strict=True)
    return Shared(
        models=models,
        backend=str(backend),
        writers=writers,
        failed=tuple(one.why for one in together if one.why),
        alone_seconds=alone[models[0]].seconds,
        slowest_seconds=max(one.seconds for one in together),
        units_alone=units_alone,
        units=units,
        left_over=tuple(left),
        next_compiled=added,
        is_same=all(one.answer == alone[model].answer != "" for model, one in answers),
    )


def compile_into(model: str, backend: BackendName, folder: Path) -> Written:
    """Compile a model in a process that has its caches in this folder."""
    variables = worker_variables(folder, os.environ)
    Path(variables["TMPDIR"]).mkdir(parents=True, exist_ok=True)
    began, answer = time.monotonic(), ""
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-c", _WRITE, backend, ROOT / "examples" / "models" / f"{model}.py"],
            env=variables,
            capture_output=True,
            text=True,
            check=False,
            timeout=_LIMIT_SECONDS,
        )
        lines = (done.stderr if done.returncode else done.stdout).strip().splitlines()
        answer, why = ("", lines[-1]) if done.returncode else (lines[-1], "")
    except subprocess.TimeoutExpired:
        why = f"not done after {_LIMIT_SECONDS} s"
    return Written(seconds=time.monotonic() - began, answer=answer, why=why)


def _count_units(folder: Path) -> int:
    kinds = cache_entries()
    return sum(any(kind.is_at(path) for kind in kinds) for path in folder.rglob("*") if path.is_file())


def shared_table(rows: list[Shared]) -> str:
    """Write them as Markdown."""
    head = ("backend", "models", "processes", "failed", "alone", "slowest of them", "units alone", "units")
    head += ("left over", "the next one compiled", "results")
    cells = []
    for row in rows:
        times = (format_seconds(row.alone_seconds), format_seconds(row.slowest_seconds))
        counts = (row.units_alone, row.units, len(row.left_over), row.next_compiled)
        result = "identical" if row.is_same else "different"
        cells.append((row.backend, ", ".join(row.models), row.writers, len(row.failed), *times, *counts, result))
    return "\n".join(table_lines(head, cells))


def main() -> None:
    """Measure, and write the data."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="*", choices=["bundles", "writers"], default=["bundles", "writers"])
    parser.add_argument("--models", nargs="+", default=["eight_schools", "glm", "lkj"])
    parser.add_argument("--backends", nargs="+", default=["jax_direct", "jax", "numba", "c"], type=BackendName)
    parser.add_argument("--processes", type=int, default=8)
    given = parser.parse_args()
    if "bundles" in given.what:
        with tempfile.TemporaryDirectory() as folder:
            rows = [measure(model, backend, Path(folder)) for model in given.models for backend in given.backends]
        _keep("bundles", rows)
        print(table(rows))
    if "writers" in given.what:
        one, *others = given.models
        sets = [(one,), (one, others[0])] if others else [(one,)]
        shared = [share(models, backend, given.processes) for backend in given.backends for models in sets]
        _keep("writers", shared)
        print(shared_table(shared))


def _keep(name: str, rows: Sequence[Row | Shared]) -> None:
    file = ROOT / "docs" / "data" / f"{name}.json"
    file.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n")


if __name__ == "__main__":
    main()
