"""Trials of a judge: how often it alarms where nothing changed, and where something did."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from benchmarks.trust.proportion import Proportion
from benchmarks.trust.rounds import as_slower, as_unchanged, plant, resample, windows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from benchmarks.trust.rounds import Pair, Round

BLOCK = 5
"""Rounds that stay together when they are drawn again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarms:
    """What a judge says of HEAD.

    Attributes
    ----------
    time : bool
        Whether its CPU time to first gradient is worse.
    any_metric : bool
        Whether anything that a gate looks at is worse; where the tool looks at nothing else, the same as `time`.
    rounds : int
        How many it took to say so.
    """

    time: bool
    any_metric: bool
    rounds: int


class Judge(Protocol):
    """Takes the rounds of a comparison, in the order in which they were measured."""

    def __call__(self, pairs: Sequence[Pair], /) -> Alarms:
        """Say whether HEAD is worse than BASE."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """What came of many trials.

    Attributes
    ----------
    time, any_metric : Proportion
        Of them raised an alarm.
    rounds_median, rounds_90 : float, optional
        How many rounds those with an alarm of the time took: median, and the least that 90% needed no more than; none
        where there was no alarm.
    """

    time: Proportion
    any_metric: Proportion
    rounds_median: float | None
    rounds_90: float | None


def tally(found: Iterable[Alarms]) -> Tally:
    """Count alarms.

    Raises
    ------
    ValueError
        Where there were no trials.
    """
    alarms = list(found)
    rounds = sorted(each.rounds for each in alarms if each.time)
    return Tally(
        time=Proportion(hits=sum(each.time for each in alarms), trials=len(alarms)),
        any_metric=Proportion(hits=sum(each.any_metric for each in alarms), trials=len(alarms)),
        rounds_median=statistics.median(rounds) if rounds else None,
        rounds_90=float(np.quantile(rounds, 0.9, method="inverted_cdf")) if rounds else None,
    )


def real_unchanged(
    judge: Judge, rounds: Sequence[Round], length: int, *, step: int = 1, labellings: int = 1, seed: int = 0
) -> Tally:
    """Judge A against A on windows of consecutive rounds as they were measured.

    Parameters
    ----------
    judge : Judge
        Whom to try.
    rounds : sequence of Round
        In their order.
    length : int
        Rounds a comparison.
    step : int
        From one window to the next; `length` for windows that share nothing.
    labellings : int
        How often each window is judged, each time with another choice of which sample of a round is BASE.
    seed : int
        Of that choice.
    """
    chance = np.random.default_rng([seed, 1])
    return tally(
        judge(as_unchanged(window, chance)) for window in windows(rounds, length, step=step) for _ in range(labellings)
    )


def simulated(
    judge: Judge, rounds: Sequence[Round], length: int, *, trials: int, factor: float = 1.0, seed: int = 0
) -> Tally:
    """Judge comparisons whose rounds are drawn again in blocks, with HEAD's seconds multiplied by a planted factor."""
    chance = np.random.default_rng([seed, 2])

    def one() -> Alarms:
        pairs = as_unchanged(resample(rounds, length, chance, block=BLOCK), chance)
        return judge(plant(pairs, factor) if factor != 1 else pairs)

    return tally(one() for _ in range(trials))


def real_planted(
    judge: Judge, rounds: Sequence[Round], length: int, factor: float, *, labellings: int = 1, seed: int = 0
) -> Tally:
    """Judge windows of consecutive rounds as they were measured, HEAD's seconds multiplied by a planted factor."""
    chance = np.random.default_rng([seed, 3])
    return tally(
        judge(plant(as_unchanged(window, chance), factor))
        for window in windows(rounds, length)
        for _ in range(labellings)
    )


def really_slower(judge: Judge, rounds: Sequence[Round], length: int, *, trials: int, seed: int = 0) -> Tally:
    """Judge the samples that did more work, in rounds drawn again in blocks of those that have one."""
    chance = np.random.default_rng([seed, 4])
    known = [each for each in rounds if each.slower is not None]
    return tally(judge(as_slower(resample(known, length, chance, block=BLOCK), chance)) for _ in range(trials))


def power_curve(
    judge_of: Callable[[int], Judge],
    rounds: Sequence[Round],
    lengths: Sequence[int],
    factor: float,
    *,
    trials: int,
    seed: int = 0,
) -> list[tuple[int, Proportion]]:
    """Find how often a planted factor is found with each number of rounds."""
    return [
        (length, simulated(judge_of(length), rounds, length, trials=trials, factor=factor, seed=seed).time)
        for length in lengths
    ]
