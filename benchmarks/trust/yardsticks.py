"""The rules of asv and pytest-benchmark, by their own code, on the numbers of two sides."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    type Rule = Callable[[Sequence[float], Sequence[float]], bool]

ASV_FACTOR = 1.1
"""asv's default for ``continuous`` and ``compare``."""
BENCHMARK_FIELDS = ("min", "median", "mean")


@dataclass(frozen=True, slots=True, kw_only=True)
class Yardstick:
    """Another tool's rule.

    Attributes
    ----------
    name : str
        As the table shows it.
    alarms : callable
        Takes the numbers of BASE and of HEAD, and says whether the tool would call HEAD worse.
    """

    name: str
    alarms: Rule


def yardsticks(factor: float = ASV_FACTOR) -> tuple[Yardstick, ...]:
    """List them, all with the same factor: 1.1 is asv's default, and 10% is what pytest-benchmark is told here."""
    percent = round(100 * (factor - 1))
    return (
        Yardstick(name=f"asv, factor {factor:g}, with its test", alarms=lambda a, b: asv_alarms(a, b, factor)),
        Yardstick(
            name=f"asv, factor {factor:g}, with its intervals",
            alarms=lambda a, b: asv_alarms(a, b, factor, has_samples=False),
        ),
        Yardstick(
            name=f"asv, factor {factor:g}, --no-stats", alarms=lambda a, b: asv_alarms(a, b, factor, use_stats=False)
        ),
        *(
            Yardstick(
                name=f"pytest-benchmark, compare-fail={field}:{percent}%",
                alarms=lambda a, b, field=field: pytest_benchmark_alarms(a, b, f"{field}:{percent}%"),
            )
            for field in BENCHMARK_FIELDS
        ),
    )


def asv_alarms(
    base: Sequence[float],
    head: Sequence[float],
    factor: float = ASV_FACTOR,
    *,
    has_samples: bool = True,
    use_stats: bool = True,
) -> bool:
    """Say whether ``asv continuous`` and ``asv compare`` would mark HEAD as worse.

    Parameters
    ----------
    base, head : sequence of float
        One number a sample, as ``track_`` benchmarks of firstgrad hand them over.
    factor : float
        ``--factor``.
    has_samples : bool
        Whether asv was told to keep the samples (``--record-samples``); then it makes a Mann-Whitney U test of them,
        where there are enough to make one, else it looks whether intervals overlap.
    use_stats : bool
        False is ``--no-stats``.
    """
    # Private, and asv's own: whoever writes the rule down again may write another one.
    from asv.commands.compare import _is_result_better
    from asv_runner.statistics import compute_stats

    (one, our_stats), (other, their_stats) = (compute_stats(list(side), 1) for side in (base, head))
    ours, theirs = ((list(side) if has_samples else None) for side in (base, head))
    return bool(_is_result_better(one, other, (our_stats, ours), (their_stats, theirs), factor, use_stats=use_stats))


def pytest_benchmark_alarms(base: Sequence[float], head: Sequence[float], rule: str) -> bool:
    """Say whether ``--benchmark-compare-fail`` with that rule, such as ``median:10%``, would fail."""
    from pytest_benchmark.stats import Stats
    from pytest_benchmark.utils import parse_compare_fail

    both = []
    for side in (head, base):
        stats = Stats()
        for number in side:
            stats.update(number)
        both.append(stats.as_dict())
    return parse_compare_fail(rule).fails(*both) is not None
