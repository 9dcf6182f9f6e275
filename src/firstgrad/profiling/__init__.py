"""A profile: one record, and where its time and its memory went, as tables that a worker filled.

Profiles are made with instruments switched on, so their seconds are longer than those of a measurement: they are kept
apart from the store and are never compared with its records.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from firstgrad.observe.events import Attribution
from firstgrad.record import Record


@dataclass(frozen=True, slots=True, kw_only=True)
class AllocationSite:
    """A place in the code whose memory was alive when the compile held most."""

    function: str  # of the innermost Python frame
    file: str  # as a package's path, without the machine's own folders
    line: int  # 0 where unknown
    size_bytes: int  # alive at the peak
    allocations: int
    native: str = ""  # the native function below that frame which asked for most of it; '' where Python itself did


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """A record made with instruments on, and what they saw."""

    record: Record  # phases, passes, counts, memory; its seconds include the instruments' own
    attribution: Attribution = field(default_factory=Attribution)  # empty where the sample failed before its end
    allocations: tuple[AllocationSite, ...] = ()  # largest first, from a further run of its own; empty unless asked for
