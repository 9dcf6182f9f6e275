"""The tables of time to first draw: by sampler and backend on the newest release, and over releases."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from benchmarks.first_draw.rows import HERE, OLDER, TITLES, Row
from firstgrad.case import Sampler, Scenario
from firstgrad.doubts import why_unusable
from firstgrad.estimates import estimate_median
from firstgrad.units import format_bytes, format_seconds

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from firstgrad.record import Record

type Measured = Mapping[Row, Mapping[Scenario, Sequence[Record]]]


def row_of(record: Record) -> Row:
    """Find the row that a record is a sample of."""
    release = version_of(record, "pymc")
    return Row(
        release=release if release in OLDER else HERE,
        model=record.case.model,
        sampler=record.case.sampler,
        backend=record.case.backend,
        gradient_backend=record.case.gradient_backend,
    )


def version_of(record: Record, package: str) -> str:
    """Find the version of a package under which a record was measured."""
    return dict(record.environment.versions).get(package, "none")


def sort_by_row(records: Iterable[Record]) -> Measured:
    """Sort records by row and scenario, in their order."""
    found: defaultdict[Row, defaultdict[Scenario, list[Record]]] = defaultdict(lambda: defaultdict(list))
    for record in records:
        found[row_of(record)][record.case.scenario].append(record)
    return found


def markdown(records: Sequence[Record]) -> str:
    """Write where it was measured, the two tables, and every failure."""
    measured = sort_by_row(records)
    newest = {row: samples for row, samples in measured.items() if row.release == HERE}
    parts = [_where(records)]
    if newest:
        parts.append("\n".join(_of_ways(newest)))
    if len(newest) < len(measured):
        parts.append("\n".join(_of_releases(measured)))
    failures = list(dict.fromkeys(_failures(records)))
    parts.append("Failed:\n\n" + "\n".join(failures) if failures else "No sample failed.")
    return "\n\n".join(parts)


def sentences(records: Sequence[Record]) -> str:
    """Say how nutpie with JAX compares with the default, and what the default and PyMC's own sampler compile again."""
    measured = {row: samples for row, samples in sort_by_row(records).items() if row.release == HERE}

    def numbers(way: str, scenario: Scenario) -> dict[str, float]:
        known = {TITLES[row.model]: _seconds(each[scenario]) for row, each in measured.items() if row.way == way}
        return {title: seconds for title, seconds in known.items() if seconds is not None}

    def sooner(way: str, scenario: Scenario) -> str:
        base, head = numbers("nutpie, numba", scenario), numbers(way, scenario)
        ratios = [base[title] / head[title] for title in base if title in head]
        return " to ".join(f"{ratio:.0f}" if ratio >= 10 else f"{ratio:.1f}" for ratio in (min(ratios), max(ratios)))  # noqa: PLR2004

    again = [
        record.counts.compiled_units
        for row, samples in measured.items()
        for record in samples[Scenario.WARM]
        if row.way == "nutpie, numba" and record.counts
    ]
    own = numbers("pymc, numba", Scenario.WARM).values()
    return (
        f"On these {len(numbers('nutpie, jax', Scenario.COLD))} models nutpie with JAX has its first draw "
        f"{sooner('nutpie, jax', Scenario.COLD)} times as soon as nutpie with Numba from empty caches, and "
        f"{sooner('nutpie, jax', Scenario.WARM)} times in a later process; `firstgrad.sample` has it "
        f"{sooner('firstgrad, jax_direct', Scenario.COLD)} and {sooner('firstgrad, jax_direct', Scenario.WARM)} times "
        f"as soon. nutpie with Numba compiles {min(again)} to {max(again)} units again in each process, whatever "
        "the caches hold. PyMC's own sampler has nearly all of its units from the caches: its second process begins to "
        f"draw after {format_seconds(min(own))} to {format_seconds(max(own))}."
    )


def _where(records: Sequence[Record]) -> str:
    newest = next((each for each in records if row_of(each).release == HERE), records[-1])
    environment = newest.environment
    names = ("pymc", "pytensor", "numba", "jax", "nutpie", "numpyro")
    versions = ", ".join(f"{name} {version}" for name in names if (version := version_of(newest, name)) != "none")
    days = sorted({record.started_at[:10] for record in records})
    host = environment.host
    return (
        f"{len(records)} samples, one chain, each a process of its own: from the built model to the first draw by "
        f"`pm.sample`, imports left out. {versions}; Python {environment.python}; {host.cores} cores of "
        f"{host.processor}; {' to '.join(dict.fromkeys((days[0], days[-1])))} (UTC). Cells are medians, with the whole "
        "range where there is more than one sample. *Compiled again*: units that a warm process compiled although an "
        "identical one had filled its caches. Made by `make first-draw`."
    )


def _of_ways(measured: Measured) -> Iterator[str]:
    yield "| model | sampler, backend | cold | CPU | warm | CPU | compiled cold | compiled again | peak memory, cold |"
    yield f"|{' --- |' * 9}"
    for model, title in TITLES.items():
        rows = [row for row in measured if row.model == model]
        for row in sorted(rows, key=lambda row: _seconds(measured[row][Scenario.COLD]) or float("inf")):
            yield f"| {title} | {row.way} | {' | '.join(_cells(measured[row]))} |"


def _of_releases(measured: Measured) -> Iterator[str]:
    """Write what is drawn with under each release, the oldest first, where the same way was measured."""
    yield "| model | PyMC | PyTensor | who draws | cold | CPU | warm | CPU | compiled cold | compiled again | peak |"
    yield f"|{' --- |' * 11}"
    for model, title in TITLES.items():
        for release in (*OLDER, HERE):
            for row, samples in measured.items():
                if (row.model, row.release) != (model, release) or not _is_of_releases(row, measured):
                    continue
                first = samples[Scenario.COLD][0]
                taken = first.draw.sampler if first.draw else row.sampler
                mark = " (default)" if row.sampler is Sampler.AUTO or _is_default_here(row) else ""
                names = (title, version_of(first, "pymc"), version_of(first, "pytensor"))
                who = f"{taken}, {row.backend}{mark}"
                yield f"| {' | '.join((*names, who, *_cells(samples)))} |"


def _is_of_releases(row: Row, measured: Measured) -> bool:
    """Whether a row belongs to the comparison of releases: an older one, or its counterpart here."""
    if row.release != HERE:
        return True
    older = [each for each in measured if each.release != HERE and each.model == row.model]
    is_same_way = any((each.sampler, each.backend) == (row.sampler, row.backend) for each in older)
    return bool(older) and row.gradient_backend is None and (is_same_way or _is_default_here(row))


def _is_default_here(row: Row) -> bool:
    return row.release == HERE and row.way == "nutpie, numba"


def _cells(samples: Mapping[Scenario, Sequence[Record]]) -> Iterator[str]:
    for scenario in (Scenario.COLD, Scenario.WARM):
        good = [record for record in samples.get(scenario, ()) if not why_unusable(record)]
        yield _interval([each.window_seconds for each in good if each.window_seconds is not None]) or "failed"
        yield _interval([each.window_cpu_seconds for each in good if each.window_cpu_seconds is not None])
    for scenario in (Scenario.COLD, Scenario.WARM):
        units = {record.counts.compiled_units for record in samples.get(scenario, ()) if record.counts}
        yield " or ".join(map(str, sorted(units)))
    peaks = [record.memory.peak_rss_bytes for record in samples.get(Scenario.COLD, ()) if record.memory]
    yield format_bytes(max(peaks)) if peaks else ""


def _interval(seconds: Sequence[float]) -> str:
    if not seconds:
        return ""
    whole = f" [{format_seconds(min(seconds))}, {format_seconds(max(seconds))}]" if len(seconds) > 1 else ""
    return f"{format_seconds(estimate_median(seconds).value)}{whole}"


def _seconds(records: Sequence[Record]) -> float | None:
    known = [each.window_seconds for each in records if each.window_seconds is not None and not why_unusable(each)]
    return estimate_median(known).value if known else None


def _failures(records: Iterable[Record]) -> Iterator[str]:
    for record in records:
        if reason := why_unusable(record):
            row = row_of(record)
            name = TITLES.get(row.model, str(row.model))
            yield f"- {name}, {row.way}, PyMC {version_of(record, 'pymc')}, {record.case.scenario}: {_plain(reason)}"


def _plain(words: str) -> str:
    return " ".join(words.replace("|", "\\|").replace("<", "&lt;").split())
