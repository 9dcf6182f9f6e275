"""Pack the caches of example models, and prove each bundle in fresh processes: the findings' table of bundles.

A model and a backend at a time: a process fills empty caches, a second one checks them, all is packed; then a fresh
process has nothing but the bundle.

Usage: ``python -m benchmarks.bundles.run [--models eight_schools glm lkj] [--backends jax_direct jax numba c]
[--output docs/data/bundles.json]``; some 4 minutes.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.limit.run import ROOT
from firstgrad.bundles import pack, verify, whole_seconds
from firstgrad.case import BackendName, Case, Target
from firstgrad.model import make_model
from firstgrad.units import format_bytes, format_seconds


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


def measure(model: str, backend: BackendName, folder: Path) -> Row:
    """Pack and prove one."""
    reference = str((ROOT / "examples" / "models" / f"{model}.py").relative_to(Path.cwd()))
    case = Case(model=make_model(f"{reference}:build"), backend=backend, target=Target.LOGP_DLOGP, evaluations=0)
    packed = pack([case], folder / f"{model}-{backend}.tar.gz")
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
    head = ("model", "backend", "units", "bundle", "read", "compiled", "results", "without", "with it", "sooner")
    lines = [f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}"]
    for row in rows:
        results = row.problem or ("identical" if row.is_same else "different")
        times = (format_seconds(row.without_seconds), format_seconds(row.with_seconds))
        ratio = f"{row.without_seconds / row.with_seconds:.1f}"
        counts = (row.units, format_bytes(row.size_bytes), row.units_read, row.units_compiled)
        lines.append(f"| {' | '.join(map(str, (row.model, row.backend, *counts, results, *times, ratio)))} |")
    return "\n".join(lines)


def main() -> None:
    """Measure, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["eight_schools", "glm", "lkj"])
    parser.add_argument("--backends", nargs="+", default=["jax_direct", "jax", "numba", "c"], type=BackendName)
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "data" / "bundles.json")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = [measure(model, backend, Path(folder)) for model in given.models for backend in given.backends]
    given.output.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n")
    print(table(rows))


if __name__ == "__main__":
    main()
