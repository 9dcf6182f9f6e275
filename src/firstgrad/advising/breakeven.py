"""Break-even: from how many gradient evaluations on a costlier compile with faster calls costs less in total.

The total of an option after N evaluations is ``time to first gradient + N x evaluation time``: a line over N. The
options that are best somewhere form the lower envelope of these lines.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from firstgrad.estimates import Estimate

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class Option:
    """What one may choose: a backend, a formulation, a scenario."""

    name: str  # as figures show it
    first_gradient: Estimate  # time to first gradient in seconds
    evaluation: Estimate  # seconds of one steady-state call

    def total_seconds(self, evaluations: float) -> Estimate:
        """Add up what so many evaluations cost, the first gradient included.

        The interval's ends are the sums of the ends: it holds the true total wherever both intervals hold theirs,
        which has at least the `confidence` that it says (Bonferroni).
        """
        first, call = self.first_gradient, self.evaluation
        return Estimate(
            value=first.value + evaluations * call.value,
            low=first.low + evaluations * call.low,
            high=first.high + evaluations * call.high,
            confidence=_joint((first, call)),
            samples=min(first.samples, call.samples),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Crossing:
    """Where one option takes the lead from another."""

    before: Option  # leads below
    after: Option  # leads above
    evaluations: Estimate
    """After how many evaluations. Its interval is got from the corners of the four intervals, and so is conservative:
    `low` is 0 where `after` may be ahead from the start, `high` infinite where it may never be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakEven:
    """Which option is best after how many evaluations."""

    options: tuple[Option, ...]  # as they were given
    n_max: float  # up to how many evaluations was looked
    leaders: tuple[Option, ...]  # those that are best somewhere, in the order in which they lead; never empty
    crossings: tuple[Crossing, ...]  # between each leader and the next

    @property
    def always_ahead(self) -> Option | None:
        """The one that is best all the way; none where the lead changes."""
        return None if self.crossings else self.leaders[0]


def break_even(options: Sequence[Option], n_max: float) -> BreakEven:
    """Find which option is best where, by the medians, between 0 and `n_max` evaluations.

    Of options that cost the same everywhere the first leads.

    Raises ValueError where there are no options, two have one name, an estimate is no interval of seconds, or
    `n_max` is no finite number above 1.
    """
    _check(options, n_max)
    leader = min(options, key=lambda option: (option.first_gradient.value, option.evaluation.value))
    leaders, crossings = [leader], []
    while (crossing := _next_crossing(leader, options)) is not None and crossing.evaluations.value <= n_max:
        leader = crossing.after
        leaders.append(leader)
        crossings.append(crossing)
    return BreakEven(options=tuple(options), n_max=float(n_max), leaders=tuple(leaders), crossings=tuple(crossings))


def _check(options: Sequence[Option], n_max: float) -> None:
    if not options:
        raise ValueError("no options: nothing to compare")
    if not (math.isfinite(n_max) and n_max > 1):
        raise ValueError(f"n_max: expected a finite number of evaluations above 1, got {n_max!r}")
    names = [option.name for option in options]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ValueError(f"two options are called {twice!r}: give each a name of its own")
    for option in options:
        for what, estimate in (("first_gradient", option.first_gradient), ("evaluation", option.evaluation)):
            if not (0 <= estimate.low <= estimate.value <= estimate.high < math.inf):
                raise ValueError(
                    f"{what} of {option.name!r}: expected finite seconds with low <= value <= high, got {estimate!r}"
                )


def _next_crossing(leader: Option, options: Sequence[Option]) -> Crossing | None:
    """Find where the leader is overtaken first; of those who do it at once, the one with the fastest calls wins."""
    faster = [option for option in options if option.evaluation.value < leader.evaluation.value]
    if not faster:
        return None
    after = min(faster, key=lambda option: (_overtaken_at(leader, option), option.evaluation.value))
    return Crossing(before=leader, after=after, evaluations=_estimate_crossing(leader, after))


def _overtaken_at(before: Option, after: Option) -> float:
    costlier = after.first_gradient.value - before.first_gradient.value
    return costlier / (before.evaluation.value - after.evaluation.value)


def _estimate_crossing(before: Option, after: Option) -> Estimate:
    """Take the crossing at the corners: it grows with what costs more at first, and shrinks with what a call saves."""
    estimates = (before.first_gradient, after.first_gradient, before.evaluation, after.evaluation)
    least_costlier = max(after.first_gradient.low - before.first_gradient.high, 0.0)
    most_costlier = after.first_gradient.high - before.first_gradient.low
    least_saved = before.evaluation.low - after.evaluation.high
    most_saved = before.evaluation.high - after.evaluation.low
    return Estimate(
        value=_overtaken_at(before, after),
        low=least_costlier / most_saved,
        high=most_costlier / least_saved if least_saved > 0 else math.inf,
        confidence=_joint(estimates),
        samples=min(estimate.samples for estimate in estimates),
    )


def _joint(estimates: Sequence[Estimate]) -> float:
    """Bound from below the probability that all intervals hold (Bonferroni)."""
    return max(0.0, 1.0 - sum(1.0 - estimate.confidence for estimate in estimates))
