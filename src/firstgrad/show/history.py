"""Cases over their commits and releases, as small charts on the page of everything, from its table of samples."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from firstgrad.case import Target
from firstgrad.codec import to_json
from firstgrad.columns import metric_named
from firstgrad.comparing.sides import condition_fields
from firstgrad.estimates import estimate_median
from firstgrad.growth.series import AxisKind, AxisPlace, MetricSeries, SeriesAxis, SeriesPoint, order_releases
from firstgrad.show.cases import SHORT_COMMIT, tell_conditions
from firstgrad.show.lines import CASE, FIRST, LINE, case_of
from firstgrad.show.page import Section
from firstgrad.show.result import Fold, Span, Text
from firstgrad.show.series import series_picture
from firstgrad.units import format_count

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import pandas as pd

    from firstgrad.columns import Column
    from firstgrad.record import Environment
    from firstgrad.show.result import Part, Picture

_METRICS = (FIRST, "time_to_first_draw", "evaluation", "peak_memory", "compiled_units")
_MOST_SERIES, _MOST_PLACES = 8, 40


def history_sections(
    lines: pd.DataFrame,
    samples: pd.DataFrame,
    environments: Mapping[str, Environment],
    subjects: Mapping[str, str],
) -> Iterator[Section]:
    """Yield the cases that have several commits as lines over these, and those of several releases over them.

    `lines` and `samples` are as `firstgrad.show.cases` makes them, and of `environments` each is known by its
    conditions. Along commits all else is alike, along releases all but the packages: of several hosts and the like, the
    one with most cases is taken. `subjects` are git's commits with their subject lines.
    """
    commits = [commit for commit in dict.fromkeys(lines["git_commit"][::-1]) if commit]
    order = "in git's order" if set(commits) <= subjects.keys() else "as they were measured"
    places = [AxisPlace(key=key, name=key[:SHORT_COMMIT], title=subjects.get(key, "")) for key in commits]
    words, _ = tell_conditions(environments)
    known = lines[lines["git_commit"] != ""]
    names = known["conditions"].map(lambda conditions: words.get(conditions, ""))
    yield from _sections(
        samples.merge(known.assign(measured_with=names)[[*LINE, "measured_with"]]),
        SeriesAxis(kind=AxisKind.COMMIT, title=f"commit, {order}", places=tuple(places)),
        [*CASE, "label"],
        "git_commit",
    )
    newest = lines[lines["conditions"].isin(environments.keys())].drop_duplicates(CASE)
    around = newest["conditions"].map({key: to_json(_but_packages(one)) for key, one in environments.items()})
    newest = newest[around == around.mode().iloc[0]] if len(around) else newest
    here = {key: environments[key] for key in newest["conditions"].unique()}
    words, _ = tell_conditions(here)
    ranks = order_releases({key: dict(environment.packages) for key, environment in here.items()})
    places = [AxisPlace(key=key, name=words[key]) for key in sorted(here, key=ranks.__getitem__)]
    yield from _sections(
        samples.merge(newest[LINE]),
        SeriesAxis(kind=AxisKind.RELEASE, title="release", places=tuple(places)),
        ["case"],
        "conditions",
    )


def _but_packages(environment: Environment) -> list[tuple[str, str]]:
    packages = dict(environment.packages)
    return [(name, value) for name, value in condition_fields(environment) if name not in packages]


def _sections(samples: pd.DataFrame, axis: SeriesAxis, keys: list[str], at: str) -> Iterator[Section]:
    """Yield the section of an axis: the slowest few of the cases that have several places on it."""
    several = samples[samples.groupby(keys, sort=False)[at].transform("nunique") > 1]
    cases = [group for _, group in several.groupby(keys, sort=False)]
    if not cases:
        return
    cases.sort(key=lambda group: -group[FIRST].fillna(0.0).max())
    chosen = cases[:_MOST_SERIES]
    used = {key for group in chosen for key in group[at]}
    places = [place for place in axis.places if place.key in used]
    axis = replace(axis, places=tuple(places[-_MOST_PLACES:]))
    pictures = [picture for name in _METRICS for picture in _pictures(chosen, axis, at, metric_named(name))]
    if not pictures:
        return
    kind = str(axis.kind)
    drawn = f"{format_count(len(cases), 'case')} at {format_count(len(places), kind)}"
    drawn += f"; the {len(chosen)} slowest are drawn" if len(chosen) < len(cases) else ""
    drawn += f"; the last {_MOST_PLACES} {kind}s are drawn" if len(places) > _MOST_PLACES else ""
    more = Span(f"firstgrad report --axis {kind}", is_verbatim=True)
    first, *others = pictures
    parts: list[Part] = [Text((f"{drawn}. Every metric with its numbers: ", more, ".")), first]
    parts += [Fold("Evaluation, memory and units", others)] if others else []
    yield Section(f"{kind}s", f"Over {kind}s", parts)


def _pictures(cases: Sequence[pd.DataFrame], axis: SeriesAxis, at: str, metric: Column) -> Iterator[Picture]:
    series = []
    for group in cases:
        line = next(group.itertuples())
        by_place = dict(list(group.groupby(at, sort=False)))
        points = [_point(place.key, by_place[place.key], metric) for place in axis.places if place.key in by_place]
        conditions = (("label", line.label), ("measured with", line.measured_with)) if at == "git_commit" else ()
        if Target(line.target) in metric.targets and any(point.estimate for point in points):
            case = case_of(line)
            series.append(MetricSeries(metric=metric, case=case, conditions=conditions, points=tuple(points)))
    if series:
        picture = series_picture(series, axis)
        yield replace(picture, name=f"{axis.kind}-{picture.name}")


def _point(key: str, samples: pd.DataFrame, metric: Column) -> SeriesPoint:
    counts = samples["reason"] == ""
    numbers = samples.loc[counts, metric.name].dropna()
    return SeriesPoint(
        place=key,
        estimate=estimate_median(list(numbers)) if len(numbers) else None,
        failed=tuple(Counter(samples.loc[~counts, "reason"]).most_common()),
    )
