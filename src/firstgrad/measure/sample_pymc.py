"""PyMC's own NUTS: ``pm.sample``, watched through its callback and its first evaluation. Child side."""

from __future__ import annotations

import inspect
import sys
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np

from firstgrad.errors import ModelError
from firstgrad.measure.draw_tally import Drawn
from firstgrad.sampling import SamplingStage, StartGradient

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from firstgrad.backends.base import Problem
    from firstgrad.backends.pytensor_base import PyTensorBackend
    from firstgrad.measure.draw_tally import DrawTally
    from firstgrad.measure.stage_clock import StageClock
    from firstgrad.sampling import SamplingPlan

_TOOLS = (3, 4)
"""Numbers of ``sys.monitoring`` that belong to no kind of tool."""


def sample_with_pymc(
    backend: PyTensorBackend,
    problem: Problem,
    plan: SamplingPlan,
    clock: StageClock,
    tally: DrawTally,
    on_start: Callable[[StartGradient], None],
) -> float:
    """Run ``pm.sample``.

    The border between compiling and tuning is the end of the sampler's first evaluation (Numba, JAX and, in part, C
    compile in a first call), seen by ``sys.monitoring``; the others are draws, which PyMC's callback tells.

    Returns
    -------
    float
        How far the borders between tuning and drawing may be off, in seconds: not at all.

    Raises
    ------
    ModelError
        Where PyMC takes another sampler than NUTS.
    """
    import pymc as pm

    def drew(*, trace: Any, draw: Any) -> None:  # noqa: ARG001 - PyMC's signature
        tally.add(_read_draw(draw))
        if draw.draw_idx + 1 == plan.tune:
            clock.begin(SamplingStage.DRAWING)
        elif draw.draw_idx + 1 == plan.tune + plan.draws:
            is_last = draw.chain + 1 == plan.chains
            clock.begin(SamplingStage.OTHER if is_last else SamplingStage.TUNING)

    def evaluated(state: Any) -> None:
        clock.begin(SamplingStage.TUNING)
        on_start(_read_start(backend, problem, state))

    options, flags = _mode_options(pm, backend.mode())
    if plan.target_accept is not None:
        options["target_accept"] = plan.target_accept
    if "nuts_sampler" in inspect.signature(pm.sample).parameters:
        options["nuts_sampler"] = "pymc"  # newer releases take nutpie where it is installed
    with flags, _first_evaluation(evaluated):
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
            model=problem.handle,
            **options,
        )
    return 0.0


def _mode_options(pm: Any, mode: Any) -> tuple[dict[str, Any], Any]:
    """Say in which mode to compile: as an option, or before PyMC 5.19, which has none, as PyTensor's default."""
    if "compile_kwargs" in inspect.signature(pm.sample).parameters:
        return {"compile_kwargs": {"mode": mode}}, nullcontext()
    import pytensor

    return {}, pytensor.config.change_flags(mode=mode)


@contextmanager
def _first_evaluation(evaluated: Callable[[Any], None]) -> Iterator[None]:
    """Call back once, when the first evaluation within a step returns; nothing of PyMC's is replaced."""
    from pymc.step_methods.hmc.integration import CpuLeapfrogIntegrator

    monitoring, code = sys.monitoring, CpuLeapfrogIntegrator.compute_state.__code__
    tool = next((each for each in _TOOLS if monitoring.get_tool(each) is None), None)
    if tool is None:
        raise RuntimeError("no number of sys.monitoring is free: end the other tools in this process")
    monitoring.use_tool_id(tool, "firstgrad")
    is_first = True

    def returned(_code: Any, _offset: int, state: Any) -> Any:
        nonlocal is_first
        if is_first:
            is_first = False
            evaluated(state)
        return monitoring.DISABLE

    monitoring.register_callback(tool, monitoring.events.PY_RETURN, returned)
    monitoring.set_local_events(tool, code, monitoring.events.PY_RETURN)
    try:
        yield
    finally:
        monitoring.set_local_events(tool, code, monitoring.events.NO_EVENTS)
        monitoring.register_callback(tool, monitoring.events.PY_RETURN, None)
        monitoring.free_tool_id(tool)


def _read_start(backend: PyTensorBackend, problem: Problem, state: Any) -> StartGradient:
    from firstgrad.oracle import finiteness
    from firstgrad.points import unflatten

    point = {name: np.empty(shape) for name, shape, *_ in state.q.point_map_info}
    groups = {group.value_name: group for group in backend.groups(problem, point)}
    # The sampler's order of values, which need not be the model's.
    ordered = [groups[name] for name in point]
    gradient = np.asarray(state.q_grad, dtype=np.float64)
    return StartGradient(logp=float(state.model_logp), finiteness=finiteness(ordered, unflatten(gradient, ordered)))


def _read_draw(draw: Any) -> Drawn:
    stats: dict[str, Any] = {name: value for each in draw.stats for name, value in each.items()}
    if "diverging" not in stats:
        raise ModelError(
            "PyMC gave no variable to NUTS, so there is no gradient to sample with: an operation without one is in the "
            "model. Give it one (`pullback`, `L_op` before PyTensor 3), or write it in PyTensor"
        )
    values = [np.asarray(value) for value in draw.point.values()]
    return Drawn(
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
