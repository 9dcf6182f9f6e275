"""Tables of samples: a list of them; the models of a suite, the worst first, and their geometric means."""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from firstgrad.case import Target
from firstgrad.columns import first_metric, metric_named
from firstgrad.comparing.ratio import average_ratio
from firstgrad.grouping import grouped
from firstgrad.record import Status
from firstgrad.show.result import BLANK, Heading, Items, Result, Span, Style, Table, TableColumn, TableRow, left, right
from firstgrad.show.words import shown, write_fitted
from firstgrad.units import format_count, format_seconds

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    import pandas as pd

    from firstgrad.columns import Column
    from firstgrad.estimates import Estimate
    from firstgrad.show.result import Part
    from firstgrad.sweep.grid import OmittedModel

    type Samples = Iterable[Mapping[str, Any]]

_METRICS = ("evaluation", "peak_memory", "nodes", "compiled_units")
_TITLES = {
    "time_to_first_gradient": "first gradient",
    "time_to_first_draw": "first draw",
    "evaluation": "evaluation",
    "peak_memory": "peak memory",
    "nodes": "nodes",
    "compiled_units": "units",
}
_KIND = ("backend", "target", "sampler", "scenario")
_LONGEST_REASON = 200
_LEAST_MODELS = 2
_CONFIDENCE = 0.95
_SHOWN_ID, _SHOWN_TIME = 8, 16  # letters of an id, and of a moment to the minute


def suite_parts(samples: Samples, omitted: Sequence[OmittedModel] = (), metrics: Sequence[str] = ()) -> Iterator[Part]:
    """Yield why models have no numbers, then a table of models for each way in which they were measured.

    `samples` have the cells of a samples table by the columns' names, under conditions that are alike. Metrics are
    columns' names; none: the time that was waited for, and the usual ones.
    """
    groups: dict[tuple[str, ...], dict[str, list[Mapping[str, Any]]]] = defaultdict(lambda: defaultdict(list))
    reasons = {(one.what, shown(one.reason, _LONGEST_REASON)): "" for one in omitted if one.is_failure}
    for sample in samples:
        kind = tuple(str(sample[name]) for name in _KIND if sample.get(name))
        groups[kind][str(sample["model"])].append(sample)
        if sample["reason"]:
            reasons.setdefault((str(sample["model"]), shown(str(sample["reason"]), _LONGEST_REASON)), ", ".join(kind))
    if reasons:
        rows = [(_name(model), kind, Span(why, is_verbatim=True)) for (model, why), kind in reasons.items()]
        heading = f"{format_count(len({model for model, _ in reasons}), 'model')} without numbers that count"
        columns = (TableColumn("model", is_kept=True), *left("measured", "why", is_folded=True))
        yield Table(title=heading, title_style=Style.BAD, columns=columns, rows=rows)
        yield BLANK
    for kind, models in groups.items():
        chosen = [metric_named(name) for name in metrics]
        if not chosen:
            target = Target(next(iter(models.values()))[0]["target"])
            chosen = [first_metric(target), *map(metric_named, _METRICS)]
        yield from _number_parts(", ".join(kind), models, chosen)
    if left_out := [f"left out: {one.what}: {one.reason}" for one in omitted if not one.is_failure]:
        yield Items(left_out, Style.DIM)
        yield BLANK


def stored_result(samples: pd.DataFrame, *, of: int) -> Result:
    """Make a list of stored samples, a line each: the last of so many."""
    rows = []
    seconds = samples["time_to_first_gradient"].fillna(samples["time_to_first_draw"])
    for line, waited in zip(samples.to_dict("records"), seconds, strict=True):
        how = ", ".join(str(line[name]) for name in ("backend", "target", "scenario"))
        status = str(line["status"]) if line["status"] != Status.OK else str(line["verdict"]).replace("_", " ")
        rows.append(
            (
                line["record_id"][:_SHOWN_ID],
                line["started_at"][:_SHOWN_TIME].replace("T", " "),
                Span(shown(line["model"]), is_verbatim=True),
                how,
                "" if math.isnan(waited) else format_seconds(waited),
                status,
                shown(line["label"]),
            )
        )
    columns = (
        *left("id", "started (UTC)"),
        TableColumn("model", is_kept=True),
        *left("compiled, what, when"),
        *right("time to it"),
        *left("end", "label"),
    )
    which = f"the last {len(rows)} of {of:,} samples" if of > len(rows) else format_count(of, "sample")
    return Result(
        parts=(Heading(which), Table(columns=columns, rows=rows)),
        document=samples.astype(object).where(samples.notna(), None).to_dict("records"),
    )


def _number_parts(
    kind: str, models: Mapping[str, Sequence[Mapping[str, Any]]], metrics: Sequence[Column]
) -> Iterator[Part]:
    """Yield a table with a row a model that has numbers, the worst by the first metric first, and their means."""
    numbers = {name: {one.name: _median(one, samples) for one in metrics} for name, samples in models.items()}
    kept = [metric for metric in metrics if any(known[metric.name] is not None for known in numbers.values())]
    if not kept:
        return
    ordered = sorted(
        (name for name, known in numbers.items() if any(known[metric.name] is not None for metric in kept)),
        key=lambda name: numbers[name][kept[0].name] or 0.0,
        reverse=True,
    )
    rows = []
    for name in ordered:
        cells = [
            "" if (number := numbers[name][metric.name]) is None else write_fitted(metric.unit, number)
            for metric in kept
        ]
        verdict = str(models[name][-1]["verdict"]).replace("_", " ")
        rows.append(TableRow((_name(name), *cells, verdict), ends_section=name == ordered[-1]))
    references = {name: str(models[name][0].get("reference", name)) for name in ordered}
    means = [_mean(metric, [(references[name], numbers[name][metric.name]) for name in ordered]) for metric in kept]
    if any(mean for mean, _ in means):
        rows.append(TableRow(("geometric mean", *(mean for mean, _ in means), ""), Style.BOLD))
    if any(interval for _, interval in means):
        rows.append(TableRow((f"its {_CONFIDENCE:.0%} interval", *(interval for _, interval in means), "")))
    titles = (_TITLES.get(metric.name, metric.title) for metric in kept)
    columns = (TableColumn("model", is_kept=True), *right(*titles, is_kept=True), TableColumn("verdict", is_kept=True))
    yield Heading(f"{kind}: {format_count(len(ordered), 'model')}, medians, the worst first")
    yield Table(columns=columns, rows=rows)
    yield BLANK


def _name(name: str) -> Span:
    return Span(shown(name), is_verbatim=True)


def _median(metric: Column, samples: Sequence[Mapping[str, Any]]) -> float | None:
    """Return the median over the samples whose numbers count."""
    values = [sample.get(metric.name) for sample in samples if not sample["reason"]]
    known = [float(value) for value in values if value is not None and not math.isnan(value)]
    return statistics.median(known) if known else None


def _mean(metric: Column, numbers: Sequence[tuple[str, float | None]]) -> tuple[str, str]:
    """Write the geometric mean over models, and its interval; '' for too few, or with a zero."""
    known = [(reference, number) for reference, number in numbers if number is not None]
    if len(known) < _LEAST_MODELS or min(number for _, number in known) <= 0:
        return "", ""
    mean = mean_over_models(known)
    if mean.low == mean.high:
        return write_fitted(metric.unit, mean.value), ""
    low, high = write_fitted(metric.unit, mean.low), write_fitted(metric.unit, mean.high)
    return write_fitted(metric.unit, mean.value), f"{low} to {high}"


def mean_over_models(numbers: Iterable[tuple[str, float]]) -> Estimate:
    """Return the geometric mean of numbers by their models' references, with its interval over three models or more.

    One model with several parameters is averaged first: its numbers are alike, and would make the interval too narrow.
    """
    groups = grouped(numbers).values()
    return average_ratio([statistics.geometric_mean(group) for group in groups]).estimate(_CONFIDENCE)
