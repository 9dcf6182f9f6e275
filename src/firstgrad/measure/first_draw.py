"""The window that users wait for: from the built model to the first draw of every chain."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from firstgrad.errors import WorkerError
from firstgrad.measure.first_gradient import collector_seconds
from firstgrad.record import FirstDraw, Phase

if TYPE_CHECKING:
    from collections.abc import Callable

    from firstgrad.backends.base import Backend, BuiltModel
    from firstgrad.case import Case
    from firstgrad.measure.phases import PhaseTimer, Reading
    from firstgrad.record import DrawCheck


@dataclass(frozen=True, slots=True)
class DrawWindow:
    """What the window gave."""

    built: BuiltModel
    draw: FirstDraw
    check: DrawCheck
    spent: Reading
    gc_seconds: float
    """Spent in Python's garbage collector."""


def first_draw(backend: Backend, build: Callable[[], BuiltModel], case: Case, timer: PhaseTimer) -> DrawWindow:
    """Go from a factory to the first draw of every chain.

    The window ends with the first draw of the chain that has it last; what the sampler does after that (its second
    draw, the packing of the trace) is no part of it.

    Parameters
    ----------
    backend : Backend
        Its modules and the sampler's are imported already.
    build : callable
        The factory.
    case : Case
        Who draws, and how many chains.
    timer : PhaseTimer
        Gets the phases `build` to `first_draw`.
    """
    with timer.phase(Phase.BUILD):
        built = build()
    sampler, reason = backend.choose_sampler(built, case)
    readings: dict[int, Reading] = {}

    def drew(chain: int) -> None:
        if chain not in readings:
            readings[chain] = timer.read()

    with collector_seconds() as collections:
        began = timer.read()
        timer.begin(Phase.FIRST_DRAW)
        check, unavailable = backend.draw(built, case, sampler, drew)
    if len(readings) != case.chains:
        raise WorkerError(f"{sampler} told of {len(readings)} of {case.chains} chains")
    last = max(readings.values(), key=lambda reading: reading.wall_seconds)
    timer.end(last)
    seconds = tuple(readings[chain].wall_seconds - began.wall_seconds for chain in sorted(readings))
    draw = FirstDraw(sampler=sampler, reason=reason, seconds=seconds, unavailable=unavailable)
    return DrawWindow(built, draw, check, last - began, sum(collections))
