"""What the sweep around the default pose model says of growth: tables and a sentence, from stored records.

The sweep takes some two hours: its commands stand beside the tables in `docs/pose-model.md`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.figures.findings import METRICS_SHOWN, break_even_of, is_default
from benchmarks.markers import table_lines
from firstgrad.case import Scenario
from firstgrad.columns import metric_named, samples_table
from firstgrad.growth.contrasts import Contrast, find_contrasts
from firstgrad.growth.law import NoLaw
from firstgrad.growth.lines import find_growth
from firstgrad.record import Doubt

if TYPE_CHECKING:
    from collections.abc import Sequence

    from firstgrad.growth.law import Interval
    from firstgrad.growth.lines import SizeLine
    from firstgrad.record import Record

type Rows = dict[tuple[str, str], dict[str, str]]

_AXES = {"timesteps": "T", "directions": "K", "states": "S"}
_METRICS = [metric_named(name) for name in METRICS_SHOWN]
_TITLES = ("CPU to first gradient", "evaluation", "peak memory", "nodes")


def text(records: Sequence[Record]) -> str:
    """Write where it was measured, what grows with what, and what one choice takes of another."""
    samples = samples_table(records)
    growths = find_growth(samples, list(_AXES), _METRICS)
    rows: Rows = {}
    for growth in growths:
        for fitted in growth.lines:
            seen = fitted.law.observations
            if fitted.line.scenario is Scenario.COLD and not isinstance(fitted.law, NoLaw):
                what = f"{_AXES[growth.axis]}, {min(seen.sizes):g} to {max(seen.sizes):g}"
                name = _name(fitted.line)
                rows.setdefault((what, name), {})[growth.metric.name] = f"x{_interval(fitted.law.growth)}"
    grown, ratios = _table("from, to", rows), _table("choice", _contrasts(samples))
    return "\n\n".join([_where(records), grown, ratios, _break_even(records)])


def _where(records: Sequence[Record]) -> str:
    environment = records[0].environment
    versions = dict(environment.versions)
    names = ", ".join(f"{name} {versions[name]}" for name in ("pymc", "pytensor", "numba", "jax") if name in versions)
    busy = sum(Doubt.HIGH_LOAD in record.doubts for record in records)
    verdicts = {str(record.check.verdict) for record in records}
    return (
        f"{len(records)} samples, each a process of its own, verdict of all: {', '.join(sorted(verdicts))}; {names}; "
        f"Python {environment.python}; {environment.host.cores} cores of {environment.host.processor}; "
        f"{records[0].started_at[:10]}. {busy} samples were measured while the machine did other work, therefore "
        "processor seconds, compilers included. From empty caches unless a row says otherwise; one size varies at a "
        "time, around T=100 and K=5; 95% intervals."
    )


def _name(line: SizeLine) -> str:
    """Name a line by its backend, its HMM and how it is written."""
    parameters = dict(line.rest)
    hmm = f"HMM by {parameters.get('hmm_algorithm')}" if parameters.get("hmm_algorithm") else "no HMM"
    return f"{line.backend}, {parameters.get('formulation', '')}, {hmm}".replace(", ,", ",")


def _contrasts(samples: object) -> Rows:
    """Find a row a choice: its ratio to the other one at all sizes together."""
    titles = {
        Contrast.HMM: "an HMM over none",
        Contrast.ALGORITHM: "tree or unrolled over scan",
        Contrast.FORMULATION: "arrays (`vectorised`) over loops (`per_joint`)",
        Contrast.SCENARIO: "full caches over empty ones",
    }
    rows: Rows = {}
    for contrast, title in titles.items():
        axis = "directions" if contrast is Contrast.FORMULATION else "timesteps"
        for curve in find_contrasts(samples, axis, _METRICS, [contrast]):  # type: ignore[arg-type]  # a samples table
            if contrast is not Contrast.SCENARIO and curve.numerator.scenario is not Scenario.COLD:
                continue
            points = curve.curve.points if contrast is Contrast.FORMULATION else ()
            for point in points:
                if point.size in (5, 20):
                    cell = _interval(point.interval) if point.interval else f"{point.ratio:.3g}"
                    rows.setdefault((title, f"{_name(curve.numerator)}, K={point.size:g}"), {})[curve.metric.name] = (
                        cell
                    )
            if not points and curve.curve.overall is not None:
                rows.setdefault((title, _name(curve.numerator)), {})[curve.metric.name] = _interval(curve.curve.overall)
    return rows


def _break_even(records: Sequence[Record]) -> str:
    """Say which backend takes least in all, by the number of evaluations, from empty caches."""
    found = break_even_of([record for record in records if is_default(record)])
    first = found.leaders[0].name.partition(",")[0]
    later = [
        f"from {one.evaluations.value:,.0f} [{one.evaluations.low:,.0f}, {one.evaluations.high:,.0f}] gradient "
        f"evaluations on {one.after.name.partition(',')[0]}"
        for one in found.crossings
    ]
    return f"Least in all (compile and calls, from empty caches, no HMM): {', '.join((first, *later))}."


def _table(title: str, rows: Rows) -> str:
    lines = [(*key, *(cells.get(metric.name, "") for metric in _METRICS)) for key, cells in rows.items()]
    return "\n".join(table_lines((title, "model", *_TITLES), lines))


def _interval(one: Interval) -> str:
    return f"{one.value:.3g}" if one.low == one.high else f"{one.value:.3g} [{one.low:.3g}, {one.high:.3g}]"
