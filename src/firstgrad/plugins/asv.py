"""An asv suite with all of firstgrad's metrics from one measured process a sample; users import it as `firstgrad.asv`.

asv starts a process for each metric, and again for each round, in a folder that all metrics of a run share. The n-th
time that a metric is asked for, it takes the n-th sample of its case; where no metric has asked for that one yet, it is
measured.
"""

from __future__ import annotations

import itertools
import json
import math
import os
import re
import sys
from collections import defaultdict
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from firstgrad.case import BackendName, Case, Counting, Sampler, Scenario, Target
from firstgrad.columns import metrics_of
from firstgrad.doubts import why_unusable
from firstgrad.errors import MISSING_KINDS, FirstgradError, StoreError
from firstgrad.model import Model
from firstgrad.plugins import choose_metrics, open_suite
from firstgrad.record import Status
from firstgrad.sources import split_reference
from firstgrad.suite import SUITE_FILE
from firstgrad.units import clean

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import psutil

    from firstgrad.columns import Column
    from firstgrad.pose.spec import Scalar
    from firstgrad.record import Record

STORE_VARIABLE = "FIRSTGRAD_STORE"
"""Environment variable that names the store for the records; ``none`` keeps none."""
_RESERVE_SECONDS = 30.0
"""firstgrad stops a sample this long before asv would: only then is there a record of it."""
ROUNDS = 5
"""Samples of what spreads. Of 3, asv finds a 13-fold slowdown not significant in 18% of comparisons where samples
spread by 15%, in 70% where they do by 30%; of 5 in none and 3%."""
_NEVER_DIFFERENT = 6  # asv's test of ranks wants less than the least that so many of each side can give
_ENDLESS_SECONDS = 1e6
_PATIENCE_SECONDS = 10.0  # with a store that is away: asv waits, too


class CellFailedError(FirstgradError):
    """A cell has no numbers; the message says why."""


class GradientBenchmarks:
    """Measure the gradient compilation of a model with asv: derive a class and name the model.

    Each of its `metrics` becomes a ``track_`` benchmark. All metrics of a sample come from one measured process: the
    first one that asv asks for measures, the others read what was measured. Each asv round takes one new sample, so
    that ``asv continuous`` interleaves base and head, and asv's statistics have all samples. Counts and bytes take one
    sample, of which asv looks at the factor alone.

    Notes
    -----
    ``asv run --quick`` takes one sample. That a ``track_`` benchmark may return samples and have rounds is not
    in asv's documentation; firstgrad's tests run asv 0.6 to make sure of it.
    """

    model: ClassVar[str] = ""
    """``path/file.py:function`` (seen from the folder of the asv configuration) or ``package.module:function``; the
    function returns a ``pm.Model`` or a pair ``(model, initial_point)``.
    """
    parameters: ClassVar[Mapping[str, Sequence[Scalar]]] = {}
    """Keyword arguments of that function and the values to measure; an axis each."""
    backends: ClassVar[Sequence[str]] = ("jax",)  # an axis: ``"c"``, ``"numba"``, ``"jax"``
    scenarios: ClassVar[Sequence[str]] = ("cold",)  # an axis: ``"cold"``, ``"warm"``, ``"hot"``
    target: ClassVar[str] = "dlogp"  # or ``"logp_dlogp"``, ``"first_draw"``
    samplers: ClassVar[Sequence[str]] = ()
    """An axis of ``first_draw`` where there are several: ``"auto"`` (where left out), ``"pymc"``, ``"nutpie"``, ..."""
    evaluations: ClassVar[int] = 200  # steady-state calls that are timed
    metrics: ClassVar[Sequence[str]] = ()
    """Names of columns, or ``"all"``; a few that tell most where left out. ``FIRSTGRAD_METRICS`` goes before."""
    rounds: ClassVar[int] = ROUNDS
    """Samples of seconds; with 2 to 5 asv compares intervals, with 7 or more it tests ranks. 6 never differ."""
    timeout: ClassVar[float] = 1800.0
    """Seconds for one sample, the filling of a warm cache included. firstgrad stops a little earlier by itself."""
    title: ClassVar[str] = ""  # how pages name the class; its name where left out

    params: ClassVar[list[list[Scalar]]]
    param_names: ClassVar[list[str]]

    def __init_subclass__(cls, *, abstract: bool = False, **others: Any) -> None:
        """Give the class its axes and a benchmark for each metric."""
        super().__init_subclass__(**others)
        if abstract:
            return
        axes = {**cls.parameters, "backend": cls.backends, "scenario": cls.scenarios}
        axes |= {"sampler": cls.samplers} if cls.samplers else {}
        cls.param_names = list(axes)
        cls.params = [list(values) for values in axes.values()]
        for metric in choose_metrics(cls.metrics, Target(cls.target), cls.backends):
            rounds = 1 if metric.is_deterministic else cls.rounds
            setattr(cls, f"track_{metric.name}", _make_track(metric, cls.title or cls.__name__, rounds))

    def case(self, **values: Scalar) -> Case:
        """Describe what one cell of the grid measures; override it for other limits.

        Parameters
        ----------
        **values : scalar
            One of each axis.

        Raises
        ------
        NotImplementedError
            To skip a cell that makes no sense; asv shows ``n/a``.
        """
        backend, scenario = values.pop("backend"), values.pop("scenario")
        sampler = values.pop("sampler") if self.samplers else Sampler.AUTO
        return Case(
            model=Model(reference=self.asv_run.reference(self.model), parameters=tuple(sorted(values.items()))),
            backend=BackendName(str(backend)),
            target=Target(self.target),
            scenario=Scenario(str(scenario)),
            evaluations=self.evaluations,
            sampler=Sampler(str(sampler)),
        )

    @property
    def asv_run(self) -> AsvRun:
        """Where asv runs this."""
        return AsvRun.of(getattr(sys.modules.get(type(self).__module__), "__file__", None))

    def setup_cache(self) -> None:
        """Make asv run all metrics in the same folder: it is where they share what was measured."""

    def setup(self, *values: Scalar) -> None:
        """Skip what cannot be, before anything is measured."""
        self._case(values)

    def _case(self, values: Sequence[Scalar]) -> Case:
        return self.case(**dict(zip(self.param_names, values, strict=True)))


class _SuiteBenchmarks(GradientBenchmarks, abstract=True):
    """One model of a suite file: its grid may have holes."""

    cases: ClassVar[Mapping[tuple[Scalar, ...], Case]] = {}
    """By the values of `param_names`."""

    def case(self, **values: Scalar) -> Case:
        """Look a cell up."""
        if tuple(values.values()) not in self.cases:
            raise NotImplementedError("the suite has no such case")
        return self.cases[tuple(values.values())]


def suite_benchmarks(
    module: str, file: str = SUITE_FILE, tier: str | None = None
) -> dict[str, type[GradientBenchmarks]]:
    """Make asv benchmarks of a suite file, a class for each model and target: ``globals().update(...)`` with them.

    Parameters
    ----------
    module : str
        The ``__name__`` of the module that they go into.
    file : str
        Seen from the folder of the asv configuration.
    tier : str, optional
        One of the file's tiers; where left out, that of the variable ``FIRSTGRAD_TIER``, or none.

    Raises
    ------
    SpecError
        Where the file is wrong, or has no model.
    """
    folder = AsvRun.of(getattr(sys.modules.get(module), "__file__", None)).folder.absolute()
    suite = open_suite(folder / file, tier)
    cases: defaultdict[tuple[str, Target], list[Case]] = defaultdict(list)
    for case in suite.grid().cases:
        cases[case.model.reference, case.target].append(case)
    rounds = max(suite.samples, ROUNDS)
    made: dict[str, type[GradientBenchmarks]] = {}
    for (reference, target), some in cases.items():
        place = _seen_from(folder, reference)
        title = place if len(suite.targets) == 1 else f"{place}, {target}"
        name = re.sub(r"\W+", "_", title)
        while name in made:
            name += "_"
        attributes: dict[str, Any] = {
            "__module__": module,
            "title": title,
            "target": target.value,
            "metrics": suite.metrics,
            "rounds": rounds + (rounds == _NEVER_DIFFERENT),
            "timeout": 2 * (suite.time_limit_seconds or _ENDLESS_SECONDS) + 2 * _RESERVE_SECONDS,
        }
        made[name] = type(name, (_SuiteBenchmarks,), attributes | _axes_of(some))
    return made


def _seen_from(folder: Path, reference: str) -> str:
    """Name a model the same wherever asv reads the suite from."""
    place, _ = split_reference(reference)
    whole = Path(os.path.normpath(Path(place).absolute()))
    if not place.endswith(".py") or not whole.is_relative_to(folder):
        return reference
    return f"{whole.relative_to(folder).as_posix()}{reference.removeprefix(place)}"


def _axes_of(cases: Sequence[Case]) -> dict[str, Any]:
    """Find the axes of a model's cases, and each case by its values."""
    names = list(dict.fromkeys(name for case in cases for name, _ in case.model.parameters))
    has_samplers = len({case.sampler for case in cases}) > 1

    def values(case: Case) -> tuple[Scalar, ...]:
        known = case.model.values
        end = (case.sampler.value,) if has_samplers else ()
        return (*(known.get(name, "default") for name in names), case.backend.value, case.scenario.value, *end)

    axes = [list(dict.fromkeys(axis)) for axis in zip(*map(values, cases), strict=True)]
    return {
        "parameters": dict(zip(names, axes, strict=False)),
        "backends": axes[len(names)],
        "scenarios": axes[len(names) + 1],
        "samplers": axes[-1] if has_samplers else (),
        "cases": {values(case): replace(case, model=_absolute(case.model)) for case in cases},
    }


def _absolute(model: Model) -> Model:
    """Complete a file's path: asv measures in another folder than it reads the suite in."""
    place, _ = split_reference(model.reference)
    if not place.endswith(".py"):
        return model
    return replace(model, reference=f"{Path(place).absolute()}{model.reference.removeprefix(place)}")


def _make_track(metric: Column, title: str, rounds: int) -> Callable[..., object]:
    def track(self: GradientBenchmarks, *values: Scalar) -> object:
        def measure(case: Case) -> CellSample:
            return measure_sample(case, self.asv_run, limit_seconds=self.timeout)

        case = self._case(values)
        if metric.counting is not Counting.PLAIN:
            case = replace(case, counting=metric.counting)
        value = take_sample(Path.cwd(), case, metric.name, measure).value_of(metric.name)
        return math.nan if value is None else {"samples": [value], "number": 1}

    track.__name__ = f"track_{metric.name}"
    for name, value in {
        "unit": metric.unit.value,
        "pretty_name": f"{title}: {metric.title}",
        "version": metric.version,
        "rounds": rounds,
    }.items():
        setattr(track, name, value)
    return track


@dataclass(slots=True)
class CellSample:
    """One sample as asv's processes share it."""

    values: dict[str, float | None] = field(default_factory=dict)
    """The number of each metric, by its name."""
    failure: str = ""
    """Why there are none; empty where there are."""
    is_unavailable: bool = False
    """Whether the failure is that the backend or the sampler isn't installed here."""
    taken: list[str] = field(default_factory=list)
    """Names of the metrics that have taken this sample."""

    @classmethod
    def of(cls, record: Record) -> Self:
        """Take a record's numbers, or why there are none."""
        reason = why_unusable(record)
        hint = ". Look at it: firstgrad check" if record.status is Status.MISMATCH else ""
        return cls(
            values={} if reason else {metric.name: metric.read(record) for metric in metrics_of(record.case.target)},
            failure=reason and f"{record.case}: {reason}{hint}",
            is_unavailable=record.failure is not None and record.failure.kind in MISSING_KINDS,
        )

    def value_of(self, metric: str) -> float | None:
        """Return a metric's number.

        Raises CellFailedError where the sample failed: asv shows the cell as failed, with this message.
        """
        if self.is_unavailable:
            from asv_runner.benchmarks.mark import SkipNotImplemented

            raise SkipNotImplemented(self.failure)
        if self.failure:
            raise CellFailedError(self.failure)
        return self.values[metric]


def take_sample(folder: Path, case: Case, metric: str, measure: Callable[[Case], CellSample]) -> CellSample:
    """Take the next sample that this metric has not had, measuring it where it isn't in the folder."""
    for number in itertools.count():
        file = folder / f"{case.id}-{number}.json"
        sample = CellSample(**json.loads(file.read_text())) if file.exists() else None
        if sample is None:
            # Should asv stop this process, the other metrics must not each try again for as long.
            _write(file, CellSample(failure=f"{case}: asv stopped the measurement of this sample; raise the timeout"))
            sample = measure(case)
        elif metric in sample.taken:
            continue
        sample.taken.append(metric)
        _write(file, sample)
        return sample
    raise AssertionError("unreachable")


def _write(file: Path, sample: CellSample) -> None:
    from firstgrad.store.files import write_file

    write_file(file, json.dumps(asdict(sample)).encode())


def measure_sample(case: Case, asv_run: AsvRun, *, limit_seconds: float) -> CellSample:
    """Measure a sample within asv's time limit, and keep its record in the store.

    The case's own time limit is lowered where asv's is lower; filling a warm cache and the sample itself get half of it
    each.
    """
    from firstgrad.measuring.launch import measure
    from firstgrad.store import DEFAULT_PATH, Keeper

    own = asv_run.folder / DEFAULT_PATH
    place = os.environ.get(STORE_VARIABLE) or own
    keeper = None if place == "none" else Keeper(place, folder=own.parent, patience_seconds=_PATIENCE_SECONDS)
    share = max(limit_seconds - _RESERVE_SECONDS, limit_seconds / 2) / (2 if case.scenario is Scenario.WARM else 1)
    limited = replace(case, time_limit_seconds=min(case.time_limit_seconds or share, share))
    # A cold sample leaves its cache to the warm ones of the same model: it is what fills theirs.
    filling = replace(case, scenario=Scenario.WARM)
    kept = None if case.scenario is Scenario.HOT else asv_run.folder_for_filled(filling.id)
    # A loop of one: only when the record is stored the filled cache is kept
    for measured in measure(limited, label=asv_run.environment, keep_filled=kept):
        # The asked-for case, so that all of its records have one id whatever asv's limit was.
        record = replace(measured, case=case, environment=replace(measured.environment, git_commit=asv_run.commit))
        try:
            if keeper is not None:  # which opens the store only now: also one that can't be opened costs no numbers
                keeper.keep(record)
        except StoreError as error:
            # asv has the numbers; a store that is locked or written by a newer firstgrad must not cost them.
            sys.stderr.write(f"firstgrad: this record was not stored: {clean(str(error))}\n")
        finally:
            if keeper is not None:
                keeper.close()
    return CellSample.of(record)


@dataclass(frozen=True, slots=True)
class AsvRun:
    """What asv says of a run, and what can be seen where it says nothing (environments of type ``existing``)."""

    folder: Path
    """Of the asv configuration."""
    environment: str
    """asv's name of the environment."""
    environment_folder: Path | None
    """Where asv made the environment; none where it didn't."""

    @classmethod
    def of(cls, suite_file: str | None) -> Self:
        """Describe the run of a suite, seen from one of its files."""
        given = os.environ.get("ASV_ENV_DIR")
        return cls(
            folder=Path(os.environ.get("ASV_CONF_DIR") or _configuration_above(suite_file)),
            environment=os.environ.get("ASV_ENV_NAME", "existing"),
            environment_folder=Path(given) if given else None,
        )

    @property
    def commit(self) -> str:
        """The commit that is measured; '' where it cannot be known."""
        from firstgrad.measuring.environment import git_commit

        return os.environ.get("ASV_COMMIT") or git_commit(self.folder)

    def reference(self, model: str) -> str:
        """Complete a model's reference: files are seen from the folder of the asv configuration."""
        return str(self.folder.absolute() / model) if split_reference(model)[0].endswith(".py") else model

    def folder_for_filled(self, case_id: str) -> Path | None:
        """Find where this run of asv keeps the filled cache of a case: its rounds then fill it once, not each time.

        What earlier runs left is removed: the suite's own files may have changed since.
        """
        if self.environment_folder is None or not self.commit:
            return None
        import shutil

        asv = _asv_process()
        runs = self.environment_folder / "firstgrad-filled"
        this_run = runs / f"{asv.pid}-{asv.create_time():.2f}"
        for old in runs.glob("*"):
            if old != this_run:
                shutil.rmtree(old, ignore_errors=True)
        return this_run / self.commit / case_id


def _configuration_above(suite_file: str | None) -> Path:
    start = Path(suite_file).absolute() if suite_file else Path.cwd() / "suite"
    return next((folder for folder in start.parents if any(folder.glob("asv*.conf.json*"))), Path.cwd())


def _asv_process() -> psutil.Process:
    """Find asv itself, which may have a server between itself and this process: it has no ``ASV_ENV_DIR``."""
    import psutil

    process = psutil.Process()
    while (parent := process.parent()) is not None:
        process = parent
        with suppress(psutil.AccessDenied):
            if "ASV_ENV_DIR" not in process.environ():
                break
    return process
