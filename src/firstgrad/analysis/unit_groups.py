"""Units that are the same piece of work, in whatever process and under whatever number they were compiled."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from firstgrad.profile import Unit

_DIGEST = re.compile(r"(?=[0-9a-f]*[0-9])[0-9a-f]{8,}")
_COUNTER = re.compile(r"(?<=[_$.\-\[(])\d+(?![0-9A-Za-z])")
_REPEATS = re.compile(r"#(?:[_$.\-]?#)+")
PLACEHOLDER = "#"
"""What stands for a digest or a counter in a normalised name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitGroup:
    """Units of one normalised name and operation, together.

    Attributes
    ----------
    name : str
        Normalised, with the operation where there is one.
    own_seconds : float
        Of all.
    units : int
        How many.
    code_bytes : int, optional
        Of all; none where not every one of them tells.
    """

    name: str
    own_seconds: float
    units: int
    code_bytes: int | None


def normalise_name(name: str) -> str:
    """Replace what differs between processes, digests and counters, by ``#``: ``kernel_12`` is ``kernel_#``."""
    return _REPEATS.sub(PLACEHOLDER, _COUNTER.sub(PLACEHOLDER, _DIGEST.sub(PLACEHOLDER, name)))


def group_units(units: Iterable[Unit], beside: Iterable[Unit] = ()) -> dict[str, UnitGroup]:
    """Put units together by normalised name and operation, in the order of their first one.

    Parameters
    ----------
    units : iterable of Unit
        Of one profile.
    beside : iterable of Unit
        Of the profile that it is compared with. Names that occur once have no number: ``stage`` is called ``stage_#``
        where the other one has several.

    Returns
    -------
    dict of str to UnitGroup
    """
    numbered = {normalise_name(unit.name) for unit in beside}
    found: dict[str, list[Unit]] = {}
    for unit in units:
        name = normalise_name(unit.name)
        several = f"{name}_{PLACEHOLDER}"
        found.setdefault(_key(unit, several if several in numbered else name), []).append(unit)
    return {key: _group(key, members) for key, members in found.items()}


def _key(unit: Unit, name: str) -> str:
    return f"{name} {unit.op}" if unit.op and unit.op != name else name


def _group(key: str, members: list[Unit]) -> UnitGroup:
    sizes = [each.code_bytes for each in members if each.code_bytes is not None]
    return UnitGroup(
        name=key,
        own_seconds=sum(each.own_seconds for each in members),
        units=len(members),
        code_bytes=sum(sizes) if len(sizes) == len(members) else None,
    )
