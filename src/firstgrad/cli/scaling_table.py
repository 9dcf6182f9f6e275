"""Growth laws and ratios as tables for a terminal."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from firstgrad.cli.scaling_rows import growth_rows, ratio_rows
from firstgrad.columns import Unit, metric_named
from firstgrad.show.words import write_fitted

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rich.console import Console

    from firstgrad.analysis.contrasts import ContrastCurve
    from firstgrad.analysis.scaling import Growth
    from firstgrad.cli.scaling_rows import GrowthRow, RatioRow
    from firstgrad.growth.law import Interval


def show_scaling(console: Console, growths: Sequence[Growth], contrasts: Sequence[ContrastCurve]) -> None:
    """Print a table of laws for each metric and size, then the ratios."""
    for growth in growths:
        rows = growth_rows([growth])
        title = Text(f"{growth.metric.title} along {growth.axis} ({growth.common})", style="bold")
        console.print(title, soft_wrap=True)
        console.print(_laws(rows))
        for row in rows:
            for cliff in row.cliffs:
                console.print(Text(f"cliff: {row.name}: {cliff}", style="yellow"), soft_wrap=True)
        console.print()
    found: dict[tuple[str, str, str], list[RatioRow]] = {}
    for ratio in ratio_rows(contrasts):
        found.setdefault((ratio.contrast, ratio.axis, ratio.metric), []).append(ratio)
    for (contrast, axis, metric), members in found.items():
        heading = f"{contrast}: ratio of {metric_named(metric).title} along {axis} ({members[0].common})"
        console.print(Text(heading, style="bold"), soft_wrap=True)
        console.print(_ratios(members))
        console.print()


def _laws(rows: Sequence[GrowthRow]) -> Table:
    table = Table()
    for name in ("line", "verdict"):
        table.add_column(name)
    for name in ("exponent", "fixed cost", "growth", "sizes", "samples"):
        table.add_column(name, justify="right")
    for row in rows:
        unit = Unit(row.unit)
        sizes = f"{row.smallest:g} to {row.largest:g}"
        samples = f"{row.samples}" + (f", {row.censored} stopped" if row.censored else "")
        if row.exponent is None or row.growth is None or row.fixed_cost is None:
            table.add_row(row.name, f"{row.verdict}: {row.sentence}", "", "", "", sizes, samples)
            continue
        fixed = "" if row.fixed_cost.high == 0 else _bounded(row.fixed_cost, partial(write_fitted, unit))
        table.add_row(
            row.name,
            row.verdict,
            _bounded(row.exponent, lambda each: f"{each:.2f}"),
            fixed,
            "x" + _bounded(row.growth, lambda each: f"{each:.3g}"),
            sizes,
            samples,
        )
    return table


def _ratios(rows: Sequence[RatioRow]) -> Table:
    """Make a table with a row a curve and a column a size."""
    sizes = sorted({row.size for row in rows if row.size is not None})
    table = Table()
    table.add_column("line")
    for size in sizes:
        table.add_column(f"at {size:g}", justify="right")
    table.add_column("at all", justify="right")
    for name in dict.fromkeys(row.name for row in rows):
        cells = {row.size: _ratio(row) for row in rows if row.name == name}
        table.add_row(name, *(cells.get(size, "") for size in (*sizes, None)))
    return table


def _ratio(row: RatioRow) -> str:
    bound = "above " if row.is_lower_bound else "below " if row.is_upper_bound else ""
    if row.interval is None:
        return f"{bound}{row.ratio:.3g}"
    return bound + _bounded(row.interval, lambda each: f"{each:.3g}")


def _bounded(interval: Interval, write: Callable[[float], str]) -> str:
    """Write a number with its interval; ends that the samples don't determine as such."""
    if interval.low == interval.high:
        return write(interval.value)
    high = "any" if math.isinf(interval.high) else write(interval.high)
    return f"{write(interval.value)} [{write(interval.low)}, {high}]"
