"""The headline's tables: every side's medians, and the ratios that the goals are about."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from benchmarks.headline.sides import AS_NUTS, BY_HAND, DEFAULT, DIRECT, LOOPS, QUICK, SIDES
from firstgrad.comparing.ratio import estimate_ratio
from firstgrad.estimates import estimate_median
from firstgrad.record import Status
from firstgrad.units import format_bytes, format_seconds

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from benchmarks.limit.variants import Measured
    from firstgrad.record import Record

GOAL_SOONER, GOAL_OF_LIMIT, GOAL_EVALUATION = 50.0, 2.5, 2.0


@dataclass(slots=True)
class Numbers:
    """One side's numbers, one a round: seconds to the first gradient, of a steady call, and peak bytes."""

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    evaluation: list[float] = field(default_factory=list)
    peak: list[float] = field(default_factory=list)


type Found = dict[tuple[str, int], Numbers]
"""By the side's name and the number of hidden states."""


def collect(records: Iterable[Record], by_hand: Iterable[tuple[str, int, Measured]]) -> Found:
    """Sort samples by side.

    Raises
    ------
    SystemExit
        Where a record is not good: nothing is said on the speed of a wrong gradient.
    """
    found: Found = defaultdict(Numbers)
    names = {(side.formulation, side.backend): side.name for side in SIDES}
    for record in records:
        case, seconds = record.case, record.time_to_first_gradient_seconds
        if record.status is not Status.OK or seconds is None or record.memory is None:
            raise SystemExit(f"{case}: {record.status}: {record.failure or record.check}")
        if record.caches is None or not record.caches.is_proven:
            raise SystemExit(f"{case}: the scenario isn't proven: {record.caches}")
        states = case.model.pose.hmm.n_states if case.model.pose.hmm else 0
        numbers = found[names[case.model.pose.formulation, case.backend], states]
        numbers.wall.append(seconds)
        numbers.cpu.append(record.time_to_first_gradient_cpu_seconds or 0.0)
        numbers.evaluation.append(estimate_median(record.evaluation_seconds).value)
        numbers.peak.append(float(record.memory.peak_rss_bytes))
    for name, states, measured in by_hand:
        numbers = found[name, states]
        numbers.wall.append(measured.first_gradient_wall_seconds)
        numbers.cpu.append(measured.first_gradient_cpu_seconds)
        numbers.evaluation.append(measured.evaluation_seconds)
        numbers.peak.append(float(measured.peak_rss_bytes))
    return found


def medians(found: Found, states: int) -> list[tuple[str, ...]]:
    """Write a row a side: first gradient (wall, CPU), evaluation, peak memory."""
    rows = []
    for name in (*(side.name for side in SIDES), AS_NUTS, BY_HAND, LOOPS):
        numbers = found.get((name, states))
        if numbers is None:
            continue
        rows.append(
            (
                f"{name}, by hand" if name in (BY_HAND, LOOPS) else name,
                _interval(numbers.wall),
                _interval(numbers.cpu),
                _interval(numbers.evaluation),
                format_bytes(round(estimate_median(numbers.peak).value)),
            )
        )
    return rows


def ratios(found: Found, states: int) -> list[tuple[str, ...]]:
    """Write a row a ratio: what, by wall and by CPU seconds, and the goal."""

    def of(name: str) -> Numbers:
        return found[name, states]

    rows = []
    for side in (QUICK, DIRECT):
        rows.append(
            (
                f"{DEFAULT.name} over {side.name}: first gradient",
                _ratio(of(side.name).wall, of(DEFAULT.name).wall),
                _ratio(of(side.name).cpu, of(DEFAULT.name).cpu),
                f"at least {GOAL_SOONER:g}",
            )
        )
        rows.append(
            (
                f"{side.name} over {BY_HAND} by hand: first gradient",
                _ratio(of(BY_HAND).wall, of(side.name).wall),
                _ratio(of(BY_HAND).cpu, of(side.name).cpu),
                f"at most {GOAL_OF_LIMIT:g}",
            )
        )
    for name in (QUICK.name, DIRECT.name, AS_NUTS):
        for limit in (BY_HAND, LOOPS):
            if (name, states) in found:
                goal = f"at most {GOAL_EVALUATION:g}"
                rows.append(
                    (
                        f"{name} over {limit} by hand: evaluation",
                        _ratio(of(limit).evaluation, of(name).evaluation),
                        "",
                        goal,
                    )
                )
    return rows


def _ratio(base: Sequence[float], head: Sequence[float]) -> str:
    rounds = min(len(base), len(head))
    ratio = estimate_ratio(base[:rounds], head[:rounds], paired=True)
    if not ratio.confidence:
        return f"{ratio.value:.3g}"
    return f"{ratio.value:.3g} [{ratio.low:.3g}, {ratio.high:.3g}]"


def _interval(seconds: Sequence[float]) -> str:
    median = estimate_median(seconds)
    if len(seconds) == 1:
        return format_seconds(median.value)
    return f"{format_seconds(median.value)} [{format_seconds(median.low)}, {format_seconds(median.high)}]"


MEDIANS_HEAD = ("", "first gradient, wall", "first gradient, CPU", "evaluation", "peak memory")
RATIOS_HEAD = ("ratio", "wall", "CPU", "goal")


def markdown(found: Found, where: str) -> str:
    """Write everything as Markdown."""
    parts = [where]
    for states in sorted({states for _, states in found}):
        title = f"HMM on, S={states}" if states else "no HMM"
        parts += [
            f"**{title}**",
            _table(MEDIANS_HEAD, medians(found, states)),
            _table(RATIOS_HEAD, ratios(found, states)),
        ]
    return "\n\n".join(parts)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
