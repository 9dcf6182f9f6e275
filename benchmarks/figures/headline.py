"""Time to the first gradient of several ways to it: a dot and its interval a way, a panel without and with an HMM."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from firstgrad.estimates import estimate_median
from firstgrad.show.result import Picture
from firstgrad.show.style import firstgrad_style
from firstgrad.store import import_jsonl
from firstgrad.units import format_seconds

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from matplotlib.figure import Figure

    from firstgrad.estimates import Estimate

_ROW_INCHES = 0.34


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One way to the first gradient.

    Attributes
    ----------
    name : str
        As the axis writes it.
    has_hmm : bool
        In which panel.
    seconds : Estimate
        Of the time to the first gradient.
    """

    name: str
    has_hmm: bool
    seconds: Estimate


def read_ways(folder: Path) -> tuple[Way, ...]:
    """Read what ``make headline`` wrote: records in ``headline.jsonl``, densities by hand in ``headline.json``."""
    found: defaultdict[tuple[str, bool], list[float]] = defaultdict(list)
    for record in import_jsonl(folder / "headline.jsonl"):
        model, seconds = record.case.model.pose, record.time_to_first_gradient_seconds
        if model is not None and seconds is not None:
            found[f"{model.formulation}, {record.case.backend}", model.hmm is not None].append(seconds)
    for name, states, measured in json.loads((folder / "headline.json").read_text()):
        # What only shows evaluations was compiled from a filled cache.
        if "warm" not in name:
            stages = (each["wall_seconds"] for each in measured["stages"] if each["name"] != "import")
            found[f"{name}, by hand", bool(states)].append(sum(stages))
    return tuple(
        Way(name=name, has_hmm=has_hmm, seconds=estimate_median(seconds)) for (name, has_hmm), seconds in found.items()
    )


def headline_picture(ways: Sequence[Way]) -> Picture:
    """Picture all ways on a logarithmic axis, the slowest first. Raises ValueError where there is none."""
    if not ways:
        raise ValueError("there is no way to draw")
    return Picture(partial(_draw, ways), "headline", _describe(ways))


def _draw(ways: Sequence[Way]) -> Figure:
    from matplotlib.figure import Figure

    names = _names(ways)
    panels_of = sorted({each.has_hmm for each in ways})
    with firstgrad_style():
        figure = Figure(figsize=(4.2 * len(panels_of) + 1.6, _ROW_INCHES * len(names) + 1.2), layout="constrained")
        panels = figure.subplots(1, len(panels_of), sharey=True, sharex=True, squeeze=False)[0]
        for axes, has_hmm in zip(panels, panels_of, strict=True):
            for way in ways:
                if way.has_hmm is not has_hmm:
                    continue
                place, seconds = names.index(way.name), way.seconds
                colour = "#D55E00" if place == 0 else "#777777" if "by hand" in way.name else "#0072B2"
                axes.plot([seconds.low, seconds.high], [place, place], color=colour, linewidth=2)
                axes.plot([seconds.value], [place], color=colour, marker="o")
                axes.annotate(
                    format_seconds(seconds.value),
                    (seconds.high, place),
                    (6, 0),
                    textcoords="offset points",
                    va="center",
                )
            axes.set_xscale("log")
            axes.xaxis.set_major_formatter(lambda seconds, _: f"{seconds:g}")
            axes.margins(x=0.25)
            axes.set_title("HMM on" if has_hmm else "no HMM")
            axes.set_xlabel("seconds to the first gradient (log)")
            axes.grid(axis="y", linewidth=0.4)
        panels[0].set_yticks(range(len(names)), names)
        panels[0].invert_yaxis()
    return figure


def _names(ways: Sequence[Way]) -> list[str]:
    slowest = sorted(ways, key=lambda each: (each.has_hmm, -each.seconds.value))
    return list(dict.fromkeys(each.name for each in slowest))


def _describe(ways: Sequence[Way]) -> str:
    told = []
    for has_hmm in sorted({each.has_hmm for each in ways}):
        listed = sorted((each for each in ways if each.has_hmm is has_hmm), key=lambda each: -each.seconds.value)
        parts = ", ".join(f"{each.name} {format_seconds(each.seconds.value)}" for each in listed)
        told.append(f"{'With an HMM' if has_hmm else 'Without an HMM'}: {parts}")
    return f"Time to the first gradient, cold. {'. '.join(told)}."
