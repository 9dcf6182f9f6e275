"""Judges on trial: ``firstgrad compare``, and the yardsticks, each from the same rounds."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from benchmarks.trust.trials import Alarms
from firstgrad.columns import METRICS, metric_named
from firstgrad.comparing.comparison import compare
from firstgrad.comparing.judge import Gate, Thresholds, is_gating, plan_looks

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmarks.trust.rounds import Pair
    from benchmarks.trust.yardsticks import Yardstick
    from firstgrad.columns import Column
    from firstgrad.comparing.comparison import Comparison
    from firstgrad.record import Record

CPU = metric_named("time_to_first_gradient_cpu")
GATING = tuple(metric for metric in METRICS if is_gating(metric, Gate.SECONDS))
"""What ``firstgrad compare --gate seconds`` can end in an alarm for."""

_BASE, _HEAD = "base", "head"
_ROUND_SECONDS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Firstgrad:
    """``firstgrad compare`` with its own thresholds, after all rounds."""

    def __call__(self, pairs: Sequence[Pair]) -> Alarms:
        """See `firstgrad`'s `compare`: exit code 1 is an alarm of any metric."""
        return _alarms(_compare(pairs), len(pairs))


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstgradUntilDecided:
    """``firstgrad compare --until-decided``: looks after more and more rounds, each paid for.

    Attributes
    ----------
    looks : tuple of int
        After how many rounds; the last is where it gives up.
    """

    looks: tuple[int, ...] = plan_looks()

    def __call__(self, pairs: Sequence[Pair]) -> Alarms:
        """Take as many of the rounds as it needs.

        Raises
        ------
        ValueError
            Where there are fewer rounds than the last look needs.
        """
        if len(pairs) < self.looks[-1]:
            raise ValueError(f"{self.looks[-1]} rounds are needed for the last look, and there are {len(pairs)}")
        told = Alarms(time=False, any_metric=False, rounds=0)
        for rounds in self.looks:
            comparison = _compare(pairs[:rounds], looks=len(self.looks))
            told = _alarms(comparison, rounds)
            if comparison.is_decided:
                break
        return told


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """A yardstick as a judge.

    Attributes
    ----------
    yardstick : Yardstick
        Whose rule.
    metrics : tuple of Column
        What else is looked at beside the CPU time.
    """

    yardstick: Yardstick
    metrics: tuple[Column, ...] = ()

    def __call__(self, pairs: Sequence[Pair]) -> Alarms:
        """Judge each metric by itself, as these tools do."""
        time = self._alarms(CPU, pairs)
        others = any(self._alarms(metric, pairs) for metric in self.metrics if metric is not CPU)
        return Alarms(time=time, any_metric=time or others, rounds=len(pairs))

    def _alarms(self, metric: Column, pairs: Sequence[Pair]) -> bool:
        read = [(metric.read(pair.base), metric.read(pair.head)) for pair in pairs]
        known = [(one, other) for one, other in read if one is not None and other is not None]
        if not known:
            return False
        base, head = zip(*known, strict=True)
        return self.yardstick.alarms(base, head)


def _compare(pairs: Sequence[Pair], *, looks: int = 1) -> Comparison:
    rules = Thresholds(gate=Gate.SECONDS)
    how = {"thresholds": rules, "metrics": GATING, "looks": looks, "key": lambda _: "the only case"}
    return compare(list(_records(pairs)), _BASE, _HEAD, **how)


def _records(pairs: Sequence[Pair]) -> Iterator[Record]:
    """Give the samples other names and times, for one may be drawn twice; the order within a round is the real one."""
    began = datetime(2000, 1, 1, tzinfo=UTC)
    for number, pair in enumerate(pairs):
        sides = sorted(((pair.base, _BASE), (pair.head, _HEAD)), key=lambda each: each[0].started_at)
        for place, (record, label) in enumerate(sides):
            at = began + timedelta(seconds=_ROUND_SECONDS * (number + place / 2))
            yield replace(
                record,
                record_id=f"{number}-{label}",
                started_at=at.isoformat(timespec="milliseconds"),
                environment=replace(record.environment, label=label),
            )


def _alarms(comparison: Comparison, rounds: int) -> Alarms:
    time = any(each.metric == CPU.name and each.is_alarm for case in comparison.cases for each in case.metrics)
    return Alarms(time=time, any_metric=comparison.has_regression, rounds=rounds)
