"""The table of the limit, as plain text and as Markdown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.limit.variants import PLAIN
from firstgrad.estimates import estimate_median
from firstgrad.units import format_bytes, format_seconds

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from benchmarks.limit.variants import Measured, Setup

STAGES = ("import", "trace", "lower", "compile", "first call")
HEAD = (
    "density",
    "HMM",
    "cache",
    "(import)",
    "trace",
    "lower",
    "compile",
    "first call",
    "first gradient, wall",
    "first gradient, CPU",
    "evaluation",
    "executable",
    "peak memory",
)

type Samples = Mapping[Setup, Sequence[Measured]]


def rows(samples: Samples) -> list[tuple[str, ...]]:
    """Write a row a setup: medians, of the last columns with their intervals."""
    return [_row(setup, found) for setup, found in samples.items() if found]


def _row(setup: Setup, found: Sequence[Measured]) -> tuple[str, ...]:
    # What was loaded from a cache is serialised again without its notes: not the same measure.
    sizes = [each.executable_bytes for each in found if each.executable_bytes is not None and not setup.is_warm]
    return (
        setup.variant,
        f"on, S={setup.n_states}" if setup.n_states else "off",
        "filled" if setup.is_warm else "none",
        *(_stage(found, name) for name in STAGES),
        _interval([each.first_gradient_wall_seconds for each in found]),
        _interval([each.first_gradient_cpu_seconds for each in found]),
        _interval([each.evaluation_seconds for each in found]),
        format_bytes(estimate_median(sizes).value) if sizes else "",
        format_bytes(estimate_median([each.peak_rss_bytes for each in found]).value),
    )


def _stage(found: Sequence[Measured], name: str) -> str:
    seconds = [stage.wall_seconds for each in found for stage in each.stages if stage.name == name]
    return format_seconds(estimate_median(seconds).value) if seconds else ""


def _interval(numbers: Sequence[float]) -> str:
    one = estimate_median(numbers)
    return f"{format_seconds(one.value)} [{format_seconds(one.low)}, {format_seconds(one.high)}]"


def text(samples: Samples) -> str:
    """Write the table with columns that are as wide as they must be."""
    found = [HEAD, *rows(samples)]
    widths = [max(len(row[place]) for row in found) for place in range(len(HEAD))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in found)


def markdown(samples: Samples, where: str) -> str:
    """Write where it was measured, and the table; the yardstick in bold."""
    lines = [where, "", f"| {' | '.join(HEAD)} |", f"|{' --- |' * len(HEAD)}"]
    for row in rows(samples):
        name = f"**{row[0]}**" if row[0] == PLAIN else row[0]
        lines.append(f"| {' | '.join((name, *row[1:]))} |")
    return "\n".join(lines)
