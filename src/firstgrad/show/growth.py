"""Growth along a size: laws with their samples, and what one choice costs against another; one panel a metric."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from firstgrad.case import Target
from firstgrad.estimates import estimate_median
from firstgrad.grouping import grouped
from firstgrad.growth.contrasts import Contrast
from firstgrad.growth.law import CONFIDENCE, GrowthLaw, GrowthVerdict, NoLaw
from firstgrad.growth.lines import NODES, name_lines
from firstgrad.pose.spec import PARAMETERS
from firstgrad.show import drawing
from firstgrad.show.result import Picture
from firstgrad.show.style import PageRole, Tip, set_role
from firstgrad.show.words import capitalised, shown, write_counted, write_fitted

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from firstgrad.columns import Unit
    from firstgrad.growth.contrasts import ContrastCurve, RatioCurve, RatioPoint
    from firstgrad.growth.law import Interval
    from firstgrad.growth.lines import FittedLine, MetricGrowth, SizeLine
    from firstgrad.show.drawing import Look, Scale, Strokes

MOST_LINES = 8
"""In a panel; those with most sizes and samples are drawn, and the title says how many are not."""

_CONTRAST_TITLES = {
    Contrast.HMM: "HMM / no HMM",
    Contrast.ALGORITHM: "other HMM algorithms / scan",
    Contrast.FORMULATION: "vectorised / per_joint",
    Contrast.SCENARIO: "warm / cold",
}
_WORDS = {"directions": "direction vectors"}
_WIDTH_INCHES, _PANEL_INCHES, _RATIO_INCHES = 9.0, 3.1, 4.4
_PLACES = 30
_MOST_DOTS = 25
_FAR = 10.0  # bands are drawn so far beyond the panel: they may have no end
_LONGEST_TITLE, _LONGEST_END = 110, 40
_TOLD = (GrowthVerdict.DOES_NOT_GROW, GrowthVerdict.UNDECIDED)  # by `tell_law` already

type NamedCurve = tuple[str, RatioCurve]


def name_size(axis: str) -> tuple[str, str]:
    """Name an axis for a figure, and its letter for laws; what is no size of the pose model goes by its own name."""
    if axis == NODES:
        return "graph nodes after rewriting N", "N"
    parameter = PARAMETERS.get(axis)
    if parameter is None or not parameter.symbol:
        return axis, axis
    return f"{_WORDS.get(axis, parameter.text.lower())} {parameter.symbol}", parameter.symbol


@dataclass(frozen=True, slots=True, kw_only=True)
class GrowthPanel:
    """Laws that share a panel: of one metric, in its unit. Those of one name look alike in all panels."""

    title: str
    unit: Unit
    laws: Sequence[tuple[str, GrowthLaw | NoLaw]]

    @classmethod
    def of(cls, growth: MetricGrowth, lines: Sequence[FittedLine], names: Sequence[str]) -> GrowthPanel:
        """Make the panel of some of a metric's lines."""
        laws = [(name, grown.law) for grown, name in zip(lines, names, strict=True)]
        return cls(title=capitalised(growth.metric.title), unit=growth.metric.unit, laws=laws)

    @property
    def scale(self) -> Scale:
        """In what its axis counts."""
        return drawing.scale_of(self.unit, [value for _, law in self.laws for _, value, _, _ in _drawable(law)])


def growth_pictures(growths: Sequence[MetricGrowth]) -> tuple[Picture, ...]:
    """Arrange growth laws into figures: one a size, backend, scenario and target, with a panel a metric.

    Lines within a panel are the formulations and HMM algorithms, so that HMM and no HMM stand side by side.
    """
    members = grouped(
        ((growth.axis, place), growth)
        for growth in growths
        for place in dict.fromkeys(_place(grown.line) for grown in growth.lines)
    )
    pictures = []
    for (axis, place), of_place in members.items():
        panels, common, left_out = [], "", 0
        for growth in of_place:
            every = [grown for grown in growth.lines if _place(grown.line) == place]
            chosen = _most_measured(every)
            left_out = max(left_out, len(every) - len(chosen))
            common, names = name_lines([grown.line for grown in chosen])
            panels.append(GrowthPanel.of(growth, chosen, names))
        size, symbol = name_size(axis)
        title = f"{common} ({left_out} more lines are not drawn)" if left_out else common
        name = f"scaling-{axis}-{place.replace(', ', '-')}"
        pictures.append(growth_picture(panels, size=size, symbol=symbol, title=title, name=name))
    return tuple(pictures)


def _most_measured(lines: Sequence[FittedLine]) -> list[FittedLine]:
    """Choose the lines with most sizes, then with most samples, where there are more than can be told apart."""
    order = sorted(range(len(lines)), key=lambda place: (-lines[place].line.n_sizes, -len(lines[place].line.sizes)))
    return [lines[place] for place in sorted(order[:MOST_LINES])]


def _place(line: SizeLine) -> str:
    place = f"{line.backend}, {line.scenario}"
    return place if line.target is Target.DLOGP else f"{place}, {line.target}"


def growth_picture(
    panels: Sequence[GrowthPanel],
    *,
    size: str = "timesteps T",
    symbol: str = "T",
    title: str = "",
    name: str = "growth",
    caption: str = "",
) -> Picture:
    """Picture metrics along a size with their laws, a panel below the other, all scales logarithmic.

    Small dots are samples, markers their medians with intervals, a size and host each; lines and bands are the laws,
    one a host. Hollow markers with arrows are censored samples: the value lies above. Thick pieces are cliffs. At each
    end stand the name and the law. Raises ValueError where there are no panels, or no observations in any.
    """
    if not any(law.observations.sizes for panel in panels for _, law in panel.laws):
        raise ValueError("no panel has an observation: nothing to draw")
    told = [
        f"{shown(panel.title, _LONGEST_TITLE)}: "
        f"{'; '.join(_describe_law(name, law, panel.unit, symbol) for name, law in panel.laws)}"
        for panel in panels
    ]
    words = f"Lines along {size}, both scales logarithmic. {'. '.join(told)}."
    return Picture(partial(_draw_growth, panels, size, symbol, title), name, words, caption)


def _draw_growth(panels: Sequence[GrowthPanel], size: str, symbol: str, title: str) -> Figure:
    looks = drawing.looks_of(name for panel in panels for name, _ in panel.laws)
    laws = [law for panel in panels for _, law in panel.laws]
    height = 0.9 + (_PANEL_INCHES + 0.35) * len(panels)
    with drawing.new_panels(_WIDTH_INCHES, height, [1.0] * len(panels), is_shared=True) as (figure, grid):
        for axes, panel in zip(grid, panels, strict=True):
            _draw_panel(axes, panel, looks, symbol)
        drawing.set_sizes(grid, [size for law in laws for size in law.observations.sizes])
        for axes, panel in zip(grid, panels, strict=True):
            ends = [_end(name, law, panel, looks[name], symbol) for name, law in panel.laws if _drawable(law)]
            drawing.name_ends(axes, ends, height_inches=_PANEL_INCHES - 0.4)
        grid[-1].set_xlabel(size)
        parts = ["bars: interval of the median"]
        if any(isinstance(law, GrowthLaw) for law in laws):
            parts.append(f"lines and bands: fitted laws, {CONFIDENCE:.0%}")
        if any(any(law.observations.is_censored) for law in laws):
            parts.append("arrows: stopped by a limit, the value lies above")
        figure.supxlabel("; ".join(parts), x=0.01, ha="left", fontsize=8.5)
        if title:
            drawing.head_figure(figure, shown(title, _LONGEST_TITLE))
    return figure


def tell_law(law: GrowthLaw | NoLaw, unit: Unit, symbol: str) -> str:
    """Write a law in short, such as ``T^0.93 [0.88, 0.98] + 3.1 s``."""
    if isinstance(law, NoLaw):
        return "no law"
    if law.verdict is GrowthVerdict.DOES_NOT_GROW:
        return str(law.verdict)
    fixed = f" + {write_fitted(unit, law.fixed_cost.value)}" if law.has_fixed_cost and law.fixed_cost.value > 0 else ""
    undecided = ", undecided" if law.verdict is GrowthVerdict.UNDECIDED else ""
    return f"{symbol}^{_write_interval(law.exponent)}{fixed}{undecided}"


def _write_interval(interval: Interval) -> str:
    """Write a number with its interval, if it has one: ``0.93 [0.88, 0.98]``; an undetermined end is infinite."""
    if interval.low == interval.high:
        return f"{interval.value:.2f}"
    high = "∞" if math.isinf(interval.high) else f"{interval.high:.2f}"
    return f"{interval.value:.2f} [{interval.low:.2f}, {high}]"


def _drawable(law: GrowthLaw | NoLaw) -> list[tuple[float, float, bool, str]]:
    """Pick the observations that a logarithmic scale can show: size, value, whether it is a bound, host."""
    seen = law.observations
    rows = zip(seen.sizes, seen.values, seen.is_censored, seen.hosts, strict=True)
    return [row for row in rows if row[1] > 0]


def _draw_panel(axes: Axes, panel: GrowthPanel, looks: dict[str, Look], symbol: str) -> None:
    set_role(axes, PageRole.ALONG)
    axes.set_xscale("log")
    axes.set_title(shown(panel.title, _LONGEST_TITLE), fontsize=10)
    scale = panel.scale
    ends = [value / scale.factor for _, law in panel.laws for _, value, _, _ in _drawable(law)]
    if not ends:
        drawing.say_nothing_is_there(axes)
        return
    # The limits follow the samples, not the bands: one undetermined law must not flatten all the others.
    drawing.set_values(axes, ends, has_arrows=any(any(law.observations.is_censored) for _, law in panel.laws))
    axes.set_ylabel(scale.unit)
    for name, law in panel.laws:
        if isinstance(law, GrowthLaw):
            _draw_law(axes, name, law, scale, looks[name])
        _draw_samples(axes, name, law, panel, looks[name], symbol)
        cut = sorted({(size, value / scale.factor) for size, value, is_censored, _ in _drawable(law) if is_censored})
        drawing.draw_bounds(axes, cut, looks[name], label=f"{name}: censored")


def _draw_law(axes: Axes, name: str, law: GrowthLaw, scale: Scale, look: Look) -> None:
    least, most = min(law.observations.sizes), max(law.observations.sizes)
    sizes = [least * (most / least) ** (step / _PLACES) for step in range(_PLACES + 1)]
    bottom, top = axes.get_ylim()
    for host, level in zip(law.hosts, law.levels, strict=True):
        if math.isnan(level):
            continue
        curve = law.curve(sizes, host)
        values = [one.value / scale.factor for one in curve]
        lows = [max(one.low / scale.factor, bottom / _FAR) for one in curve]
        highs = [min(one.high / scale.factor, top * _FAR) for one in curve]
        axes.plot(sizes, values, label=f"{name}: law", color=look.colour, linestyle=look.style, linewidth=1.5)
        axes.fill_between(sizes, lows, highs, color=look.colour, alpha=0.16, linewidth=0)
    for number, cliff in enumerate(law.cliffs):
        before, after = (_median_at(law, size) / scale.factor for size in (cliff.from_size, cliff.to_size))
        if before > 0 and after > 0:
            style: Strokes = {"linewidth": 5.0, "alpha": 0.45, "solid_capstyle": "butt", "color": look.colour}
            ends = [(cliff.from_size, before), (cliff.to_size, after)]
            drawing.plot(axes, ends, label=f"{name}: cliff {number + 1}", **style)
            middle = math.sqrt(cliff.from_size * cliff.to_size), math.sqrt(before * after)
            drawing.note(axes, f"cliff, factor {cliff.factor:.3g}", middle, (-8, 4))


def _draw_samples(axes: Axes, name: str, law: GrowthLaw | NoLaw, panel: GrowthPanel, look: Look, symbol: str) -> None:
    factor = panel.scale.factor
    cells = grouped(((size, host), value) for size, value, is_censored, host in _drawable(law) if not is_censored)
    dots = [
        (size, value / factor)
        for (size, _), values in cells.items()
        for value in drawing.choose_dots(values, _MOST_DOTS)
    ]
    style: Strokes = {"linestyle": "none", "color": look.colour}
    drawing.plot(axes, dots, label=f"{name}: samples", marker=".", markersize=3.5, alpha=0.6, **style)
    estimates = [(size, estimate_median(values)) for (size, _), values in sorted(cells.items())]
    bars = [(size, one.low / factor, one.high / factor) for size, one in estimates if one.samples > 1]
    drawing.draw_intervals(axes, bars, look.colour)
    of_what = shown(", ".join(filter(None, (panel.title, name))), _LONGEST_TITLE)
    tips = [Tip(of_what, f"{symbol} = {size:g}", write_counted(panel.unit, one)) for size, one in estimates]
    medians = [(size, one.value / factor) for size, one in estimates]
    drawing.plot(axes, medians, tips=tips, marker=look.marker, markersize=5.5, label=name, **style)


def _median_at(law: GrowthLaw | NoLaw, size: float) -> float:
    values = [value for at, value, is_censored, _ in _drawable(law) if at == size and not is_censored]
    return estimate_median(values).value if values else math.nan


def _end(name: str, law: GrowthLaw | NoLaw, panel: GrowthPanel, look: Look, symbol: str) -> drawing.LineEnd:
    drawable = _drawable(law)
    size = max(at for at, _, _, _ in drawable)
    if isinstance(law, GrowthLaw) and not math.isnan(law.levels[0]):
        height = law.curve([size])[0].value
    else:
        height = max(value for at, value, _, _ in drawable if at == size)
    text = f"{shown(name, _LONGEST_END)}\n{tell_law(law, panel.unit, symbol)}".strip("\n")
    return drawing.LineEnd(size, height / panel.scale.factor, text, look.colour)


def _describe_law(name: str, law: GrowthLaw | NoLaw, unit: Unit, symbol: str) -> str:
    seen = law.observations
    censored, hidden = sum(seen.is_censored), len(seen.sizes) - len(_drawable(law))
    parts = [f"{len(seen.sizes)} samples at {len(set(seen.sizes))} sizes"]
    parts.append(f"no law ({law.reason})" if isinstance(law, NoLaw) else tell_law(law, unit, symbol))
    parts += [str(law.verdict)] if isinstance(law, GrowthLaw) and law.verdict not in _TOLD else []
    parts += [f"{censored} censored"] if censored else []
    parts += [f"{hidden} at 0 or below not shown"] if hidden else []
    if isinstance(law, GrowthLaw):
        parts += [f"cliff from {one.from_size:g} to {one.to_size:g}: factor {one.factor:.3g}" for one in law.cliffs]
    return f"{shown(name)}: {', '.join(parts)}"


# --- ratios of one choice to another ----------------------------------------------------------------------------


def ratio_pictures(contrasts: Iterable[ContrastCurve]) -> tuple[Picture, ...]:
    """Arrange ratio curves into figures of the first `MOST_LINES`; curves of a single size make none."""
    pictures = []
    known = (((one.contrast, one.axis, one.metric.name), one) for one in contrasts if len(one.curve.points) > 1)
    for (contrast, axis, metric), curves in grouped(known).items():
        lines = [(curve.name, curve.curve) for curve in curves[:MOST_LINES]]
        title = f"{_CONTRAST_TITLES[contrast]}: {curves[0].metric.title}"
        size = name_size(axis)[0]
        pictures.append(ratio_picture(lines, title=title, size=size, name=f"ratio-{contrast}-{axis}-{metric}"))
    return tuple(pictures)


def ratio_picture(
    lines: Sequence[NamedCurve], *, title: str = "HMM / no HMM", size: str = "timesteps T", name: str = "ratio"
) -> Picture:
    """Picture ratios along a size, both scales logarithmic, with a line at 1; `title` says what is divided by what.

    Bars are the ratios' intervals; hollow markers with arrows are bounds, where a limit stopped samples of one side. At
    each end stand the name and the one ratio of all sizes, or that the ratio changes. Raises ValueError where no curve
    has a point that tells something.
    """
    drawn = [(line, curve, points) for line, curve in lines if (points := _telling(curve))]
    if not drawn:
        raise ValueError("no curve has a ratio: nothing to draw")
    parts = []
    for line, curve in lines:
        points = _telling(curve)
        ends = [f"{_write_ratio(point)} at {point.size:g}" for point in dict.fromkeys((*points[:1], *points[-1:]))]
        about = f"{shown(line)}: {', '.join(ends) or 'no ratio'}"
        parts.append(", ".join(filter(None, (about, _tell_overall(curve) if points else ""))))
    words = f"Ratios {shown(title, _LONGEST_TITLE)} along {size}. {'; '.join(parts)}."
    looks = drawing.looks_of(line for line, _ in lines)
    return Picture(partial(_draw_ratio, drawn, looks, title, size), name, words)


def _draw_ratio(
    drawn: Sequence[tuple[str, RatioCurve, list[RatioPoint]]], looks: dict[str, Look], title: str, size: str
) -> Figure:
    points = [point for _, _, of_curve in drawn for point in of_curve]
    with drawing.new_panels(_WIDTH_INCHES, _RATIO_INCHES) as (figure, [axes]):
        set_role(axes, PageRole.ALONG)
        axes.set_xscale("log")
        ends = [end for point in points for end in _ratio_ends(point)]
        drawing.set_values(axes, [*ends, 1.0], has_arrows=any(point.is_lower_bound for point in points))
        drawing.set_sizes([axes], [point.size for point in points])
        axes.axhline(1.0, color="#888888", linewidth=1.4, label="equal")
        named = []
        for name, curve, of_curve in drawn:
            _draw_curve(axes, name, of_curve, looks[name])
            text = f"{shown(name, _LONGEST_END)}\n{_tell_overall(curve)}".rstrip()
            named.append(drawing.LineEnd(of_curve[-1].size, of_curve[-1].ratio, text, looks[name].colour))
        drawing.name_ends(axes, named, height_inches=_RATIO_INCHES - 0.9)
        axes.set_ylabel("ratio")
        has_bounds = any(point.is_lower_bound or point.is_upper_bound for point in points)
        axes.set_xlabel(f"{size}\narrows: bounds, where a limit stopped samples of one side" if has_bounds else size)
        axes.set_title(shown(title, _LONGEST_TITLE))
    return figure


def _telling(curve: RatioCurve) -> list[RatioPoint]:
    """Leave out what tells nothing: where limits stopped both sides."""
    return [point for point in curve.points if not (point.is_lower_bound and point.is_upper_bound) and point.ratio > 0]


def _ratio_ends(point: RatioPoint) -> tuple[float, ...]:
    if point.interval is None or not 0 < point.interval.low <= point.interval.high < math.inf:
        return (point.ratio,)
    return (point.ratio, point.interval.low, point.interval.high)


def _draw_curve(axes: Axes, name: str, points: Sequence[RatioPoint], look: Look) -> None:
    known = [point for point in points if not (point.is_lower_bound or point.is_upper_bound)]
    line: Strokes = {"linestyle": look.style, "linewidth": 1.4, "color": look.colour}
    drawing.plot(axes, [(point.size, point.ratio) for point in points], label=f"{name}: curve", **line)
    dots: Strokes = {"linestyle": "none", "marker": look.marker, "markersize": 6, "color": look.colour}
    tips = [Tip(shown(name), f"size = {point.size:g}", _write_ratio(point)) for point in known]
    drawing.plot(axes, [(point.size, point.ratio) for point in known], tips=tips, label=name, **dots)
    low, high = axes.get_ylim()
    bars = [(one.size, max(one.interval.low, low), min(one.interval.high, high)) for one in known if one.interval]
    drawing.draw_intervals(axes, bars, look.colour)
    for is_lower in (True, False):
        bounds = [(one.size, one.ratio) for one in points if one not in known and one.is_lower_bound is is_lower]
        drawing.draw_bounds(axes, bounds, look, label=f"{name}: bound", is_lower=is_lower)


def _tell_overall(curve: RatioCurve) -> str:
    if curve.is_constant is False:
        return "changes with the size"
    if curve.overall is None:
        return ""
    overall = curve.overall
    return f"factor {overall.value:.2f} [{overall.low:.2f}, {overall.high:.2f}] at all sizes"


def _write_ratio(point: RatioPoint) -> str:
    sign = "at least " if point.is_lower_bound else "at most " if point.is_upper_bound else ""
    interval = f" [{point.interval.low:.2f}, {point.interval.high:.2f}]" if point.interval is not None else ""
    return f"{sign}{point.ratio:.2f}{interval}"
