"""Growth of memory while a model is compiled, by its number of likelihood terms: a line a way, a panel a likelihood."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from firstgrad.show.drawing import LineEnd, looks_of, name_ends
from firstgrad.show.result import Picture
from firstgrad.show.style import firstgrad_style
from firstgrad.units import format_bytes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.figure import Figure

    from benchmarks.compile_memory.table import Sample

_PANEL_WIDTH, _HEIGHT, _NAMES_WIDTH, _MIB = 3.4, 4.0, 2.0, 2**20
_TITLES = {"gamma": "Gamma", "lognormal": "LogNormal"}


def compile_memory_picture(samples: Sequence[Sample]) -> Picture:
    """Picture the samples of the releases that come first. Raises ValueError where there is none."""
    good = [sample for sample in samples if not sample.failure]
    if not good:
        raise ValueError("there are no samples to draw")
    return Picture(partial(_draw, _of_first(good)), "compile-memory", _describe(_of_first(good)))


def _of_first(samples: Sequence[Sample]) -> list[Sample]:
    return [sample for sample in samples if sample.releases == samples[0].releases]


def _draw(samples: Sequence[Sample]) -> Figure:
    from matplotlib.figure import Figure

    ways = list(dict.fromkeys(_way(sample) for sample in samples))
    looks = looks_of(ways)
    width = _PANEL_WIDTH * len(_TITLES) + _NAMES_WIDTH
    with firstgrad_style():
        figure = Figure(figsize=(width, _HEIGHT))
        panels = figure.subplots(1, len(_TITLES), sharey=True, squeeze=False)[0]
        figure.subplots_adjust(left=0.75 / width, right=1 - _NAMES_WIDTH / width, bottom=0.14, top=0.9, wspace=0.08)
        for axes, (likelihood, title) in zip(panels, _TITLES.items(), strict=True):
            ends = []
            for way, look in looks.items():
                line = _line(samples, way, likelihood)
                if not line:
                    continue
                axes.plot(
                    *zip(*line, strict=True),
                    color=look.colour,
                    marker=look.marker,
                    linestyle=look.style,
                    markersize=4,
                )
                ends.append(LineEnd(*line[-1], way, look.colour))
            axes.set_xscale("log", base=2)
            terms = sorted({sample.terms for sample in samples})
            axes.set_xticks(terms, [str(each) for each in terms])
            axes.minorticks_off()
            axes.set_ylim(bottom=0)
            axes.set_title(title)
            axes.set_xlabel("likelihood terms")
        panels[0].set_ylabel("growth of memory, MiB")
        name_ends(panels[-1], ends, height_inches=0.76 * _HEIGHT)
    return figure


def _way(sample: Sample) -> str:
    return sample.name.partition(",")[0] + (", one array" if sample.likelihood.endswith("array") else "")


def _line(samples: Sequence[Sample], way: str, likelihood: str) -> list[tuple[float, float]]:
    own = [each for each in samples if _way(each) == way and each.likelihood.removesuffix("_array") == likelihood]
    return sorted((float(each.terms), each.grown_bytes / _MIB) for each in own)


def _describe(samples: Sequence[Sample]) -> str:
    most = max(sample.terms for sample in samples)
    told = [f"{each.name} {format_bytes(each.grown_bytes)}" for each in samples if each.terms == most]
    return f"Growth of memory while a model is compiled, by likelihood terms. With {most}: {', '.join(told)}."
