"""Rounds of a pytest-benchmark test: each is one sample, and lasts as long as its worker says."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any, Protocol, cast

from firstgrad.case import describe_model
from firstgrad.errors import SpecError
from firstgrad.measure.launch import measure
from firstgrad.metrics import METRICS, Unit
from firstgrad.pytest_benchmark.clock import worker_clock
from firstgrad.pytest_benchmark.extra_info import describe_rounds
from firstgrad.pytest_benchmark.fitness import UnfitError, fit_seconds
from firstgrad.spec import PoseSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from firstgrad.case import Case
    from firstgrad.metrics import Metric
    from firstgrad.record import Record
    from firstgrad.store import Store

_DEFAULT_METRIC = "time_to_first_gradient"


class Benchmark(Protocol):
    """What is used of pytest-benchmark's fixture ``benchmark``; all of it public.

    Attributes
    ----------
    group : str, optional
        Heading under which results stand together.
    extra_info : dict
        Goes into the JSON with the durations.
    enabled : bool
        False under ``--benchmark-disable``, and with pytest-xdist.
    """

    group: str | None
    extra_info: dict[str, Any]

    @property
    def enabled(self) -> bool:
        """Whether durations are taken."""

    def pedantic(
        self, target: Callable[[], None], *, setup: Callable[[], None], rounds: int, iterations: int, warmup_rounds: int
    ) -> None:
        """Time `target` for some rounds, calling `setup` before each."""


def bench(
    benchmark: Benchmark,
    case: Case,
    *,
    rounds: int = 3,
    metric: str = _DEFAULT_METRIC,
    store: Store | None = None,
    label: str = "",
) -> tuple[Record, ...]:
    """Measure a case and give pytest-benchmark the worker's own seconds.

    The test needs the mark ``@pytest.mark.benchmark(timer=worker_clock)``. It fails, with the reason, where a
    sample failed, crashed, passed a limit, disagrees with the oracle or contradicts its scenario. It is skipped
    where the backend is not installed. For ``warm``, one unmeasured process fills the cache for all rounds.

    Parameters
    ----------
    benchmark : fixture
        pytest-benchmark's own. Its `group` becomes the model's size and the scenario where the mark gave none.
    case : Case
        What to measure.
    rounds : int
        Samples, each in a fresh process. Under ``--benchmark-disable`` there is only one.
    metric : str
        Name of one of `firstgrad.metrics.METRICS` that is in seconds, such as ``phase_link``.
    store : Store, optional
        Keeps every record, also of bad samples, before the next one starts.
    label : str
        The user's name for this run, in the records.

    Returns
    -------
    tuple of Record
        One a round.

    Raises
    ------
    SpecError
        Where `metric` is unknown or not in seconds, or `rounds` is less than 1.
    StoreError
        Where a record cannot be kept.

    Notes
    -----
    `extra_info` gets the case's id and description, seconds of each phase, every metric, memory, verdict, the
    scenario's proof, doubts, versions and the host's digest. Lists have one entry a round.
    """
    chosen = _metric_in_seconds(metric)
    if rounds < 1:
        raise SpecError("rounds", f"expected a whole number >= 1, got {rounds!r}")
    benchmark.group = benchmark.group or _group(case, chosen)
    records: list[Record] = []
    # A generator indeed; closing it removes the private folder also when a round is unfit.
    samples = cast("Generator[Record]", measure(case, samples=rounds, label=label))

    def measure_one() -> None:
        if benchmark.enabled and len(records) == rounds:
            return  # --benchmark-cprofile calls once more; nothing of a worker shows in this process
        if benchmark.enabled and not worker_clock.was_read:
            raise UnfitError(
                "pytest-benchmark reads another clock than the worker's. Mark the test with "
                "@pytest.mark.benchmark(timer=worker_clock), from firstgrad.pytest_benchmark; where several such "
                "marks meet, the closest one needs the timer"
            )
        record = next(samples)
        if store is not None:
            store.add(record)
        worker_clock.advance(fit_seconds(record, chosen))
        records.append(record)

    with closing(samples):
        _run(benchmark, measure_one, rounds)
    benchmark.extra_info.update(describe_rounds(case, chosen, records))
    return tuple(records)


def _run(benchmark: Benchmark, measure_one: Callable[[], None], rounds: int) -> None:
    """Run the rounds. An unfit one goes through pytest-benchmark, which then saves nothing of the test."""
    import pytest

    try:
        benchmark.pedantic(measure_one, setup=worker_clock.restart, rounds=rounds, iterations=1, warmup_rounds=0)
    except UnfitError as error:
        unfit = error
    else:
        return
    if unfit.is_backend_missing:
        pytest.skip(str(unfit))
    pytest.fail(str(unfit), pytrace=False)


def _metric_in_seconds(name: str) -> Metric:
    found = {metric.name: metric for metric in METRICS if metric.unit is Unit.SECONDS}
    if name not in found:
        raise SpecError("metric", f"expected one that is in seconds ({', '.join(found)}), got {name!r}")
    return found[name]


def _group(case: Case, metric: Metric) -> str:
    """Name what stands together: numbers of one size, scenario and metric."""
    model = case.model
    if isinstance(model, PoseSpec):
        size = f"pose T={model.n_timesteps} K={model.n_directions}"
    else:
        size = describe_model(model)
    parts = (size, case.scenario) if metric.name == _DEFAULT_METRIC else (size, case.scenario, metric.title)
    return ", ".join(parts)
