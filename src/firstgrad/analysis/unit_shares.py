"""How much of a phase its compiled units explain, and how much the dearest of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from firstgrad.analysis.unit_patterns import merge_patterns
from firstgrad.observe.events import UnitKind

if TYPE_CHECKING:
    from firstgrad.profile import Profile, Unit
    from firstgrad.record import Phase


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitShare:
    """The units of one kind that were compiled, or loaded, in one phase.

    Attributes
    ----------
    phase : Phase
        In which.
    kind : UnitKind
        What they are.
    units, from_cache : int
        How many, and how many of them were taken from a cache.
    own_seconds : float
        Of all, none counted twice.
    share : float
        Of the phase's wall seconds; above 1 where units are compiled side by side.
    dearest : int
        How many lines `dearest_share` is of, functions of one pattern being one line.
    dearest_share : float
        The same share, of the dearest alone.
    """

    phase: Phase
    kind: UnitKind
    units: int
    from_cache: int
    own_seconds: float
    share: float
    dearest: int
    dearest_share: float


def find_unit_shares(profile: Profile, dearest: int = 10) -> tuple[UnitShare, ...]:
    """Put a profile's units against the phases they belong to, the largest share of time first.

    Units without a phase, and phases that did not end, are left out.
    """
    found: dict[tuple[Phase, UnitKind], list[Unit]] = {}
    for unit in profile.attribution.units:
        if unit.phase is not None:
            found.setdefault((unit.phase, unit.kind), []).append(unit)
    shares = []
    for (phase, kind), members in found.items():
        record = profile.record.phase(phase)
        if record is None or record.wall_seconds <= 0:
            continue
        seconds = [each.unit.own_seconds for each in merge_patterns(members)]
        shares.append(
            UnitShare(
                phase=phase,
                kind=kind,
                units=len(members),
                from_cache=sum(each.from_cache for each in members),
                own_seconds=sum(seconds),
                share=sum(seconds) / record.wall_seconds,
                dearest=min(dearest, len(seconds)),
                dearest_share=sum(seconds[:dearest]) / record.wall_seconds,
            )
        )
    return tuple(sorted(shares, key=lambda each: -each.own_seconds))


def share_of_phase(profile: Profile, unit: Unit) -> float | None:
    """Part of its phase's wall seconds that a unit's own are; none where that phase is not known."""
    record = None if unit.phase is None else profile.record.phase(unit.phase)
    return None if record is None or record.wall_seconds <= 0 else unit.own_seconds / record.wall_seconds
