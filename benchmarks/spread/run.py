"""Take identical samples, and tell by how much each count differs between them, and what counting costs.

Per backend, in an empty cache: so many instrumented samples, and in as many of the first rounds as `--costs` says also
a plain one and one without a watch on the compilers, in turn. What counting costs is the geometric mean of the rounds'
ratios of processor seconds to the first gradient, by the last of these.

Usage: ``python -m benchmarks.spread.run [--samples 20] [--costs 8] [--output docs/data/spread.json]``. ``--samples 0``
writes the table of `docs/method.md` from what is in the output.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from firstgrad.case import BackendName, Case, Counting
from firstgrad.columns import METRICS, Role, Unit
from firstgrad.measuring.launch import measure
from firstgrad.model import make_model

if TYPE_CHECKING:
    from firstgrad.record import Record

ROOT = Path(__file__).parents[2]
BACKENDS = (BackendName.JAX, BackendName.NUMBA, BackendName.C)
_MODEL = "benchmarks/spread/model.py:build"
_LIMIT_SECONDS = 600.0
_BARE = "bare"


def take(backend: BackendName, counting: Counting, *, watched: bool = True) -> Record:
    """Take a sample; raises RuntimeError where it failed."""
    case = Case(
        model=make_model(_MODEL, {} if watched else {"watched": False}),
        backend=backend,
        counting=counting,
        evaluations=0,
        time_limit_seconds=_LIMIT_SECONDS,
    )
    (record,) = measure(case, label="spread")
    if record.failure is not None:
        raise RuntimeError(record.failure.message)
    return record


def numbers_of(record: Record) -> dict[str, float]:
    """Read every count that a sample has."""
    counts = (metric for metric in METRICS if metric.unit is not Unit.SECONDS and metric.role is Role.METRIC)
    return {metric.name: number for metric in counts if (number := metric.read(record)) is not None}


def measure_backend(backend: BackendName, samples: int, costs: int) -> dict[str, Any]:
    """Measure a backend: smallest and largest of each count, and both costs."""
    seen: defaultdict[str, list[float]] = defaultdict(list)
    seconds: defaultdict[str, list[float]] = defaultdict(list)
    for number in range(max(samples, costs)):
        record = take(backend, Counting.INSTRUMENTED)
        for name, count in numbers_of(record).items():
            seen[name].append(count)
        if number < costs:
            seconds[Counting.INSTRUMENTED].append(record.time_to_first_gradient_cpu_seconds or math.nan)
            sides = [(Counting.PLAIN, True), (_BARE, False)]
            for name, watched in sides[:: 1 - 2 * (number % 2)]:
                plain = take(backend, Counting.PLAIN, watched=watched)
                seconds[name].append(plain.time_to_first_gradient_cpu_seconds or math.nan)
        print(f"{backend}: {number + 1}", flush=True)
    return {
        "counts": {
            name: {"samples": len(counts), "least": min(counts), "largest": max(counts)}
            for name, counts in sorted(seen.items())
        },
        "cpu_seconds": dict(seconds),
        "unavailable": list(record.work.unavailable) if record.work else [],
        "versions": dict(record.environment.versions),
        "processor": record.environment.host.processor,
        "at": datetime.now(UTC).date().isoformat(),
    }


def spread_of(counts: dict[str, float]) -> float:
    """Tell by how much the largest exceeds the least, as a part of it."""
    return counts["largest"] / counts["least"] - 1 if counts["least"] else float(counts["largest"] > 0)


def cost_of(seconds: dict[str, list[float]], counting: str) -> float:
    """Tell what counting adds to processor seconds, as a part of them."""
    ratios = [math.log(one / bare) for one, bare in zip(seconds[counting], seconds[_BARE], strict=True)]
    return math.exp(statistics.fmean(ratios)) - 1


def make_table(known: dict[str, Any]) -> str:
    """Write the table of docs/method.md."""
    titles = {metric.name: metric for metric in METRICS}
    names = [metric.name for metric in METRICS if any(metric.name in one["counts"] for one in known.values())]
    lines = [
        "| count | taken in | " + " | ".join(f"`{backend}`" for backend in known) + " | exact |",
        "| --- | --- | " + "--- | " * len(known) + "--- |",
    ]
    for name in names:
        metric = titles[name]
        cells = []
        for one in known.values():
            counts = one["counts"].get(name)
            cells.append("" if counts is None else f"{counts['largest']:,.0f} ({spread_of(counts):.4%})")
        where = "each" if metric.counting is Counting.PLAIN else str(metric.counting)
        lines.append(f"| `{name}` | {where} | {' | '.join(cells)} | {'yes' if metric.is_exact else 'no'} |")
    rows = [
        f"`{backend}` {cost_of(one['cpu_seconds'], Counting.PLAIN):+.1%} in each sample and "
        f"{cost_of(one['cpu_seconds'], Counting.INSTRUMENTED):+.1%} in an instrumented one"
        for backend, one in known.items()
    ]
    first = next(iter(known.values()))
    samples = max(counts["samples"] for counts in first["counts"].values())
    rounds = len(first["cpu_seconds"][_BARE])
    said = (
        f"The largest of {samples} identical samples a backend and, in brackets, by how much it exceeds the least; a "
        f"small model in an empty cache, {first['at']}, {first['processor']}, Python packages of that day. What "
        f"counting adds to the processor seconds of a first gradient (geometric mean of {rounds} rounds): "
        f"{'; '.join(rows)}."
    )
    return "\n".join([said, "", *lines])


def main() -> None:
    """Measure, keep, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=20)
    parser.add_argument("--costs", type=int, default=8)
    parser.add_argument("--backends", nargs="*", default=[str(backend) for backend in BACKENDS])
    parser.add_argument("--output", type=Path, default=ROOT / "docs/data/spread.json")
    options = parser.parse_args()
    known: dict[str, Any] = json.loads(options.output.read_text()) if options.output.exists() else {}
    for backend in options.backends if options.samples else ():
        known[backend] = measure_backend(BackendName(backend), options.samples, options.costs)
        options.output.write_text(json.dumps(known, indent=1) + "\n")
    print(make_table(known))


if __name__ == "__main__":
    main()
