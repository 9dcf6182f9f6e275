"""How many rounds it takes to find a planted slowdown: a line a tool, a panel a slowdown."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from firstgrad.show.drawing import LineEnd, looks_of, name_ends
from firstgrad.show.result import Picture
from firstgrad.show.style import firstgrad_style

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from matplotlib.figure import Figure

_PANEL_WIDTH, _HEIGHT, _NAMES_WIDTH = 3.4, 3.4, 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerPoint:
    """One tool with one number of rounds.

    Attributes
    ----------
    tool : str
        Its name, with its rule.
    factor : float
        By which HEAD was made slower.
    rounds : int
        Samples a side.
    hits, trials : int
        In how many trials it was found, and how many there were.
    """

    tool: str
    factor: float
    rounds: int
    hits: int
    trials: int

    @property
    def share(self) -> float:
        """How often it was found."""
        return self.hits / self.trials


def read_power(path: Path) -> tuple[PowerPoint, ...]:
    """Read the curve of what ``benchmarks/trust/judge.py`` wrote."""
    return tuple(
        PowerPoint(
            tool=each["tool"],
            factor=each["factor"],
            rounds=each["rounds"],
            hits=each["found"]["hits"],
            trials=each["found"]["trials"],
        )
        for each in json.loads(path.read_text())["curve"]
    )


def power_picture(points: Sequence[PowerPoint]) -> Picture:
    """Picture power over rounds, a panel for each planted factor. Raises ValueError where there is none."""
    if not points:
        raise ValueError("there are no trials to draw")
    return Picture(partial(_draw, points), "power", _describe(points))


def _draw(points: Sequence[PowerPoint]) -> Figure:
    from matplotlib.figure import Figure
    from matplotlib.ticker import PercentFormatter

    factors = sorted({each.factor for each in points})
    looks = looks_of(each.tool for each in points)
    width = _PANEL_WIDTH * len(factors) + _NAMES_WIDTH
    with firstgrad_style():
        figure = Figure(figsize=(width, _HEIGHT + 1.0))
        panels = figure.subplots(1, len(factors), sharey=True, squeeze=False)[0]
        figure.subplots_adjust(left=0.75 / width, right=1 - _NAMES_WIDTH / width, bottom=0.14, top=0.88, wspace=0.08)
        for axes, factor in zip(panels, factors, strict=True):
            ends = []
            for tool, look in looks.items():
                line = _line(points, tool, factor)
                axes.plot(
                    [each.rounds for each in line],
                    [each.share for each in line],
                    color=look.colour,
                    marker=look.marker,
                    linestyle=look.style,
                    markersize=4,
                )
                ends += [LineEnd(each.rounds, each.share, tool, look.colour) for each in line[-1:]]
            axes.set_xscale("log")
            ticks = sorted({each.rounds for each in points})
            axes.set_xticks(ticks, [str(each) for each in ticks])
            axes.minorticks_off()
            axes.set_ylim(-0.03, 1.03)
            axes.yaxis.set_major_formatter(PercentFormatter(1.0))
            axes.axhline(0.95, color="#777777", linewidth=0.8, linestyle=":")
            axes.set_title(f"HEAD slower by {factor - 1:.0%}")
            axes.set_xlabel("rounds (samples a side)")
        panels[0].set_ylabel("found")
        name_ends(panels[-1], ends, height_inches=0.74 * (_HEIGHT + 1.0))
    return figure


def _describe(points: Sequence[PowerPoint]) -> str:
    parts = []
    for factor in sorted({each.factor for each in points}):
        told = []
        for tool in dict.fromkeys(each.tool for each in points):
            line = _line(points, tool, factor)
            if line:
                told.append(f"{tool}: " + ", ".join(f"{each.share:.0%} with {each.rounds}" for each in line))
        parts.append(f"HEAD slower by {factor - 1:.0%}: {'; '.join(told)}")
    return f"How often a planted slowdown is found, by rounds. {'. '.join(parts)}."


def _line(points: Sequence[PowerPoint], tool: str, factor: float) -> list[PowerPoint]:
    return sorted(
        (each for each in points if each.tool == tool and each.factor == factor), key=lambda each: each.rounds
    )
