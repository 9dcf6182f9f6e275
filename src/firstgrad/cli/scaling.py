"""``firstgrad scaling``: what grows with what, and what one choice costs against another."""

from __future__ import annotations

import math
import statistics
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from firstgrad.cli.console import OutputOptions, open_source, say, show
from firstgrad.cli.options import (
    ExportToRead,
    LabelToRead,
    ModelsToRead,
    StoreToRead,
    choose_metrics,
    of_models,
    spread,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import pandas as pd

    from firstgrad.columns import Column
    from firstgrad.growth.contrasts import Contrast, ContrastCurve, RatioPoint
    from firstgrad.growth.law import Cliff, Interval
    from firstgrad.growth.lines import FittedLine, MetricGrowth
    from firstgrad.show.result import Part, Result, Table, TableRow

HEADLINE_METRICS = (
    "time_to_first_gradient",
    "time_to_first_gradient_cpu",
    "time_to_first_draw",
    "time_to_first_draw_cpu",
    "evaluation",
    "peak_memory",
    "nodes",
    "compiled_units",
)
"""What is shown where nothing else is asked for."""

EPILOG = """\b
Examples:
  firstgrad scaling
      every size that varies in the store: exponents, fixed costs, verdicts; HMM against none
  firstgrad scaling --axis timesteps --metric time_to_first_gradient_cpu --label findings
      one question
  firstgrad scaling suite --axis n
      the models of firstgrad.toml, the steepest first, and their mean
  firstgrad scaling --from sweep.jsonl --output figures --json
      an export; figures as PNG and SVG; numbers for a program

\b
Exit codes: 0 good; 2 wrong use, or nothing varies; 4 broke off.
"""


@spread
def scaling(
    models: ModelsToRead = None,
    axis: Annotated[
        str | None, typer.Option("--axis", metavar="A,B,...", help="Sizes that grow, or nodes [all that vary].")
    ] = None,
    metric: Annotated[
        list[str] | None,
        typer.Option("--metric", metavar="NAME", help="Only this metric, or all; may be repeated [headline ones]."),
    ] = None,
    contrast: Annotated[
        str, typer.Option("--contrast", metavar="A,B,...", help="hmm, algorithm, formulation, scenario, or none.")
    ] = "hmm",
    label: LabelToRead = None,
    store: StoreToRead = None,
    source: ExportToRead = None,
    output: Annotated[
        str | None, typer.Option("--output", metavar="FOLDER", help="Draw figures into this folder.")
    ] = None,
    *,
    out: OutputOptions,
) -> None:
    """Fit growth laws to what sweeps measured: exponent, fixed cost, verdict, cliffs; HMM against none."""
    from pathlib import Path

    from firstgrad.growth.lines import find_growth
    from firstgrad.show.growth import growth_pictures, ratio_pictures
    from firstgrad.show.style import save_picture

    out.refuse_both()
    with open_source(store, source) as opened:
        samples = of_models(opened.samples(label=label), models)
    axes = _axes(samples, axis)
    metrics = choose_metrics(metric or list(HEADLINE_METRICS))
    growths = find_growth(samples, axes, metrics)
    contrasts = _find_contrasts(samples, axes, metrics, _contrasts(contrast))
    show(scaling_result(growths, contrasts), out)
    if output is not None:
        for picture in (*growth_pictures(growths), *ratio_pictures(contrasts)):
            for path in save_picture(picture, Path(output)):
                say(path, out=not (out.json or out.markdown))


def scaling_result(growths: Sequence[MetricGrowth], contrasts: Sequence[ContrastCurve]) -> Result:
    """Return a table of laws for each metric and size, then the ratios; and all of their numbers."""
    from firstgrad.show.result import BLANK, Heading, Items, Result, Style

    parts: list[Part] = []
    for growth in growths:
        cliffs = [f"cliff: {line.name}: {_cliff(cliff)}" for line in growth.lines for cliff in line.law.cliffs]
        heading = Heading(f"{growth.metric.title} along {growth.axis} ({growth.common})")
        parts += [heading, _laws_table(growth), Items(cliffs, Style.DOUBT), BLANK]
    alike: dict[tuple[str, str, str], list[ContrastCurve]] = {}
    for curve in contrasts:
        alike.setdefault((curve.contrast, curve.axis, curve.metric.name), []).append(curve)
    for curves in alike.values():
        first = curves[0]
        heading = Heading(f"{first.contrast}: ratio of {first.metric.title} along {first.axis} ({first.common})")
        parts += [heading, _ratios_table(curves), BLANK]
    document = {
        "laws": [_law_document(growth, line) for growth in growths for line in growth.lines],
        **({"means": means} if (means := [one for growth in growths for one in _mean_documents(growth)]) else {}),
        "ratios": [document for curve in contrasts for document in _ratio_documents(curve)],
    }
    return Result(parts=parts, document=document)


def _cliff(cliff: Cliff) -> str:
    return f"x{cliff.factor:.2g} from {cliff.from_size:g} to {cliff.to_size:g} (expected x{cliff.expected_factor:.2g})"


def _laws_table(growth: MetricGrowth) -> Table:
    from firstgrad.growth.law import NoLaw
    from firstgrad.show.result import Style, Table, TableRow, left, right
    from firstgrad.show.words import write_fitted

    rows: list[Sequence[str] | TableRow] = []
    lines = sorted(growth.lines, key=_steepness) if _has_models(growth) else growth.lines
    for line in lines:
        law, seen = line.law, line.law.observations
        if isinstance(law, NoLaw):
            cells = [f"no law: {law.reason}", "", "", ""]
        else:
            cells = [
                f"{law.verdict}, law off by {law.misfit:.1%}" if law.misfit else str(law.verdict),
                _bounded(law.exponent, "{:.2f}".format),
                _bounded(law.fixed_cost, partial(write_fitted, growth.metric.unit)) if law.fixed_cost.high else "",
                f"x{_bounded(law.growth, '{:.3g}'.format)}",
            ]
        stopped = f", {sum(seen.is_censored)} stopped" if any(seen.is_censored) else ""
        sizes = f"{min(seen.sizes):g} to {max(seen.sizes):g}"
        rows.append((line.name, *cells, sizes, f"{len(seen.sizes)}{stopped}"))
    for way, exponent, factor in mean_growths(growth):
        cells = [_bounded(exponent, "{:.2f}".format), "", f"x{_bounded(factor, '{:.3g}'.format)}"]
        rows.append(TableRow((f"mean of models, {way}", "", *cells, "", ""), Style.BOLD))
    names = left("line", "verdict"), right("exponent", "fixed cost", "growth", "sizes", "samples")
    return Table(columns=(*names[0], *names[1]), rows=rows)


def _has_models(growth: MetricGrowth) -> bool:
    return len({line.line.reference for line in growth.lines}) > 1


def _steepness(line: FittedLine) -> float:
    exponent = getattr(line.law, "exponent", None)
    return math.inf if exponent is None else -exponent.value


def mean_growths(growth: MetricGrowth) -> list[tuple[str, Interval, Interval]]:
    """Average laws over models: for each way of measuring the mean exponent, and the geometric mean of the growth.

    Intervals are Student's over models, 95%. Only where two models or more have a law.
    """
    from firstgrad.comparing.ratio import average_ratio
    from firstgrad.growth.law import Interval, NoLaw

    ways: dict[str, dict[str, list[Any]]] = {}
    for line in growth.lines:
        if not isinstance(line.law, NoLaw):
            way = ", ".join(dict.fromkeys((line.line.backend, line.line.target, line.line.scenario)))
            ways.setdefault(way, {}).setdefault(line.line.reference, []).append(line.law)
    means = []
    for way, laws in ways.items():
        if len(laws) > 1:
            exponents = [statistics.fmean(law.exponent.value for law in own) for own in laws.values()]
            factors = [statistics.geometric_mean(law.growth.value for law in own) for own in laws.values()]
            slope = average_ratio([math.exp(exponent) for exponent in exponents]).estimate(0.95)
            factor = average_ratio(factors).estimate(0.95)
            exponent = Interval(math.log(slope.value), math.log(slope.low), math.log(slope.high))
            means.append((way, exponent, Interval(factor.value, factor.low, factor.high)))
    return means


def _ratios_table(curves: Sequence[ContrastCurve]) -> Table:
    """Make a table with a row a curve and a column a size."""
    from firstgrad.show.result import Table, left, right

    sizes = sorted({point.size for curve in curves for point in curve.curve.points})
    rows = []
    for curve in curves:
        cells = {point.size: _ratio(point) for point in curve.curve.points}
        overall = curve.curve.overall
        at_all = _bounded(overall, "{:.3g}".format) if overall is not None and len(cells) > 1 else ""
        rows.append((curve.name, *(cells.get(size, "") for size in sizes), at_all))
    return Table(columns=(*left("line"), *right(*(f"at {size:g}" for size in sizes), "at all")), rows=rows)


def _ratio(point: RatioPoint) -> str:
    bound = "above " if point.is_lower_bound else "below " if point.is_upper_bound else ""
    return bound + (_bounded(point.interval, "{:.3g}".format) if point.interval else f"{point.ratio:.3g}")


def _bounded(interval: Interval, write: Callable[[float], str]) -> str:
    """Write a number with its interval; ends that the samples don't determine as such."""
    if interval.low == interval.high:
        return write(interval.value)
    high = "any" if math.isinf(interval.high) else write(interval.high)
    return f"{write(interval.value)} [{write(interval.low)}, {high}]"


def _law_document(growth: MetricGrowth, line: FittedLine) -> dict[str, Any]:
    law, seen = line.law, line.law.observations
    fields = ("exponent", "slope", "fixed_cost", "constant", "growth", "spread", "r_squared")
    return {
        "axis": growth.axis,
        "metric": growth.metric.name,
        "unit": growth.metric.unit,
        "common": growth.common,
        "name": line.name,
        "verdict": getattr(law, "verdict", "no law"),
        "sentence": law.sentence,
        "smallest": min(seen.sizes),
        "largest": max(seen.sizes),
        "samples": len(seen.sizes),
        "censored": sum(seen.is_censored),
        "cliffs": [_cliff(cliff) for cliff in law.cliffs],
        **{field: getattr(law, field, None) for field in fields},
    }


def _mean_documents(growth: MetricGrowth) -> Iterator[dict[str, Any]]:
    for way, exponent, factor in mean_growths(growth):
        yield {
            "axis": growth.axis,
            "metric": growth.metric.name,
            "name": way,
            "exponent": exponent,
            "growth": factor,
        }


def _ratio_documents(curve: ContrastCurve) -> list[dict[str, Any]]:
    """Write a curve's points; after them, without a size, its overall ratio."""
    points, overall = curve.curve.points, curve.curve.overall
    written: list[tuple[float | None, float, Interval | None, int, bool, bool]] = [
        (point.size, point.ratio, point.interval, point.n_samples, point.is_lower_bound, point.is_upper_bound)
        for point in points
    ]
    if overall is not None and len(points) > 1:
        written.append((None, overall.value, overall, sum(point.n_samples for point in points), False, False))
    common = {"contrast": curve.contrast, "axis": curve.axis, "metric": curve.metric.name, "common": curve.common}
    names = ("size", "ratio", "interval", "samples", "is_lower_bound", "is_upper_bound")
    return [common | {"name": curve.name} | dict(zip(names, values, strict=True)) for values in written]


def _axes(samples: pd.DataFrame, given: str | None) -> tuple[str, ...]:
    from firstgrad.errors import SpecError
    from firstgrad.growth.lines import NODES, find_axes

    known = find_axes(samples)
    if given is None:
        if not known:
            raise SpecError(
                "--axis", f"no size varies in these {len(samples)} samples. Measure some: firstgrad sweep --tier quick"
            )
        return known
    wanted = tuple(part.strip() for part in given.split(","))
    for name in wanted:
        if name not in (*known, NODES):
            raise SpecError("--axis", f"{name!r} doesn't vary here. There are {', '.join((*known, NODES))}")
    return wanted


def _contrasts(given: str) -> tuple[Contrast, ...]:
    from firstgrad.errors import SpecError
    from firstgrad.growth.contrasts import Contrast

    if given == "none":
        return ()
    try:
        return tuple(Contrast(part.strip()) for part in given.split(","))
    except ValueError:
        raise SpecError("--contrast", f"expected some of {', '.join(Contrast)}, or none, got {given!r}") from None


def _find_contrasts(
    samples: pd.DataFrame, axes: Sequence[str], metrics: Sequence[Column], contrasts: Sequence[Contrast]
) -> list[ContrastCurve]:
    """Find the ratios along each size; of a choice that was measured at single sizes only, along the first."""
    from firstgrad.growth.contrasts import find_contrasts

    curves: list[ContrastCurve] = []
    for contrast in contrasts:
        along = [curve for axis in axes for curve in find_contrasts(samples, axis, metrics, [contrast])]
        curves += along or find_contrasts(samples, axes[0], metrics, [contrast], least_sizes=1)
    return curves
