"""The samplers: PyMC's own NUTS, watched through its callback and its first evaluation, and nutpie's. Child side."""

from __future__ import annotations

import inspect
import math
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np

from firstgrad.agreement import finiteness
from firstgrad.backends.draws import mode_options, nutpie_reason, refuse_discrete, require_nuts
from firstgrad.case import Sampler
from firstgrad.errors import ModelError
from firstgrad.observe import probes
from firstgrad.observe.calls import on_first_return
from firstgrad.points import unflatten
from firstgrad.sampling.plan import SamplingStage, StartGradient
from firstgrad.sampling.watch import Draw

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from firstgrad.backends.base import BuiltModel
    from firstgrad.backends.pytensor import PyTensorBackend
    from firstgrad.points import Group, Point
    from firstgrad.sampling.watch import SamplerWatch

_LOOK_MILLISECONDS = 5


type RunSampler = Callable[[Any, BuiltModel, SamplerWatch], float]
"""It samples, and tells the watch of stages, draws and the first evaluation; returns how far the borders between tuning
and drawing may be off, in seconds."""


def sample_with_pymc(backend: PyTensorBackend, problem: BuiltModel, watch: SamplerWatch) -> float:
    """Run ``pm.sample``; its borders are exact.

    The border between compiling and tuning is the end of the sampler's first evaluation (Numba, JAX and, in part, C
    compile in a first call), seen by ``sys.monitoring``; the others are draws, which PyMC's callback tells.

    Raises ModelError where PyMC takes another sampler than NUTS.
    """
    import pymc as pm

    plan, clock = watch.plan, watch.clock

    def drew(*, trace: Any, draw: Any) -> None:  # noqa: ARG001 - PyMC's signature
        watch.tally.add(_read_pymc_draw(draw))
        if draw.draw_idx + 1 == plan.tune:
            clock.begin(SamplingStage.DRAWING)
        elif draw.draw_idx + 1 == plan.tune + plan.draws:
            is_last = draw.chain + 1 == plan.chains
            clock.begin(SamplingStage.OTHER if is_last else SamplingStage.TUNING)

    def evaluated(state: Any) -> None:
        clock.begin(SamplingStage.TUNING)
        watch.start = _read_pymc_start(backend, problem, state)

    options, flags = mode_options(backend)
    if plan.target_accept is not None:
        options["target_accept"] = plan.target_accept
    if "nuts_sampler" in inspect.signature(pm.sample).parameters:
        options["nuts_sampler"] = "pymc"  # newer releases take nutpie where it is installed
    listening = on_first_return(probes.LEAPFROG_STATE.find(), evaluated)
    with flags, listening:
        _raise_first(listening.problems)
        pm.sample(
            draws=plan.draws,
            tune=plan.tune,
            chains=plan.chains,
            cores=1,
            random_seed=plan.seed,
            progressbar=False,
            initvals=problem.initial,
            compute_convergence_checks=False,
            callback=drew,
            model=problem.model,
            **options,
        )
    _raise_first(listening.problems)
    return 0.0


def _raise_first(problems: list[str]) -> None:
    if problems:
        raise RuntimeError(problems[0])


def _read_pymc_start(backend: PyTensorBackend, problem: BuiltModel, state: Any) -> StartGradient:
    point = {name: np.empty(shape) for name, shape, *_ in state.q.point_map_info}
    groups = {group.value_name: group for group in backend.groups(problem, point)}
    # The sampler's order of values, which need not be the model's.
    return _start_gradient([groups[name] for name in point], state.model_logp, state.q_grad)


def _start_gradient(groups: Sequence[Group], logp: Any, gradient: Any) -> StartGradient:
    vector = np.asarray(gradient, dtype=np.float64)
    return StartGradient(logp=float(logp), finiteness=finiteness(groups, unflatten(vector, groups)))


def _read_pymc_draw(draw: Any) -> Draw:
    stats = require_nuts(draw.stats)
    values = [np.asarray(value) for value in draw.point.values()]
    return Draw(
        chain=draw.chain,
        tuning=bool(draw.tuning),
        diverging=bool(stats["diverging"]),
        # One at the place where the draw starts, then one a leapfrog step.
        gradient_evaluations=int(stats["tree_size"]) + 1,
        tree_depth=int(stats["depth"]),
        acceptance=float(stats["mean_tree_accept"]),
        step_size=float(stats["step_size"]),
        # Without discrete values: they move by steps of their own, and would hide that NUTS does not.
        position=b"".join(value.tobytes() for value in values if value.dtype.kind == "f"),
    )


def sample_with_nutpie(backend: PyTensorBackend, problem: BuiltModel, watch: SamplerWatch) -> float:
    """Compile by nutpie's own ``compile_pymc_model`` and sample; nutpie tells its progress only every 5 ms.

    A run of one draw after one belongs to compiling: JAX, and whatever else is compiled lazily, compiles in it.

    Raises ModelError where the model has discrete variables, or nutpie accepts no start point.
    """
    refuse_discrete(problem.model, Sampler.NUTPIE)
    import nutpie

    plan = watch.plan
    initial = {} if problem.initial is None else {"initial_points": problem.initial}
    compiled = nutpie.compile_pymc_model(problem.model, backend=str(backend.facts.name), **initial)
    options: dict[str, Any] = {"chains": plan.chains, "cores": 1, "seed": plan.seed, "progress_bar": False}
    if plan.target_accept is not None:
        options["target_accept"] = plan.target_accept
    try:
        nutpie.sample(compiled, **options | {"chains": 1, "draws": 1, "tune": 1, "maxdepth": 1})
    except RuntimeError as error:
        with suppress(Exception):  # it explains the failure and must not hide it
            watch.start = _interpreted_start(backend, problem)
        raise ModelError(f"nutpie cannot start: {nutpie_reason(error)}") from error
    # It begins nowhere else than where log-density and gradient are finite.
    groups = backend.groups(problem, _start_point(backend, problem))
    zeros = {group.value_name: np.zeros(group.shape) for group in groups}
    watch.start = StartGradient(logp=None, finiteness=finiteness(groups, zeros))

    progress = NutpieProgress(watch)
    watch.clock.begin(SamplingStage.TUNING)
    trace = nutpie.sample(
        compiled,
        draws=plan.draws,
        tune=plan.tune,
        save_warmup=True,
        progress_callback=progress,
        progress_rate=_LOOK_MILLISECONDS,
        **options,
    )
    progress.end()
    watch.clock.begin(SamplingStage.OTHER)
    for draw in _read_nutpie_trace(trace):
        watch.tally.count(draw)
    return progress.unsure_seconds


class NutpieProgress:
    """Takes nutpie's progress, from a thread of nutpie's, and marks where stages begin.

    `unsure_seconds` is the time between the last look at tuning and the first at drawing, over all chains; infinite
    where a chain was never seen drawing. The end needs no such thing: nutpie tells it at once.
    """

    def __init__(self, watch: SamplerWatch, *, wall: Callable[[], float] = time.monotonic) -> None:
        self._watch, self._wall = watch, wall
        self._before = wall()
        self._bordered = 0
        self._finished = [0] * watch.plan.chains
        self._is_over = False
        self._looking = threading.Lock()
        self.unsure_seconds = 0.0

    def end(self) -> None:
        """Look no more: nutpie's thread may be late, or in the middle of a look."""
        with self._looking:
            self._is_over = True

    def __call__(self, chains: Sequence[Any]) -> None:
        """Look at nutpie's chains."""
        with self._looking:
            if not self._is_over:
                self._look(chains)

    def _look(self, chains: Sequence[Any]) -> None:
        plan, clock = self._watch.plan, self._watch.clock
        now, tune, whole = self._wall(), plan.tune, plan.tune + plan.draws
        finished = [chain.finished_draws for chain in chains]
        # Each chain that was tuned, and each that ended with another to follow, has a border behind it.
        borders = sum(draws >= tune for draws in finished) + sum(draws == whole for draws in finished[:-1])
        self.unsure_seconds += (borders - self._bordered) * (now - self._before)
        if any(before < tune and draws == whole for before, draws in zip(self._finished, finished, strict=False)):
            self.unsure_seconds = math.inf  # nobody looked while it was drawing
        self._bordered, self._before, self._finished = borders, now, finished
        tuned = sum(min(draws, tune) for draws in finished)
        self._watch.tally.tell(tuned, sum(finished) - tuned, sum(chain.divergences for chain in chains))
        if all(draws == whole for draws in finished):
            clock.begin(SamplingStage.OTHER)
        elif any(tune <= draws < whole for draws in finished):
            clock.begin(SamplingStage.DRAWING)
        else:
            clock.begin(SamplingStage.TUNING)


def _read_nutpie_trace(trace: Any) -> Iterator[Draw]:
    """Read every draw: tuning first, as nutpie's trace has it."""
    names = ("diverging", "n_steps", "depth", "mean_tree_accept", "step_size")
    for tuning, prefix in ((True, "warmup_"), (False, "")):
        posterior, stats = trace[f"{prefix}posterior"], trace[f"{prefix}sample_stats"]
        diverging, steps, depth, acceptance, step_size = (np.asarray(stats[name]) for name in names)
        values = [np.asarray(posterior[name]) for name in posterior.data_vars]
        for chain, draw in np.ndindex(diverging.shape):
            yield Draw(
                chain=chain,
                tuning=tuning,
                diverging=bool(diverging[chain, draw]),
                gradient_evaluations=int(steps[chain, draw]),
                tree_depth=int(depth[chain, draw]),
                acceptance=float(acceptance[chain, draw]),
                step_size=float(step_size[chain, draw]),
                position=b"".join(value[chain, draw].tobytes() for value in values),
            )


def _start_point(backend: PyTensorBackend, problem: BuiltModel) -> Point:
    return problem.initial if problem.initial is not None else backend.start_point(problem)


def _interpreted_start(backend: PyTensorBackend, problem: BuiltModel) -> StartGradient:
    """Evaluate log-density and gradient at the start point in PyTensor's interpreter: nutpie does not tell its own."""
    import pytensor
    from pytensor.compile.mode import Mode

    from firstgrad.case import Target

    model, point, interpreter = problem.model, _start_point(backend, problem), Mode("py", None)
    groups = backend.groups(problem, point)
    with pytensor.config.change_flags(cxx="", mode=interpreter):
        graph = backend.grad_graph(problem, model.logp(), Target.LOGP_DLOGP)
        function = model.compile_fn(graph, inputs=model.value_vars, mode=interpreter, on_unused_input="ignore")
        logp, gradient = function(point)
    return _start_gradient(groups, logp, gradient)


SAMPLERS: dict[Sampler, RunSampler] = {Sampler.PYMC: sample_with_pymc, Sampler.NUTPIE: sample_with_nutpie}
"""Who runs NUTS under which name; a sampler is called as its package is."""
