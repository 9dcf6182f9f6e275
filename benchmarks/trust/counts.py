"""Put exact counts on trial, as ``judge.py`` puts seconds: unchanged pairs are to be left alone, planted work found.

Each pair is one sample a side, judged by ``firstgrad compare`` as it comes. Unchanged pairs are all pairs of samples of
one case, both ways round; since samples are used in many pairs, these aren't independent. Work is planted in rewriting,
in the gradient, in what Numba compiles and in what XLA compiles: at most a twentieth of it, as calls of Python
functions or as lines of code (`benchmarks.trust.counted`). Every sample is a process of its own, cold, on a machine
that does other work meanwhile. The records go to a file after every sample, and a second call goes on.

Usage: ``python -m benchmarks.trust.counts [docs/data/trust-counts.jsonl] [--samples 30] [--planted 5] [--minutes 15]``.
Exit code 1 where an unchanged pair raised an alarm, or a planted one raised none.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import sys
import time
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.trust.collect import order, slimmed
from benchmarks.trust.proportion import Proportion
from firstgrad.case import BackendName, Case, Counting
from firstgrad.columns import metric_named
from firstgrad.comparing.comparison import compare
from firstgrad.doubts import why_unusable
from firstgrad.measuring.launch import measure
from firstgrad.model import Model
from firstgrad.store import export_jsonl, import_jsonl

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from firstgrad.record import Record

REFERENCE = "benchmarks/trust/counted.py:build"
SHARE = 0.05
LINES, USUAL_LINES = "lines", 40  # so many that one more is a small part
_BASE, _HEAD = "base", "head"
_PROBE = 4  # lines more, to see what a line is

type Measure = Callable[[Case, str], Record]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plant:
    """Work that is planted: by which parameter of the model, and the count that it is a share of."""

    name: str
    backend: BackendName
    parameter: str
    count: str

    @property
    def label(self) -> str:
        """Of its samples."""
        return f"counts-{self.name}"


PLANTS = (
    Plant(name="rewriting", backend=BackendName.JAX, parameter="rewriting", count="calls_rewrite"),
    Plant(name="the gradient", backend=BackendName.JAX, parameter="gradient", count="calls_grad_graph"),
    Plant(name="what XLA compiles", backend=BackendName.JAX, parameter=LINES, count="hlo_operations"),
    Plant(name="what Numba compiles", backend=BackendName.NUMBA, parameter=LINES, count="llvm_instructions"),
)
BACKENDS = tuple(dict.fromkeys(plant.backend for plant in PLANTS))


def unchanged(backend: BackendName) -> str:
    """Name the samples in which nothing is planted."""
    return f"counts-{backend}"


def case_of(backend: BackendName, **planted: int) -> Case:
    """Make a case with work planted by these parameters."""
    model = Model(reference=REFERENCE, parameters=tuple(sorted(({LINES: USUAL_LINES} | planted).items())))
    return Case(model=model, backend=backend, evaluations=0, counting=Counting.INSTRUMENTED)


def planted_case(plant: Plant, base: Record, probe: Record) -> Case:
    """Plant at most the share: calls as they are counted, lines by what the lines of a probe added."""
    work = SHARE * _count(base, plant.count)
    if plant.parameter != LINES:
        return case_of(plant.backend, **{plant.parameter: int(work)})
    of_a_line = (_count(probe, plant.count) - _count(base, plant.count)) / _PROBE
    return case_of(plant.backend, lines=USUAL_LINES + max(int(work / of_a_line), 1))


@dataclass(slots=True, kw_only=True)
class Collector:
    """Measures what is missing."""

    records: list[Record]
    take: Measure
    keep: Callable[[Sequence[Record]], None]
    budget_seconds: float
    clock: Callable[[], float] = time.monotonic

    def collect(self, samples: Mapping[BackendName, int], planted: int) -> None:
        """Go in rounds: an unchanged sample and, in the first rounds, each planted one in any order.

        Raises SystemExit where a sample fails: it would fail again.
        """
        ends = self.clock() + self.budget_seconds
        for backend in BACKENDS:
            cases = self._plan(backend)
            for number in range(max(samples[backend], planted)):
                for label in order(number, list(cases), seed=0):
                    wanted = samples[backend] if label == unchanged(backend) else planted
                    if len(self._of(label)) <= number < wanted and self.clock() < ends:
                        self._add(cases[label], label)

    def _plan(self, backend: BackendName) -> dict[str, Case]:
        """Plan the cases of a backend by their labels, with the same work as before where some are there."""
        case, probing = case_of(backend), case_of(backend, lines=USUAL_LINES + _PROBE)
        base = next(iter(self._of(unchanged(backend))), None) or self._add(case, unchanged(backend))
        probe = next(iter(self._of(f"probe-{backend}")), None) or self._add(probing, f"probe-{backend}")
        plants = [plant for plant in PLANTS if plant.backend is backend]
        return {unchanged(backend): case} | {plant.label: planted_case(plant, base, probe) for plant in plants}

    def _of(self, label: str) -> list[Record]:
        return [one for one in self.records if one.environment.label == label]

    def _add(self, case: Case, label: str) -> Record:
        record = self.take(case, label)
        if reason := why_unusable(record):
            raise SystemExit(f"a sample failed: {reason}")
        self.records.append(record)
        self.keep(self.records)
        return record


def _count(record: Record, name: str) -> float:
    number = metric_named(name).read(record)
    if not number:
        raise SystemExit(f"{record.case} has no {name}: {record.work and record.work.unavailable}")
    return float(number)


# --- judging ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class PairsOf:
    """What the pairs of a kind gave."""

    name: str
    backend: str
    samples: str
    """How many of which side."""
    alarms: Proportion
    factor: float
    """By which the count has grown that the work was planted in; 1 where nothing was."""
    by: tuple[tuple[str, int], ...]
    """Metrics that raised the alarm, with the number of pairs."""


def alarms_of(base: Record, head: Record) -> tuple[str, ...]:
    """Judge one sample a side as ``firstgrad compare`` does; the metrics that alarm."""
    sides = [
        replace(one, record_id=side, environment=replace(one.environment, label=side))
        for one, side in ((base, _BASE), (head, _HEAD))
    ]
    comparison = compare(sides, _BASE, _HEAD, key=lambda _: "the only case")
    return tuple(metric.metric for case in comparison.cases for metric in case.metrics if metric.is_alarm)


def judge(records: Sequence[Record]) -> list[PairsOf]:
    """Judge all pairs: unchanged ones first, then those with planted work, in the order of `PLANTS`."""
    of: dict[str, list[Record]] = {}
    for record in records:
        of.setdefault(record.environment.label, []).append(record)
    found = []
    for backend in BACKENDS:
        base = of.get(unchanged(backend), [])
        pairs = [(alarms_of(*pair), alarms_of(*reversed(pair))) for pair in itertools.combinations(base, 2)]
        told = [{*one, *other} for one, other in pairs]
        found.append(_pairs(str(backend), "nothing", f"{len(base)}", told, 1.0))
    for plant in PLANTS:
        base, head = of.get(unchanged(plant.backend), []), of.get(plant.label, [])
        told = [set(alarms_of(one, other)) for one in base for other in head]
        middles = [statistics.median(_count(one, plant.count) for one in side) for side in (base, head) if side]
        grown = middles[1] / middles[0] if len(middles) == 2 else 1.0  # noqa: PLR2004 - both sides
        found.append(_pairs(str(plant.backend), plant.name, f"{len(base)} and {len(head)}", told, grown))
    return found


def _pairs(backend: str, name: str, samples: str, told: Sequence[set[str]], factor: float) -> PairsOf:
    if not told:
        raise SystemExit(f"{backend}, {name}: there are no pairs yet; measure more")
    by = Counter(metric for one in told for metric in one)
    alarms = Proportion(hits=sum(map(bool, told)), trials=len(told))
    return PairsOf(
        name=name,
        backend=backend,
        samples=samples,
        alarms=alarms,
        factor=factor,
        by=tuple(sorted(by.items(), key=lambda one: (-one[1], one[0]))),
    )


def to_markdown(found: Sequence[PairsOf], records: Sequence[Record]) -> str:
    """Write the table, with where and when it was measured."""
    environment, days = records[0].environment, sorted({one.started_at[:10] for one in records})
    loads = [one.environment.load_before for one in records]
    versions = dict(environment.versions)
    named = ", ".join(f"{name} {versions[name]}" for name in ("pymc", "pytensor", "jax", "numba") if name in versions)
    lines = [
        f"A model of {dict(records[0].work.counts)['calls_rewrite']:,} calls in rewriting, cold, on "
        f"{environment.host.cores} cores of {environment.host.processor}, load before a sample "
        f"{statistics.median(loads):.1f} (median; {min(loads):.1f} to {max(loads):.1f}), {' to '.join(days)}; Python "
        f"{environment.python}, {named}."
        if records[0].work
        else "",
        "",
        "| planted in | backend | samples | pairs, one sample a side | alarms | it grew by | metrics that alarm |",
        "| --- | --- | --- | ---: | --- | --- | --- |",
    ]
    for one in found:
        by = ", ".join(f"{metric} ({count})" for metric, count in one.by)
        grown = "" if one.factor == 1 else f"{one.factor - 1:.1%}"
        lines.append(
            f"| {one.name} | {one.backend} | {one.samples} | {one.alarms.trials:,} | {one.alarms} | {grown} | {by} |"
        )
    return "\n".join(lines)


def is_good(found: Sequence[PairsOf]) -> bool:
    """Whether no unchanged pair raised an alarm, and every planted one did."""
    return all(one.alarms.hits == (0 if one.factor == 1 else one.alarms.trials) for one in found)


def main() -> None:
    """Collect what is missing, judge, print, and put it into the page where asked to."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("output", nargs="?", type=Path, default=Path("docs/data/trust-counts.jsonl"))
    parser.add_argument("--samples", type=int, default=30, help="unchanged ones with JAX; half of them with Numba")
    parser.add_argument("--planted", type=int, default=5)
    parser.add_argument("--minutes", type=float, default=15.0)
    chosen = parser.parse_args()
    output: Path = chosen.output
    records = list(import_jsonl(output)) if output.exists() else []

    def take(case: Case, label: str) -> Record:
        (record,) = measure(case, label=label)
        print(f"{label}: load {record.environment.load_before:.1f}", flush=True)
        work = record.work and replace(record.work, parts=())
        return replace(slimmed(record), work=work)

    samples = {BackendName.JAX: chosen.samples, BackendName.NUMBA: -(-chosen.samples // 2)}
    collector = Collector(
        records=records,
        take=take,
        keep=lambda done: export_jsonl(done, output),
        budget_seconds=60 * chosen.minutes,
    )
    collector.collect(samples, chosen.planted)
    found = judge(records)
    print(to_markdown(found, records))
    sys.exit(not is_good(found))


if __name__ == "__main__":
    main()
