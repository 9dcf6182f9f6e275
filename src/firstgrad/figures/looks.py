"""How lines look: each key a colour, a marker and a line style, the same in all panels of a figure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from firstgrad.show.style import SERIES_COLOURS, SERIES_MARKERS

if TYPE_CHECKING:
    from collections.abc import Iterable

type LineStyle = str | tuple[int, tuple[int, ...]]

_STYLES: tuple[LineStyle, ...] = ("-", "--", "-.", (0, (1, 1)), (0, (5, 1, 1, 1, 1, 1)))


@dataclass(frozen=True, slots=True)
class Look:
    """A colour and a marker, as matplotlib spells them, and a line style: nothing is told by colour alone."""

    colour: str
    marker: str
    style: LineStyle


def looks_of(keys: Iterable[str]) -> dict[str, Look]:
    """Give each different key a look, in the order of their first appearance."""
    return {
        key: Look(
            colour=SERIES_COLOURS[number % len(SERIES_COLOURS)],
            marker=SERIES_MARKERS[number % len(SERIES_MARKERS)],
            style=_STYLES[number % len(_STYLES)],
        )
        for number, key in enumerate(dict.fromkeys(keys))
    }
