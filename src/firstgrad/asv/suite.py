"""The base class of an asv suite that measures first gradients."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from firstgrad.asv import cells
from firstgrad.asv.surroundings import Surroundings
from firstgrad.metrics import METRICS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from firstgrad.case import Case, Scalar
    from firstgrad.metrics import Metric


class GradientBenchmarks:
    """Measure the gradient compilation of a model with asv: derive a class and name the model.

    Every metric of `firstgrad.metrics.METRICS` becomes a ``track_`` benchmark. All metrics of a sample come from
    one measured process: the first metric that asv asks for measures, the others read what it found. Each asv
    round takes one new sample, so that ``asv continuous`` interleaves base and head, and asv's statistics have
    all samples.

    Attributes
    ----------
    model : str
        ``path/file.py:function`` (seen from the folder of the asv configuration) or ``package.module:function``;
        the function returns a ``pm.Model`` or a pair ``(model, initial_point)``.
    parameters : mapping of str to sequence
        Keyword arguments of that function and the values to measure; an axis each.
    backends : sequence of str
        An axis: ``"c"``, ``"numba"``, ``"jax"``.
    scenarios : sequence of str
        An axis: ``"cold"``, ``"warm"``, ``"hot"``.
    evaluations : int
        Steady-state calls that are timed.
    rounds : int
        Samples; with 3 to 5 asv compares intervals, with 7 or more it tests ranks. 6 never differ.
    timeout : float
        Seconds for one sample, the filling of a warm cache included. firstgrad stops a little earlier by itself.
    title : str
        How pages name the class; its name where left out.

    Notes
    -----
    ``asv run --quick`` takes one sample. That a ``track_`` benchmark may return samples and have rounds is not
    in asv's documentation; firstgrad's tests run asv 0.6 to make sure of it.
    """

    model: ClassVar[str] = ""
    parameters: ClassVar[Mapping[str, Sequence[Scalar]]] = {}
    backends: ClassVar[Sequence[str]] = ("jax",)
    scenarios: ClassVar[Sequence[str]] = ("cold",)
    evaluations: ClassVar[int] = 200
    rounds: ClassVar[int] = 3
    timeout: ClassVar[float] = 1800.0
    title: ClassVar[str] = ""

    params: ClassVar[list[list[Scalar]]]
    param_names: ClassVar[list[str]]

    def __init_subclass__(cls, *, abstract: bool = False, **others: Any) -> None:
        """Give the class its axes and a benchmark for each metric."""
        super().__init_subclass__(**others)
        if abstract:
            return
        axes = {**cls.parameters, "backend": cls.backends, "scenario": cls.scenarios}
        cls.param_names = list(axes)
        cls.params = [list(values) for values in axes.values()]
        for metric in METRICS:
            setattr(cls, f"track_{metric.name}", _make_track(metric, cls.title or cls.__name__, cls.rounds))

    def case(self, **values: Scalar) -> Case:
        """Describe what one cell of the grid measures; override it for other targets or limits.

        Parameters
        ----------
        **values : scalar
            One of each axis.

        Raises
        ------
        NotImplementedError
            To skip a cell that makes no sense; asv shows ``n/a``.
        """
        from firstgrad.case import BackendName, Case, ExternalModel, Scenario

        backend, scenario = values.pop("backend"), values.pop("scenario")
        return Case(
            model=ExternalModel(reference=self.around.reference(self.model), parameters=tuple(sorted(values.items()))),
            backend=BackendName(str(backend)),
            scenario=Scenario(str(scenario)),
            evaluations=self.evaluations,
        )

    @property
    def around(self) -> Surroundings:
        """Where asv runs this."""
        return Surroundings.of(getattr(sys.modules.get(type(self).__module__), "__file__", None))

    def setup_cache(self) -> None:
        """Make asv run all metrics in the same folder: it is where they share what was measured."""

    def setup(self, *values: Scalar) -> None:
        """Skip what cannot be, before anything is measured."""
        self._case(values)

    def _measure(self, case: Case) -> cells.Sample:
        from firstgrad.asv.sample import measure_sample

        return measure_sample(case, self.around, limit_seconds=self.timeout)

    def _case(self, values: Sequence[Scalar]) -> Case:
        return self.case(**dict(zip(self.param_names, values, strict=True)))


def _make_track(metric: Metric, title: str, rounds: int) -> Callable[..., object]:
    def track(self: GradientBenchmarks, *values: Scalar) -> object:
        sample = cells.take(Path.cwd(), self._case(values), metric.name, self._measure)
        value = sample.value_of(metric.name)
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
