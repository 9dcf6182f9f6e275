"""NUTS of nutpie: compiled by its own ``compile_pymc_model``, watched through its progress callback. Child side."""

from __future__ import annotations

import math
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np

from firstgrad.errors import ModelError
from firstgrad.measure.draw_tally import Drawn
from firstgrad.sampling import SamplingStage, StartGradient

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from firstgrad.backends.base import Problem
    from firstgrad.backends.pytensor_base import PyTensorBackend
    from firstgrad.measure.draw_tally import DrawTally
    from firstgrad.measure.stage_clock import StageClock
    from firstgrad.points import Point
    from firstgrad.sampling import SamplingPlan

_LOOK_MILLISECONDS = 5


def sample_with_nutpie(
    backend: PyTensorBackend,
    problem: Problem,
    plan: SamplingPlan,
    clock: StageClock,
    tally: DrawTally,
    on_start: Callable[[StartGradient], None],
) -> float:
    """Compile for nutpie and sample.

    A run of one draw after one belongs to compiling: JAX, and whatever else is compiled lazily, compiles in it.

    Returns
    -------
    float
        How far the borders between tuning and drawing may be off, in seconds: nutpie tells its progress only every
        5 ms.

    Raises
    ------
    ModelError
        Where the model has discrete variables, or nutpie accepts no start point.
    """
    discrete = [var.name for var in problem.handle.discrete_value_vars]
    if discrete:
        raise ModelError(
            f"nutpie samples continuous variables only, and the model has discrete ones ({', '.join(discrete)}). "
            "Take --sampler pymc, or marginalise them out (pymc_extras.marginalize)"
        )
    import nutpie

    initial = {} if problem.initial is None else {"initial_points": problem.initial}
    compiled = nutpie.compile_pymc_model(problem.handle, backend=str(backend.name), **initial)
    options: dict[str, Any] = {"chains": plan.chains, "cores": 1, "seed": plan.seed, "progress_bar": False}
    if plan.target_accept is not None:
        options["target_accept"] = plan.target_accept
    try:
        nutpie.sample(compiled, **options | {"chains": 1, "draws": 1, "tune": 1, "maxdepth": 1})
    except RuntimeError as error:
        with suppress(Exception):  # it explains the failure and must not hide it
            on_start(_interpreted_start(backend, problem))
        raise ModelError(f"nutpie cannot start: {_reason(error)}") from error
    # It begins nowhere else than where log-density and gradient are finite.
    on_start(_finite_start(backend, problem))

    looks = _Looks(plan, clock, tally)
    clock.begin(SamplingStage.TUNING)
    trace = nutpie.sample(
        compiled,
        draws=plan.draws,
        tune=plan.tune,
        save_warmup=True,
        progress_callback=looks,
        progress_rate=_LOOK_MILLISECONDS,
        **options,
    )
    looks.end()
    clock.begin(SamplingStage.OTHER)
    for drawn in _read_trace(trace):
        tally.count(drawn)
    return looks.unsure_seconds


class _Looks:
    """Takes nutpie's progress, from a thread of nutpie's, and marks where stages begin.

    Parameters
    ----------
    plan, clock, tally
        Of the run.
    wall : callable
        A clock, in seconds.

    Attributes
    ----------
    unsure_seconds : float
        Time between the last look at tuning and the first at drawing, over all chains; infinite where a chain was
        never seen drawing. The end needs no such thing: nutpie tells it at once.
    """

    def __init__(
        self,
        plan: SamplingPlan,
        clock: StageClock,
        tally: DrawTally,
        *,
        wall: Callable[[], float] = time.monotonic,
    ) -> None:
        self._plan, self._clock, self._tally, self._wall = plan, clock, tally, wall
        self._before = wall()
        self._bordered = 0
        self._finished = [0] * plan.chains
        self._is_over = False
        self._looking = threading.Lock()
        self.unsure_seconds = 0.0

    def end(self) -> None:
        """Look no more: nutpie's thread may be late, or in the middle of a look."""
        with self._looking:
            self._is_over = True

    def __call__(self, chains: Sequence[Any]) -> None:
        with self._looking:
            if not self._is_over:
                self._look(chains)

    def _look(self, chains: Sequence[Any]) -> None:
        now, tune, whole = self._wall(), self._plan.tune, self._plan.tune + self._plan.draws
        finished = [chain.finished_draws for chain in chains]
        # Each chain that was tuned, and each that ended with another to follow, has a border behind it.
        borders = sum(draws >= tune for draws in finished) + sum(draws == whole for draws in finished[:-1])
        self.unsure_seconds += (borders - self._bordered) * (now - self._before)
        if any(before < tune and draws == whole for before, draws in zip(self._finished, finished, strict=False)):
            self.unsure_seconds = math.inf  # nobody looked while it was drawing
        self._bordered, self._before, self._finished = borders, now, finished
        tuned = sum(min(draws, tune) for draws in finished)
        self._tally.tell(tuned, sum(finished) - tuned, sum(chain.divergences for chain in chains))
        if all(draws == whole for draws in finished):
            self._clock.begin(SamplingStage.OTHER)
        elif any(tune <= draws < whole for draws in finished):
            self._clock.begin(SamplingStage.DRAWING)
        else:
            self._clock.begin(SamplingStage.TUNING)


def _read_trace(trace: Any) -> list[Drawn]:
    """Read every draw: tuning first, as nutpie's trace has it."""
    tuning = _read_group(trace["warmup_posterior"], trace["warmup_sample_stats"], tuning=True)
    return tuning + _read_group(trace["posterior"], trace["sample_stats"], tuning=False)


def _read_group(posterior: Any, stats: Any, *, tuning: bool) -> list[Drawn]:
    names = ("diverging", "n_steps", "depth", "mean_tree_accept", "step_size")
    diverging, steps, depth, acceptance, step_size = (np.asarray(stats[name]) for name in names)
    values = [np.asarray(posterior[name]) for name in posterior.data_vars]
    return [
        Drawn(
            chain=chain,
            tuning=tuning,
            diverging=bool(diverging[chain, draw]),
            gradient_evaluations=int(steps[chain, draw]),
            tree_depth=int(depth[chain, draw]),
            acceptance=float(acceptance[chain, draw]),
            step_size=float(step_size[chain, draw]),
            position=b"".join(value[chain, draw].tobytes() for value in values),
        )
        for chain, draw in np.ndindex(diverging.shape)
    ]


def _reason(error: RuntimeError) -> str:
    """Take the words out of an error that has a stack of nameless addresses behind it."""
    words = str(error).partition("Stack backtrace")[0]
    return " ".join(words.split()).replace(" Caused by:", ", caused by:")


def _start_point(backend: PyTensorBackend, problem: Problem) -> Point:
    return problem.initial if problem.initial is not None else backend.start_point(problem)


def _finite_start(backend: PyTensorBackend, problem: Problem) -> StartGradient:
    from firstgrad.oracle import finiteness

    groups = backend.groups(problem, _start_point(backend, problem))
    zeros = {group.value_name: np.zeros(group.shape) for group in groups}
    return StartGradient(logp=None, finiteness=finiteness(groups, zeros))


def _interpreted_start(backend: PyTensorBackend, problem: Problem) -> StartGradient:
    """Evaluate log-density and gradient at the start point in PyTensor's interpreter: nutpie does not tell its own."""
    import pytensor
    from pytensor.compile.mode import Mode

    from firstgrad.case import Target
    from firstgrad.oracle import finiteness
    from firstgrad.points import unflatten

    model, point = problem.handle, _start_point(backend, problem)
    groups, interpreter = backend.groups(problem, point), Mode("py", None)
    with pytensor.config.change_flags(cxx="", mode=interpreter):
        graph = backend.grad_graph(problem, model.logp(), Target.LOGP_DLOGP)
        function = model.compile_fn(graph, inputs=model.value_vars, mode=interpreter, on_unused_input="ignore")
        logp, gradient = function(point)
    vector = np.asarray(gradient, dtype=np.float64)
    return StartGradient(logp=float(logp), finiteness=finiteness(groups, unflatten(vector, groups)))
