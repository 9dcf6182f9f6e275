"""One number of two profiles, and whether its change is more than noise."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from firstgrad.columns import Unit

LEAST_SECONDS = 0.05
"""Smaller differences of seconds are noise: each profile is a single sample, taken with instruments on."""

LEAST_SECONDS_FACTOR = 1.10
"""The same as a factor of the smaller side: identical compiles differ by 10% and more from run to run."""

LEAST_BYTES = 5 * 2**20
"""Smaller differences of resident memory are noise."""

LEAST_BYTES_FACTOR = 1.02
"""The same as a factor; peaks of identical compiles differ by less than 0.1%, what is retained by more."""


class ChangeKind(StrEnum):
    """Of what a number is."""

    TOTAL = "total"
    PHASE = "phase"
    PASS = "pass"  # noqa: S105 - a rewrite pass
    REWRITER = "rewriter"
    NODE_TYPE = "node_type"
    UNIT = "unit"
    MEMORY = "memory"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One number, in the base and in the contender.

    Attributes
    ----------
    kind : ChangeKind
        Of what.
    name : str
        Of which: a phase, a pass, a type of operation.
    metric : str
        Which number of it, such as ``wall_seconds``, ``applied``, ``after``.
    unit : Unit
        Of the numbers.
    base, contender : float, optional
        None where that side has no such thing; then it counts as zero.
    difference : float
        The contender's less the base's.
    ratio : float, optional
        The contender's by the base's; none where either is zero, or not there.
    is_noise : bool
        Whether two runs of one and the same compile may well differ by as much. Never for counts that differ.
    """

    kind: ChangeKind
    name: str
    metric: str
    unit: Unit
    base: float | None
    contender: float | None
    difference: float
    ratio: float | None
    is_noise: bool


def make_change(
    kind: ChangeKind, name: str, metric: str, unit: Unit, base: float | None, contender: float | None
) -> Change:
    """Make a change of two numbers.

    Returns
    -------
    Change
        Noise by these rules: seconds that differ by less than `LEAST_SECONDS`, or by less than `LEAST_SECONDS_FACTOR`;
        resident memory likewise; sizes of code and counts only where they are equal.
    """
    before, after = base or 0.0, contender or 0.0
    return Change(
        kind=kind,
        name=name,
        metric=metric,
        unit=unit,
        base=base,
        contender=contender,
        difference=after - before,
        ratio=after / before if before > 0 and after > 0 else None,
        is_noise=_is_noise(kind, unit, before, after),
    )


def _is_noise(kind: ChangeKind, unit: Unit, before: float, after: float) -> bool:
    small, large = sorted((before, after))
    if small == large:
        return True
    if unit is Unit.SECONDS:
        return large - small < LEAST_SECONDS or large < LEAST_SECONDS_FACTOR * small
    if unit is Unit.BYTES and kind is not ChangeKind.UNIT:
        return large - small < LEAST_BYTES or large < LEAST_BYTES_FACTOR * small
    return False
