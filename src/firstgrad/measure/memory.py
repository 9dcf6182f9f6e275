"""Memory of a sample, put together from the kernel's marks (the process itself) and the watcher (its tree)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import TYPE_CHECKING

from firstgrad.record import Memory, MemoryPoint

if TYPE_CHECKING:
    from collections.abc import Sequence

    from firstgrad.record import PhaseRecord

TIMELINE_POINTS = 600
"""At most so many points of a time line are kept."""


@dataclass(frozen=True, slots=True)
class TreeSample:
    """One look of the watcher's.

    Attributes
    ----------
    monotonic_seconds : float
        When, by the machine's monotonic clock.
    rss_bytes, children_rss_bytes : int
        Resident memory of the whole tree, and of all but the worker.
    processes : int
        How many processes.
    """

    monotonic_seconds: float
    rss_bytes: int
    children_rss_bytes: int
    processes: int


def read_sample(line: str) -> TreeSample:
    """Read a line of the watcher's.

    Raises
    ------
    ValueError
        Where it is none.
    """
    when, total, children, processes = line.split()
    return TreeSample(float(when), int(total), int(children), int(processes))


def with_tree_peaks(
    phases: Sequence[PhaseRecord], samples: Sequence[TreeSample], zero: float
) -> tuple[PhaseRecord, ...]:
    """Give each phase the peak of its process tree.

    The process's own peak is exact; a tree that was seen larger from outside (compilers) counts instead.

    Parameters
    ----------
    phases : sequence of PhaseRecord
        As the worker sent them.
    samples : sequence of TreeSample
        In order of time.
    zero : float
        Reading of the monotonic clock at the start of the worker's clock.

    Returns
    -------
    tuple of PhaseRecord
    """
    result = []
    for phase, after in zip_longest(phases, phases[1:]):
        began = zero + phase.began_seconds
        ended = began + phase.wall_seconds
        if after is not None:
            # `link` has seconds that passed before `rewrite`: it is longer than the time until the next phase.
            ended = min(ended, zero + after.began_seconds)
        seen = [each.rss_bytes for each in samples if began <= each.monotonic_seconds <= ended]
        peaks = [*seen, *([phase.self_peak_rss_bytes] if phase.self_peak_rss_bytes is not None else [])]
        result.append(replace(phase, peak_rss_bytes=max(peaks) if peaks else None))
    return tuple(result)


def summarise(
    phases: Sequence[PhaseRecord], samples: Sequence[TreeSample], zero: float, retained_bytes: int | None
) -> Memory | None:
    """Summarise a sample's memory, from its start to the end of its last phase.

    What comes after the last phase (the check against the oracle) is firstgrad's own and not counted.

    Returns
    -------
    Memory or None
        None where nothing at all was seen.
    """
    ended = max((each.began_seconds + each.wall_seconds for each in phases), default=None)
    counted = [each for each in samples if ended is None or each.monotonic_seconds <= zero + ended]
    own = [each.self_peak_rss_bytes for each in phases if each.self_peak_rss_bytes is not None]
    peaks = [*(each.rss_bytes for each in counted), *own]
    if not peaks:
        return None
    return Memory(
        peak_rss_bytes=max(peaks),
        self_peak_rss_bytes=max(own) if own else None,
        children_peak_rss_bytes=max((each.children_rss_bytes for each in counted), default=0),
        retained_bytes=retained_bytes,
        timeline=thin(counted, zero),
    )


def thin(samples: Sequence[TreeSample], zero: float, *, points: int = TIMELINE_POINTS) -> tuple[MemoryPoint, ...]:
    """Thin a time line: of each stretch its highest point is kept.

    Returns
    -------
    tuple of MemoryPoint
        At most `points`, in order of time; times count from `zero`.
    """
    stretch = max(1, -(-len(samples) // points))
    kept = [
        max(samples[start : start + stretch], key=lambda each: each.rss_bytes)
        for start in range(0, len(samples), stretch)
    ]
    return tuple(
        MemoryPoint(
            at_seconds=round(each.monotonic_seconds - zero, 4),
            rss_bytes=each.rss_bytes,
            children_rss_bytes=each.children_rss_bytes,
        )
        for each in kept
    )
