"""Contrasts: what one choice costs against another, along a size, all else being equal."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from firstgrad.analysis.ratio_curve import RatioCurve, make_ratio_curve
from firstgrad.analysis.slices import Line, find_lines, name_lines, observe_all
from firstgrad.case import Scenario
from firstgrad.columns import Column
from firstgrad.pose.spec import Formulation, HmmAlgorithm

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from firstgrad.row import Row


class Contrast(StrEnum):
    """Which choice: each by the first of the pair, over the second.

    ``hmm``: with an HMM over without. ``algorithm``: ``tree`` or ``unrolled`` over ``scan``. ``formulation``:
    ``vectorised`` over ``per_joint``. ``scenario``: ``warm`` over ``cold``.
    """

    HMM = "hmm"
    ALGORITHM = "algorithm"
    FORMULATION = "formulation"
    SCENARIO = "scenario"


@dataclass(frozen=True, slots=True, kw_only=True)
class ContrastCurve:
    """A ratio along a size.

    Attributes
    ----------
    contrast : Contrast
        Which choice.
    axis : str
        The size.
    metric : Column
        Of which the ratio is made.
    common, name : str
        What the curves of this contrast and size have in common, and what tells this one from the others; both of the
        numerators.
    numerator, denominator : Line
        Its two sides.
    curve : RatioCurve
        The numbers.
    """

    contrast: Contrast
    axis: str
    metric: Column
    common: str
    name: str
    numerator: Line
    denominator: Line
    curve: RatioCurve


def find_contrasts(
    rows: Iterable[Row],
    axis: str,
    metrics: Sequence[Column],
    contrasts: Sequence[Contrast] = tuple(Contrast),
    *,
    least_sizes: int = 2,
) -> tuple[ContrastCurve, ...]:
    """Make the ratio of every pair of lines that differ in one choice only.

    Parameters
    ----------
    rows : iterable of Row
        As `firstgrad.analysis.scaling.find_growth` takes them.
    axis : str
        Along which size.
    metrics : sequence of Column
        Of which.
    contrasts : sequence of Contrast
        Which choices.
    least_sizes : int
        Curves with fewer sizes that both sides have are left out.

    Returns
    -------
    tuple of ContrastCurve
        By contrast, then by metric.
    """
    lines = find_lines(rows, axis, least_sizes=1)
    found = []
    for contrast in contrasts:
        pairs = [
            (above, below)
            for above, below in _pair(lines, contrast)
            if len(set(above.sizes) & set(below.sizes)) >= least_sizes
        ]
        common, names = name_lines([numerator for numerator, _ in pairs])
        seen = [(observe_all(above, metrics), observe_all(below, metrics)) for above, below in pairs]
        for number, metric in enumerate(metrics):
            for (numerator, denominator), name, sides in zip(pairs, names, seen, strict=True):
                above, below = (side[number] for side in sides)
                if above is None or below is None:
                    continue
                curve = make_ratio_curve(above, below)
                if len(curve.points) >= least_sizes:
                    found.append(
                        ContrastCurve(
                            contrast=contrast,
                            axis=axis,
                            metric=metric,
                            common=common,
                            name=name,
                            numerator=numerator,
                            denominator=denominator,
                            curve=curve,
                        )
                    )
    return tuple(found)


def _pair(lines: Sequence[Line], contrast: Contrast) -> list[tuple[Line, Line]]:
    side, dropped = _RULES[contrast]
    below: dict[object, Line] = {}
    above: dict[object, list[Line]] = defaultdict(list)
    for line in lines:
        key = _rest(line, dropped)
        match side(line):
            case False:
                below[key] = line
            case True:
                above[key].append(line)
    return [(line, below[key]) for key, members in above.items() if key in below for line in members]


def _rest(line: Line, dropped: tuple[str, ...]) -> object:
    rest = tuple(each for each in line.rest if each[0] not in dropped)
    scenario = None if "scenario" in dropped else line.scenario
    return line.family, rest, line.backend, line.target, scenario, line.packages


def _value(line: Line, name: str) -> object:
    return dict(line.rest).get(name)


def _hmm_side(line: Line) -> bool | None:
    algorithm = _value(line, "hmm_algorithm")
    return None if algorithm is None else algorithm != ""


def _algorithm_side(line: Line) -> bool | None:
    algorithm = _value(line, "hmm_algorithm")
    return None if not algorithm else algorithm != HmmAlgorithm.SCAN


def _formulation_side(line: Line) -> bool | None:
    formulation = _value(line, "formulation")
    return None if formulation is None else formulation == Formulation.VECTORISED


def _scenario_side(line: Line) -> bool | None:
    return {Scenario.COLD: False, Scenario.WARM: True}.get(line.scenario)


_RULES: dict[Contrast, tuple[Callable[[Line], bool | None], tuple[str, ...]]] = {
    Contrast.HMM: (_hmm_side, ("hmm_algorithm", "states")),
    Contrast.ALGORITHM: (_algorithm_side, ("hmm_algorithm",)),
    Contrast.FORMULATION: (_formulation_side, ("formulation",)),
    Contrast.SCENARIO: (_scenario_side, ("scenario",)),
}
"""Which side a line is on (none: neither), and what else may differ between the sides."""
