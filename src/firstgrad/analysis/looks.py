"""How often, and when, to look at a comparison that goes on until it is decided."""

from __future__ import annotations

FIRST_ROUNDS = 6
GROWTH = 1.62
LOOKS = 7


def plan_looks(first: int = FIRST_ROUNDS, looks: int = LOOKS) -> tuple[int, ...]:
    """Plan after how many rounds, all in all, to look.

    Each look is another chance of a false alarm, so the comparison must know how many are planned: give their number to
    `firstgrad.analysis.compare.compare`. Hence few looks, each at about 1.6 times the rounds of the one before: too
    late by a third on average, against twice the error's share for each were they twice as dense.

    Parameters
    ----------
    first : int
        Rounds at the first look, at least 2.
    looks : int
        How many, at least 1.

    Returns
    -------
    tuple of int
        Rising; by default 6, 10, 16, 26, 42, 68, 110.

    Raises
    ------
    ValueError
        Where there would be no look, or one at a single round.
    """
    if first < 2 or looks < 1:  # noqa: PLR2004 - one round has no spread
        raise ValueError(f"expected at least 2 rounds and 1 look, got {first} and {looks}")
    found = [first]
    while len(found) < looks:
        found.append(round(found[-1] * GROWTH))
    return tuple(found)
