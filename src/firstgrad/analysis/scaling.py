"""How metrics grow along each size, line by line."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from firstgrad.analysis.slices import Line, find_lines, name_lines, observe_all
from firstgrad.columns import Column
from firstgrad.growth.fit import fit_growth_laws
from firstgrad.growth.law import GrowthLaw, NoLaw

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from firstgrad.growth.law import Observations
    from firstgrad.row import Row

_LEAST_SIZES = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class GrownLine:
    """One line and its law.

    Attributes
    ----------
    line : Line
        What was measured.
    name : str
        What tells it from the others of the same axis.
    law : GrowthLaw or NoLaw
        What was fitted, or why nothing was.
    """

    line: Line
    name: str
    law: GrowthLaw | NoLaw


@dataclass(frozen=True, slots=True, kw_only=True)
class Growth:
    """One metric along one size.

    Attributes
    ----------
    axis : str
        The size.
    metric : Column
        What is counted.
    common : str
        What all lines have in common.
    lines : tuple of GrownLine
        Those that have numbers of this metric.
    """

    axis: str
    metric: Column
    common: str
    lines: tuple[GrownLine, ...]


def find_growth(rows: Iterable[Row], axes: Sequence[str], metrics: Sequence[Column]) -> tuple[Growth, ...]:
    """Fit a growth law to each metric of each line along each size.

    Parameters
    ----------
    rows : iterable of Row
        Samples whose numbers don't count are left out; those that a limit stopped count as censored.
    axes : sequence of str
        See `firstgrad.analysis.slices.find_axes`.
    metrics : sequence of Column
        Which.

    Returns
    -------
    tuple of Growth
        By axis, then by metric; without those that have no numbers.
    """
    known = list(rows)
    wanted: list[tuple[str, str, Column]] = []
    asked: list[tuple[int, Line, str, Observations]] = []
    for axis in axes:
        lines = find_lines(known, axis, least_sizes=_LEAST_SIZES)
        common, names = name_lines(lines)
        seen = [observe_all(line, metrics) for line in lines]
        for number, metric in enumerate(metrics):
            for line, name, observed in zip(lines, names, seen, strict=True):
                if (observations := observed[number]) is not None:
                    asked.append((len(wanted), line, name, observations))
            wanted.append((axis, common, metric))
    laws = fit_growth_laws(observations for *_, observations in asked)  # together: many have the same sizes
    grown: dict[int, list[GrownLine]] = defaultdict(list)
    for (place, line, name, _), law in zip(asked, laws, strict=True):
        grown[place].append(GrownLine(line=line, name=name, law=law))
    return tuple(
        Growth(axis=axis, metric=metric, common=common, lines=tuple(grown[place]))
        for place, (axis, common, metric) in enumerate(wanted)
        if place in grown
    )
