"""Measured cases as pytest-benchmark tests; users import it as `firstgrad.pytest_benchmark`.

Each round is one fresh worker process. What pytest-benchmark times is not that process but one of its numbers, seconds
by the worker's own clock or a count: `worker_clock` is a timer that goes on only by them. Tests of other metrics of the
same case share its processes. Importing this imports neither pytest nor pytest-benchmark.
"""

from __future__ import annotations

import re
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from firstgrad.case import Case, Counting
from firstgrad.columns import Unit, first_metric, metric_named, metrics_of, require_metrics
from firstgrad.doubts import describe_mismatch, why_unusable
from firstgrad.errors import MISSING_KINDS, SpecError, StoreError
from firstgrad.measuring.launch import measure
from firstgrad.phase import Phase
from firstgrad.plugins import choose_metrics, open_suite
from firstgrad.store import Keeper
from firstgrad.units import clean

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from firstgrad.columns import Column
    from firstgrad.record import Record
    from firstgrad.store import Store

ROUNDS = 3
"""Samples of what spreads: of three, one that is wild doesn't move the median."""
_MEMORY = ("peak_rss_bytes", "self_peak_rss_bytes", "children_peak_rss_bytes", "retained_bytes")
_CACHES = ("is_proven", "entries_before", "entries_read", "entries_written", "bytes_written")


class WorkerClock:
    """A timer in seconds that stands still until it is moved on by what a worker measured.

    Each round starts at exactly zero, so that the difference of two readings is the worker's number to the last bit.
    """

    def __init__(self) -> None:
        self._now = 0.0
        self.was_read = False
        """Whether anybody asked for the time since the last restart."""

    def __call__(self) -> float:
        """Tell the time, in seconds since the last restart."""
        self.was_read = True
        return self._now

    def __repr__(self) -> str:
        return "worker_clock"  # pytest-benchmark saves it as the timer's name

    def restart(self) -> None:
        """Go back to zero."""
        self._now, self.was_read = 0.0, False

    def advance(self, seconds: float) -> None:
        """Go on by some seconds."""
        self._now += seconds


worker_clock = WorkerClock()
"""For ``@pytest.mark.benchmark(timer=worker_clock)``. One for all tests: a process runs them one after the other."""


class Benchmark(Protocol):
    """What is used of pytest-benchmark's fixture ``benchmark``; all of it public."""

    group: str | None
    """Heading under which results stand together."""
    extra_info: dict[str, Any]
    """Goes into the JSON with the durations."""

    @property
    def enabled(self) -> bool:
        """Whether durations are taken: not under ``--benchmark-disable``, nor with pytest-xdist."""

    def pedantic(
        self, target: Callable[[], None], *, setup: Callable[[], None], rounds: int, iterations: int, warmup_rounds: int
    ) -> None:
        """Time `target` for some rounds, calling `setup` before each."""


class UnfitError(Exception):
    """A round whose number must not become a duration, and why.

    `is_nothing_wrong`: the backend is not installed, or there is nothing to count, so the test is only skipped.
    """

    def __init__(self, reason: str, *, is_nothing_wrong: bool = False) -> None:
        super().__init__(clean(reason))
        self.is_nothing_wrong = is_nothing_wrong


@dataclass(slots=True)
class _Sample:
    """A record, and which metrics have had it."""

    record: Record
    taken: set[str] = field(default_factory=set)


_samples: dict[tuple[Case, str], list[_Sample]] = {}
"""What this process has measured, by case and label."""


def questions(
    of: str | Path | Case | Sequence[Case], *, tier: str | None = None, metrics: Sequence[str] = ()
) -> list[Any]:
    """List cases with their metrics, for ``@pytest.mark.parametrize(("case", "metric"), questions(...))``.

    The name of each ends in what it is of, ``-exact``, ``-count``, ``-bytes`` or ``-seconds``, so that ``pytest -k
    exact`` runs those that identical runs repeat.

    Parameters
    ----------
    of : path, Case, or sequence of Case
        A suite file, such as ``firstgrad.toml``; or what to measure.
    tier : str, optional
        Of the file; where left out, that of the variable ``FIRSTGRAD_TIER``, or none.
    metrics : sequence of str
        Names of `firstgrad.columns.METRICS`, or ``all``. Where left out, those of the file, else a few that tell most.

    Returns
    -------
    list
        Of ``pytest.param(case, metric)``.

    Raises
    ------
    SpecError
        Where the file is wrong or has no model, or a metric is unknown.
    """
    import pytest

    if isinstance(of, str | Path):
        suite = open_suite(of, tier)
        cases, metrics = suite.grid().cases, metrics or suite.metrics
    else:
        cases = (of,) if isinstance(of, Case) else tuple(of)
    return [
        pytest.param(case, metric.name, id=f"{_slug(case)}-{metric.name}-{'exact' if metric.is_exact else metric.unit}")
        for case in cases
        for metric in choose_metrics(metrics, case.target, [case.backend])
    ]


def _slug(case: Case) -> str:
    """Describe a case in characters that a shell leaves alone."""
    return re.sub(r"\W+", "-", str(case).replace("=", ""))


def bench(
    benchmark: Benchmark,
    case: Case,
    *,
    rounds: int | None = None,
    metric: str | None = None,
    store: Store | None = None,
    label: str = "",
) -> tuple[Record, ...]:
    """Measure a case and give pytest-benchmark a number of the worker's, seconds by its own clock or a count.

    The test needs the mark ``@pytest.mark.benchmark(timer=worker_clock)``. It fails, with the reason, where a
    sample failed, crashed, passed a limit, disagrees with the oracle or contradicts its scenario. It is skipped
    where the backend is not installed. For ``warm``, one unmeasured process fills the cache for all rounds.

    Parameters
    ----------
    benchmark : fixture
        pytest-benchmark's own. Its `group` becomes the model's size and the scenario where the mark gave none.
    case : Case
        What to measure.
    rounds : int, optional
        Samples, each of a fresh process; where left out 3 of seconds, one of all else. Under ``--benchmark-disable``
        there is only one.
    metric : str, optional
        Name of one of `firstgrad.columns.METRICS`, such as ``phase_link`` or ``nodes``; where left out, the time to the
        case's target. pytest-benchmark shows all of them as seconds.
    store : Store, optional
        Keeps every record, also of bad samples, before the next one starts. Where it can't, the records are saved as
        `firstgrad.store.Keeper` does it.
    label : str
        The user's name for this run, in the records.

    Returns
    -------
    tuple of Record
        One a round.

    Raises
    ------
    SpecError
        Where `metric` is unknown, or `rounds` is less than 1.
    StoreError
        Where a record cannot be kept: at the end, when pytest-benchmark has the numbers.

    Notes
    -----
    `extra_info` gets the case's id and description, seconds of each phase, every metric, memory, verdict, the
    scenario's proof, doubts, versions and the host's digest. Lists have one entry a round.
    """
    name = metric or first_metric(case.target).name
    require_metrics([name], "metric")
    chosen = metric_named(name)
    rounds = _count_rounds(rounds, chosen)
    if chosen.counting is not Counting.PLAIN:
        case = replace(case, counting=chosen.counting)
    benchmark.group = benchmark.group or _group(case, chosen)
    records: list[Record] = []
    keeper = None if store is None else Keeper(store)
    unkept: list[StoreError] = []
    # Closing it removes the private folder also when a round is unfit.
    samples = measure(case, samples=rounds, label=label)

    def measure_one() -> None:
        if benchmark.enabled and len(records) == rounds:
            return  # --benchmark-cprofile calls once more; nothing of a worker shows in this process
        if benchmark.enabled and not worker_clock.was_read:
            raise UnfitError(
                "pytest-benchmark reads another clock than the worker's. Mark the test with "
                "@pytest.mark.benchmark(timer=worker_clock), from firstgrad.pytest_benchmark; where several such "
                "marks meet, the closest one needs the timer"
            )
        record = _take(case, label, chosen.name, measure_anew)
        worker_clock.advance(_fit_number(record, chosen))
        records.append(record)

    def measure_anew() -> Record:
        record = next(samples)
        if keeper is not None:
            try:
                keeper.keep(record)
            except StoreError as error:
                unkept.append(error)
        return record

    with closing(samples):
        _run(benchmark, measure_one, rounds)
    benchmark.extra_info.update(_describe_rounds(case, chosen, records))
    if unkept:
        raise unkept[0]
    return tuple(records)


def _take(case: Case, label: str, metric: str, measure_anew: Callable[[], Record]) -> Record:
    """Take the next sample that this metric has not had."""
    known = _samples.setdefault((case, label), [])
    sample = next((one for one in known if metric not in one.taken), None)
    if sample is None:
        sample = _Sample(measure_anew())
        known.append(sample)
    sample.taken.add(metric)
    return sample.record


def _run(benchmark: Benchmark, measure_one: Callable[[], None], rounds: int) -> None:
    """Run the rounds. An unfit one goes through pytest-benchmark, which then saves nothing of the test."""
    import pytest

    try:
        benchmark.pedantic(measure_one, setup=worker_clock.restart, rounds=rounds, iterations=1, warmup_rounds=0)
    except UnfitError as error:
        unfit = error
    else:
        return
    if unfit.is_nothing_wrong:
        pytest.skip(str(unfit))
    pytest.fail(str(unfit), pytrace=False)


def _count_rounds(rounds: int | None, metric: Column) -> int:
    if rounds is None:
        return 1 if metric.is_deterministic else ROUNDS
    if rounds < 1:
        raise SpecError("rounds", f"expected a whole number >= 1, got {rounds!r}")
    return rounds


def _group(case: Case, metric: Column) -> str:
    """Name what stands together: numbers of one size, scenario and metric."""
    model = case.model
    size = f"pose T={pose.n_timesteps} K={pose.n_directions}" if (pose := model.pose) is not None else str(model)
    unit = "" if metric.unit is Unit.SECONDS else f" ({metric.unit})"
    title = () if metric == first_metric(case.target) else (f"{metric.title}{unit}",)
    return ", ".join((size, case.scenario, *title))


def _fit_number(record: Record, metric: Column) -> float:
    """Read a metric from a record that may be believed; of any other raise an `UnfitError`."""
    failure = record.failure
    if failure is not None and failure.kind in MISSING_KINDS:
        raise UnfitError(failure.message, is_nothing_wrong=True)
    if reason := why_unusable(record):
        # Further lines say what the reason had no room for.
        if failure is not None:
            details = [*failure.message.strip().splitlines()[1:], *failure.stderr_tail]
        else:
            details = [describe_mismatch(mismatch) for mismatch in record.check.mismatches[1:]]
        raise UnfitError("\n".join((reason, *details)))
    number: float | None = metric.read(record)
    if number == 0 and metric.unit is not Unit.SECONDS:
        raise UnfitError(f"{metric.title}: 0, which pytest-benchmark can compare with nothing", is_nothing_wrong=True)
    if number is None:
        raise UnfitError(
            f"the record has no {metric.title} ({metric.name}). Choose another metric, or a case that has it: "
            "evaluation needs evaluations > 0",
            # Not every release and backend can be counted.
            is_nothing_wrong=metric.unit is not Unit.SECONDS,
        )
    return number


def _describe_rounds(case: Case, metric: Column, records: Sequence[Record]) -> dict[str, Any]:
    """Describe a case and its rounds in what JSON can hold.

    Lists, and lists in dicts, have one entry a round; plain values hold for all rounds. Seconds, bytes and counts; none
    where a round has no such number.
    """
    first = records[0].environment
    phases = [phase for phase in Phase if records[0].phase(phase)]

    def of_phases(name: str) -> dict[str, list[Any]]:
        return {phase.value: _values([record.phase(phase) for record in records], name) for phase in phases}

    return {
        "case_id": case.id,
        "case": str(case),
        "metric": metric.name,
        "metric_version": metric.version,
        "record_ids": [record.record_id for record in records],
        "phases": of_phases("wall_seconds"),
        "metrics": {metric.name: [metric.read(record) for record in records] for metric in metrics_of(case.target)},
        "memory": {
            **{name: _values([record.memory for record in records], name) for name in _MEMORY},
            "phase_peak_rss_bytes": of_phases("peak_rss_bytes"),
        },
        "verdict": [record.check.verdict.value for record in records],
        "scenario": {
            "name": case.scenario.value,
            **{name: _values([record.caches for record in records], name) for name in _CACHES},
        },
        "doubts": [[doubt.value for doubt in record.doubts] for record in records],
        "python": first.python,
        "versions": dict(first.versions),
        "flags": first.flags,
        "host": first.host.digest,
    }


def _values(parts: Sequence[object], name: str) -> list[Any]:
    return [getattr(part, name, None) for part in parts]
