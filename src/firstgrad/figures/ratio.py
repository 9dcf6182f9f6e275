"""What one choice costs against another along a size, such as the HMM against none: a curve a backend."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from firstgrad.figures.bounds import draw_bounds
from firstgrad.figures.ends import End, name_ends
from firstgrad.figures.lines import shown
from firstgrad.figures.looks import looks_of
from firstgrad.figures.sizes import set_sizes, set_values
from firstgrad.show.style import firstgrad_style

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from firstgrad.analysis.ratio_curve import RatioCurve, RatioPoint
    from firstgrad.figures.looks import Look

_WIDTH_INCHES, _HEIGHT_INCHES = 9.0, 4.4


@dataclass(frozen=True, slots=True, kw_only=True)
class RatioLine:
    """A curve, its name, and the key of its look (the name where left out)."""

    name: str
    curve: RatioCurve
    key: str = ""


def draw_ratio(lines: Sequence[RatioLine], *, title: str = "HMM / no HMM", size: str = "timesteps T") -> Figure:
    """Draw ratios along a size.

    Parameters
    ----------
    lines : sequence of RatioLine
        A curve each.
    title : str
        What is divided by what.
    size : str
        What the sizes are.

    Returns
    -------
    matplotlib.figure.Figure
        One axes, both of its scales logarithmic, with a line at 1. Bars are the ratios' intervals; hollow markers with
        arrows are bounds, where a limit stopped samples of one side. At each end stand the name and the one ratio of
        all sizes, or that the ratio changes.

    Raises
    ------
    ValueError
        Where no curve has a point that tells something.
    """
    told = [each for each in lines if _points(each)]
    if not told:
        raise ValueError("no curve has a ratio: nothing to draw")
    from matplotlib.figure import Figure

    looks = looks_of(each.key or each.name for each in lines)
    points = [point for line in told for point in _points(line)]
    ends = [end for each in points for end in _ends(each)]
    has_arrows = any(each.is_lower_bound for each in points)
    with firstgrad_style():
        figure = Figure(figsize=(_WIDTH_INCHES, _HEIGHT_INCHES), layout="constrained")
        axes = figure.add_subplot()
        axes.set_xscale("log")
        set_values(axes, [*ends, 1.0], has_arrows=has_arrows)
        set_sizes([axes], [each.size for each in points])
        axes.axhline(1.0, color="#888888", linewidth=1.4, label="equal")
        for line in told:
            _draw_line(axes, line, looks[line.key or line.name])
        name_ends(
            axes,
            [
                End(
                    x=_points(line)[-1].size,
                    y=_points(line)[-1].ratio,
                    text=f"{shown(line.name, 40)}\n{_tell(line.curve)}".rstrip(),
                    colour=looks[line.key or line.name].colour,
                )
                for line in told
            ],
            height_inches=_HEIGHT_INCHES - 0.9,
        )
        axes.set_ylabel("ratio")
        has_bounds = any(each.is_lower_bound or each.is_upper_bound for each in points)
        axes.set_xlabel(f"{size}\narrows: bounds, where a limit stopped samples of one side" if has_bounds else size)
        axes.set_title(shown(title, 110))
    return figure


def describe_ratio(lines: Sequence[RatioLine], *, title: str = "HMM / no HMM", size: str = "timesteps T") -> str:
    """Say in words what `draw_ratio` shows, for readers who can't see it."""
    parts = []
    for line in lines:
        points = _points(line)
        if not points:
            parts.append(f"{shown(line.name)}: no ratio")
            continue
        ends = [f"{_write(each)} at {each.size:g}" for each in dict.fromkeys((points[0], points[-1]))]
        parts.append(", ".join(filter(None, (f"{shown(line.name)}: {', '.join(ends)}", _tell(line.curve)))))
    return f"Ratios {shown(title, 110)} along {size}. {'; '.join(parts)}."


def _points(line: RatioLine) -> list[RatioPoint]:
    """Leave out what tells nothing: where limits stopped both sides."""
    return [each for each in line.curve.points if not (each.is_lower_bound and each.is_upper_bound) and each.ratio > 0]


def _ends(point: RatioPoint) -> tuple[float, ...]:
    if point.interval is None or not 0 < point.interval.low <= point.interval.high < float("inf"):
        return (point.ratio,)
    return (point.ratio, point.interval.low, point.interval.high)


def _draw_line(axes: Axes, line: RatioLine, look: Look) -> None:
    points = _points(line)
    known = [each for each in points if not (each.is_lower_bound or each.is_upper_bound)]
    axes.plot(
        [each.size for each in points],
        [each.ratio for each in points],
        color=look.colour,
        linestyle=look.style,
        linewidth=1.4,
        label=f"{line.name}: curve",
    )
    axes.plot(
        [each.size for each in known],
        [each.ratio for each in known],
        linestyle="none",
        marker=look.marker,
        markersize=6,
        color=look.colour,
        label=line.name,
    )
    bars = [(each.size, each.interval) for each in known if each.interval is not None]
    low, high = axes.get_ylim()
    axes.vlines(
        [size for size, _ in bars],
        [max(each.low, low) for _, each in bars],
        [min(each.high, high) for _, each in bars],
        color=look.colour,
        linewidth=2.4,
        alpha=0.55,
    )
    for is_lower in (True, False):
        bounds = [(each.size, each.ratio) for each in points if each not in known and each.is_lower_bound is is_lower]
        draw_bounds(axes, bounds, look, label=f"{line.name}: bound", is_lower=is_lower)


def _tell(curve: RatioCurve) -> str:
    if curve.is_constant is False:
        return "changes with the size"
    if curve.overall is None:
        return ""
    overall = curve.overall
    return f"factor {overall.value:.2f} [{overall.low:.2f}, {overall.high:.2f}] at all sizes"


def _write(point: RatioPoint) -> str:
    sign = "at least " if point.is_lower_bound else "at most " if point.is_upper_bound else ""
    interval = f" [{point.interval.low:.2f}, {point.interval.high:.2f}]" if point.interval is not None else ""
    return f"{sign}{point.ratio:.2f}{interval}"
