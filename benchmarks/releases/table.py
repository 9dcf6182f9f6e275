"""Write the findings' table of PyMC releases from stored records, as Markdown."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING

from packaging.version import Version

from firstgrad.columns import metric_named
from firstgrad.doubts import why_unusable
from firstgrad.growth.series import default_backend, group_records, make_series, release_axis, release_of, tell_apart
from firstgrad.show.series import PANELS, by_model
from firstgrad.show.words import write_estimate
from firstgrad.units import format_seconds

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from firstgrad.growth.series import SeriesAxis, SeriesGroup, SeriesPoint
    from firstgrad.record import Record


def text(records: Sequence[Record]) -> str:
    """Write where it was measured, a table a model, and every failure with its reason."""
    axis = release_axis(records)
    groups = group_records(records, axis)
    parts = [_where(records)]
    for name, chosen in by_model(groups).items():
        parts += [f"**{_plain(name)}**", "\n".join(_table(chosen, axis))]
    failures = list(_failures(groups, axis))
    parts.append("Failed samples:\n\n" + "\n".join(failures) if failures else "No sample failed.")
    return "\n\n".join(parts)


def sentences(records: Sequence[Record]) -> str:
    """Say in processor seconds how a first gradient changed, from the oldest release to the newest."""
    seconds: dict[tuple[str, str, str], list[float]] = {}
    for record in records:
        if not why_unusable(record) and record.time_to_first_gradient_cpu_seconds is not None:
            key = (release_of(record), str(record.case.backend), str(record.case.scenario))
            seconds.setdefault(key, []).append(record.time_to_first_gradient_cpu_seconds)
    order = sorted({key[0] for key in seconds}, key=Version)

    def along(backend: str, scenario: str) -> str:
        known = [release for release in order if (release, backend, scenario) in seconds]
        numbers = [
            f"{format_seconds(median(seconds[release, backend, scenario]))} on {release}"
            for release in (known[0], known[-1])
        ]
        return f"{scenario} {backend} {' and '.join(numbers)}"

    defaults = [(release, str(default_backend(release))) for release in order]
    changed = next(number for number, (_, backend) in enumerate(defaults) if backend != defaults[0][1])
    before, after = (
        f"{format_seconds(median(seconds[release, backend, 'cold']))} ({backend}, PyMC {release})"
        for release, backend in defaults[changed - 1 : changed + 1]
    )
    parts = [along(backend, scenario) for backend in ("c", "jax", "numba") for scenario in ("cold", "warm")]
    return (
        f"Processor seconds to the first gradient: {'; '.join(parts)}. Where the default backend changed, a cold first "
        f"gradient by default went from {before} to {after}."
    )


def _where(records: Sequence[Record]) -> str:
    pythons = sorted({record.environment.python for record in records})
    hosts = {record.environment.host for record in records}
    machines = "; ".join(sorted(f"{host.cores} cores of {host.processor}" for host in hosts))
    first, last = (choose(record.started_at[:10] for record in records) for choose in (min, max))
    when = first if first == last else f"{first} to {last}"
    return (
        f"{len(records)} samples, each a process of its own. Python {', '.join(pythons)}; {_plain(machines)}; {when} "
        "(UTC). Cells are medians with their interval and, in parentheses, the number of samples; below 6 samples the "
        "interval is the whole range. **Bold**: the backend that the release compiles to by default."
    )


def _table(groups: Sequence[SeriesGroup], axis: SeriesAxis) -> Iterator[str]:
    names = [title for title, _, _ in PANELS]
    yield f"| PyMC | PyTensor | backend | {' | '.join(names)} |"
    yield f"|{' --- |' * (len(names) + 3)}"
    rows: dict[tuple[int, str, str], dict[str, SeriesPoint]] = {}
    places = [place.key for place in axis.places]
    for title, metric, scenario in PANELS:
        series = make_series([each for each in groups if each.case.scenario is scenario], metric_named(metric))
        for each, more in zip(series, tell_apart(series), strict=True):
            for point in each.points:
                key = (places.index(point.place), str(each.case.backend), more)
                rows.setdefault(key, {})[title] = point
    for (number, backend, more), points in sorted(rows.items()):
        bold = "**" if str(default_backend(places[number])) == backend else ""
        cells = (_cell(points.get(title), metric) for title, metric, _ in PANELS)
        name = f"{bold}{backend}{bold}" + (f" ({_plain(more)})" if more else "")
        yield f"| {_plain(places[number])} | {_pytensor(groups, places[number])} | {name} | {' | '.join(cells)} |"


def _cell(point: SeriesPoint | None, metric: str) -> str:
    if point is None:
        return ""
    failed = f"{point.n_failed} failed" if point.n_failed else ""
    if point.estimate is None:
        return failed
    number = f"{write_estimate(metric_named(metric).unit, point.estimate)} ({point.estimate.samples})"
    return f"{number}, {failed}" if failed else number


def _pytensor(groups: Sequence[SeriesGroup], place: str) -> str:
    found = {
        dict(record.environment.versions).get("pytensor", "")
        for group in groups
        for key, records in group.records
        for record in records
        if key == place
    }
    return _plain(", ".join(sorted(found)))


def _failures(groups: Sequence[SeriesGroup], axis: SeriesAxis) -> Iterator[str]:
    found: dict[tuple[str, str], list[str]] = {}
    for group in groups:
        for place, records in group.records:
            for record in records:
                if reason := why_unusable(record):
                    found.setdefault((str(group.case), reason), []).append(axis.place(place).name)
    for (case, reason), places in found.items():
        yield f"- {_plain(case)}, PyMC {_plain(', '.join(dict.fromkeys(places)))}: {_plain(reason)}"


def _plain(words: str) -> str:
    """Keep what others wrote from being Markdown or HTML."""
    for letter in "\\`*_[]|":
        words = words.replace(letter, f"\\{letter}")
    return " ".join(words.replace("&", "&amp;").replace("<", "&lt;").split())
