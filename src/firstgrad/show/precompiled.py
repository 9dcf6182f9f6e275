"""What a precompiled model's cache has now, for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from firstgrad.case import Sampler
from firstgrad.show.result import BLANK, Heading, Items, Result, Span, Style, Table, Text, left, right
from firstgrad.units import format_bytes, format_count, format_seconds

if TYPE_CHECKING:
    from collections.abc import Iterator

    from firstgrad.precompiling.launch import PrecompileReport
    from firstgrad.show.result import Part

_MOST_LEFT = 8


def precompile_result(report: PrecompileReport, *, good: int = 0, failed: int = 3) -> Result:
    """Make what is shown of a report; the numbers are the exit codes."""
    return Result(
        parts=tuple(precompiled_parts(report)),
        document=report,
        exit_code=failed if report.failed else good,
        is_failure=report.failed,
    )


def precompiled_parts(report: PrecompileReport) -> Iterator[Part]:
    """Yield all that is shown of a report."""
    compiled, name = sum(unit.compiled for unit in report.units), Span(report.model, is_verbatim=True)
    there = len(report.units) - compiled - len(report.left)
    added = "1 entry" if report.entries == 1 else f"{report.entries:,} entries"
    yield Heading((name, f": {format_count(compiled, 'unit')} compiled for {report.backend}"))
    words = f"{added} ({format_bytes(report.size_bytes)}) added to PyTensor's cache in "
    yield Text(f"{words}{format_seconds(report.wall_seconds)}{f'; {there:,} were there' if there > 0 else ''}")
    yield BLANK
    yield Table(
        columns=left("process") + right("units", "CPU", "peak memory") + left("end"),
        rows=[
            (
                str(number + 1),
                str(sum(unit.child == number and unit.compiled for unit in report.units)),
                format_seconds(child.cpu_seconds),
                format_bytes(child.peak_bytes),
                child.failure,
            )
            for number, child in enumerate(report.children)
        ],
    )
    if report.left:
        yield BLANK
        yield Text(f"the next compile makes {format_count(len(report.left), 'unit')} itself:", Style.DOUBT)
        yield Items([f"{unit.name}: {unit.left}" for unit in report.left[:_MOST_LEFT]], Style.DOUBT)
    if report.sampler is Sampler.NUTPIE:
        yield Text("nutpie's two wrappers of them are compiled in each process: Numba keeps neither", Style.DIM)
    yield BLANK
