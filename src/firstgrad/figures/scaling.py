"""A metric along a size, on log-log axes: samples, the fitted growth laws with their bands, and what limits cut off."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from firstgrad.estimates import estimate_median
from firstgrad.figures.bounds import draw_bounds
from firstgrad.figures.cliff_mark import mark_cliff
from firstgrad.figures.ends import End, name_ends
from firstgrad.figures.laws import tell_law
from firstgrad.figures.lines import shown
from firstgrad.figures.looks import looks_of
from firstgrad.figures.sizes import set_sizes, set_values
from firstgrad.figures.values import scale_of, spread_out
from firstgrad.growth.law import CONFIDENCE, GrowthLaw, GrowthVerdict, NoLaw
from firstgrad.show.style import firstgrad_style

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from firstgrad.figures.looks import Look
    from firstgrad.figures.values import Scale, spread_out
    from firstgrad.growth.law import Observations
    from firstgrad.metrics import Unit

_WIDTH_INCHES, _PANEL_INCHES = 9.0, 3.1
_PLACES = 30
_MOST_DOTS = 25
_FAR = 10.0  # bands are drawn so far beyond the panel: they may have no end
_TOLD = (GrowthVerdict.DOES_NOT_GROW, GrowthVerdict.UNDECIDED)  # by `tell_law` already


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalingLine:
    """One law and what it was fitted to.

    Attributes
    ----------
    name : str
        Written at the line's end.
    observations : Observations
        The samples.
    law : GrowthLaw or NoLaw, optional
        Where left out, samples alone are drawn.
    key : str
        Lines of one key look alike in all panels; the name where left out.
    is_emphasised : bool
        Whether it is drawn strongly.
    """

    name: str
    observations: Observations
    law: GrowthLaw | NoLaw | None = None
    key: str = ""
    is_emphasised: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalingPanel:
    """Lines that share a panel: of one metric, in its unit."""

    title: str
    unit: Unit
    lines: tuple[ScalingLine, ...]


def draw_scaling(
    panels: Sequence[ScalingPanel], *, size: str = "timesteps T", symbol: str = "T", title: str = ""
) -> Figure:
    """Draw metrics along a size.

    Parameters
    ----------
    panels : sequence of ScalingPanel
        The first is drawn at the top.
    size, symbol : str
        What the sizes are, and their letter in the laws.
    title : str
        Of the figure.

    Returns
    -------
    matplotlib.figure.Figure
        One axes a panel, both of its scales logarithmic, sizes shared. Small dots are samples, markers their medians
        with intervals, a size and host each; lines and bands are the laws, one a host. Hollow markers with arrows are
        censored samples: the value lies above. Thick pieces are cliffs. At each end stand the line's name and its
        exponent.

    Raises
    ------
    ValueError
        Where there are no panels, or no observations in any.
    """
    _check(panels)
    from matplotlib.figure import Figure

    looks = looks_of(_key(line) for panel in panels for line in panel.lines)
    sizes = [number for panel in panels for line in panel.lines for number in line.observations.sizes]
    with firstgrad_style():
        figure = Figure(figsize=(_WIDTH_INCHES, 0.9 + (_PANEL_INCHES + 0.35) * len(panels)), layout="constrained")
        grid = figure.subplots(len(panels), 1, squeeze=False, sharex=True)[:, 0]
        for axes, panel in zip(grid, panels, strict=True):
            _draw_panel(axes, panel, looks)
        set_sizes(list(grid), sizes)
        for axes, panel in zip(grid, panels, strict=True):
            scale = _scale(panel)
            name_ends(
                axes,
                [_end(line, scale, panel.unit, looks[_key(line)], symbol) for line in panel.lines if _known(line)],
                height_inches=_PANEL_INCHES - 0.4,
            )
        grid[-1].set_xlabel(size)
        figure.supxlabel(_explain(panels), x=0.01, ha="left", fontsize=8.5)
        if title:
            figure.suptitle(shown(title, 110), x=0.01, ha="left", fontsize=11, fontweight="bold")
    return figure


def describe_scaling(panels: Sequence[ScalingPanel], *, size: str = "timesteps T", symbol: str = "T") -> str:
    """Say in words what `draw_scaling` shows, for readers who can't see it; raises ValueError as it does."""
    _check(panels)
    told = [
        f"{shown(panel.title, 110)}: {'; '.join(_describe_line(line, panel.unit, symbol) for line in panel.lines)}"
        for panel in panels
    ]
    return f"Lines along {size}, both scales logarithmic. {'. '.join(told)}."


def _check(panels: Sequence[ScalingPanel]) -> None:
    if not any(line.observations.sizes for panel in panels for line in panel.lines):
        raise ValueError("no panel has an observation: nothing to draw")


def _explain(panels: Sequence[ScalingPanel]) -> str:
    lines = [line for panel in panels for line in panel.lines]
    parts = ["bars: interval of the median"]
    if any(isinstance(line.law, GrowthLaw) for line in lines):
        parts.append(f"lines and bands: fitted laws, {CONFIDENCE:.0%}")
    if any(any(line.observations.is_censored) for line in lines):
        parts.append("arrows: stopped by a limit, the value lies above")
    return "; ".join(parts)


def _key(line: ScalingLine) -> str:
    return line.key or line.name


def _known(line: ScalingLine) -> list[tuple[float, float, bool, str]]:
    """Pick the observations that a logarithmic scale can show."""
    seen = line.observations
    rows = zip(seen.sizes, seen.values, seen.is_censored, seen.hosts, strict=True)
    return [row for row in rows if row[1] > 0]


def _scale(panel: ScalingPanel) -> Scale:
    return scale_of(panel.unit, [value for line in panel.lines for _, value, _, _ in _known(line)])


def _draw_panel(axes: Axes, panel: ScalingPanel, looks: dict[str, Look]) -> None:
    axes.set_xscale("log")
    axes.set_title(shown(panel.title, 110), fontsize=10)
    ends = [value for line in panel.lines for _, value, _, _ in _known(line)]
    if not ends:
        axes.set_yticks([])
        axes.text(0.5, 0.5, "no numbers", transform=axes.transAxes, ha="center", va="center")
        return
    scale = _scale(panel)
    # The limits follow the samples, not the bands: one undetermined law must not flatten all the others.
    set_values(
        axes,
        [end / scale.factor for end in ends],
        has_arrows=any(any(each.observations.is_censored) for each in panel.lines),
    )
    axes.set_ylabel(scale.unit)
    for line in panel.lines:
        look = looks[_key(line)]
        if isinstance(line.law, GrowthLaw):
            _draw_law(axes, line, line.law, scale, look)
        _draw_samples(axes, line, scale, look)
        _draw_censored(axes, line, scale, look)


def _draw_law(axes: Axes, line: ScalingLine, law: GrowthLaw, scale: Scale, look: Look) -> None:
    least, most = min(law.observations.sizes), max(law.observations.sizes)
    sizes = [least * (most / least) ** (step / _PLACES) for step in range(_PLACES + 1)]
    bottom, top = axes.get_ylim()
    for host, level in zip(law.hosts, law.levels, strict=True):
        if math.isnan(level):
            continue
        curve = law.curve(sizes, host)
        axes.plot(
            curve.sizes,
            [value / scale.factor for value in curve.values],
            color=look.colour,
            linestyle=look.style,
            linewidth=2.8 if line.is_emphasised else 1.5,
            label=f"{line.name}: law",
        )
        axes.fill_between(
            curve.sizes,
            [max(low / scale.factor, bottom / _FAR) for low in curve.lows],
            [min(high / scale.factor, top * _FAR) for high in curve.highs],
            color=look.colour,
            alpha=0.16,
            linewidth=0,
        )
    for number, cliff in enumerate(law.cliffs):
        heights = (_median_at(line, cliff.from_size, scale), _median_at(line, cliff.to_size, scale))
        mark_cliff(axes, cliff, heights, look.colour, label=f"{line.name}: cliff {number + 1}")


def _draw_samples(axes: Axes, line: ScalingLine, scale: Scale, look: Look) -> None:
    cells: dict[tuple[float, str], list[float]] = {}
    for size, value, is_censored, host in _known(line):
        if not is_censored:
            cells.setdefault((size, host), []).append(value / scale.factor)
    estimates = {cell: estimate_median(values) for cell, values in sorted(cells.items())}
    dots = {cell: spread_out(values, _MOST_DOTS) for cell, values in cells.items()}
    axes.plot(
        [size for (size, _), values in dots.items() for _ in values],
        [value for values in dots.values() for value in values],
        linestyle="none",
        marker=".",
        markersize=3.5,
        alpha=0.6,
        color=look.colour,
        label=f"{line.name}: samples",
    )
    several = [(size, each) for (size, _), each in estimates.items() if each.samples > 1]
    axes.vlines(
        [size for size, _ in several],
        [each.low for _, each in several],
        [each.high for _, each in several],
        color=look.colour,
        linewidth=2.4,
        alpha=0.55,
    )
    axes.plot(
        [size for size, _ in estimates],
        [each.value for each in estimates.values()],
        linestyle="none",
        marker=look.marker,
        markersize=7.5 if line.is_emphasised else 5.5,
        color=look.colour,
        label=line.name,
    )


def _draw_censored(axes: Axes, line: ScalingLine, scale: Scale, look: Look) -> None:
    cut = sorted({(size, value / scale.factor) for size, value, is_censored, _ in _known(line) if is_censored})
    draw_bounds(axes, cut, look, label=f"{line.name}: censored")


def _median_at(line: ScalingLine, size: float, scale: Scale) -> float:
    values = [value for at, value, is_censored, _ in _known(line) if at == size and not is_censored]
    return estimate_median(values).value / scale.factor if values else math.nan


def _end(line: ScalingLine, scale: Scale, unit: Unit, look: Look, symbol: str) -> End:
    known = _known(line)
    size = max(size for size, _, _, _ in known)
    law = line.law
    if isinstance(law, GrowthLaw) and not math.isnan(law.levels[0]):
        height = law.curve([size]).values[0]
    else:
        height = max(value for at, value, _, _ in known if at == size)
    text = "\n".join(filter(None, (shown(line.name, 40), tell_law(line.law, unit, symbol))))
    return End(x=size, y=height / scale.factor, text=text, colour=look.colour)


def _describe_line(line: ScalingLine, unit: Unit, symbol: str) -> str:
    seen = line.observations
    law = f"no law ({line.law.reason})" if isinstance(line.law, NoLaw) else tell_law(line.law, unit, symbol)
    censored, hidden = sum(seen.is_censored), len(seen.sizes) - len(_known(line))
    parts = [
        f"{len(seen.sizes)} samples at {len(set(seen.sizes))} sizes",
        *([law] if law else []),
        *([str(line.law.verdict)] if isinstance(line.law, GrowthLaw) and line.law.verdict not in _TOLD else []),
        *([f"{censored} censored"] if censored else []),
        *([f"{hidden} at 0 or below not shown"] if hidden else []),
    ]
    if isinstance(line.law, GrowthLaw):
        parts += [
            f"cliff from {each.from_size:g} to {each.to_size:g}: factor {each.factor:.3g}" for each in line.law.cliffs
        ]
    return f"{shown(line.name)}: {', '.join(parts)}"
