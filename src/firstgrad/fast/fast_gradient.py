"""``firstgrad.fast_gradient(model)``: the soonest first gradient of a PyMC model that firstgrad knows of."""

from __future__ import annotations

import gc
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from firstgrad.errors import ModelError
from firstgrad.fast.direct import Layout, compile_direct, open_graph
from firstgrad.fast.effort import Effort
from firstgrad.fast.gradient_function import FastGradient
from firstgrad.fast.require import require_jax

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from numpy.typing import NDArray


def fast_gradient(
    model: Any,
    *,
    initial_point: Mapping[str, Any] | None = None,
    effort: Effort | str = Effort.NORMAL,
    with_logp: bool = True,
) -> FastGradient:
    """Compile a model's log-density and gradient, with the least time to the first gradient that firstgrad knows of.

    PyTensor rewrites the log-density alone; JAX differentiates and compiles it as one function. PyTensor's gradient,
    its rewrites and its many compiled units are left out. Shared data are frozen at what they hold now.

    Parameters
    ----------
    model : pymc.Model
        Any with continuous variables, whose operations PyTensor knows in JAX.
    initial_point : mapping, optional
        Value name to array: where the first call is made, and discrete variables are held; the model's own where left
        out, which costs PyMC some time.
    effort : Effort or str
        How hard XLA tries: ``normal``, ``least`` for the soonest first gradient, ``full`` for XLA's default.
    with_logp : bool
        Whether calls shall return the log-density, as samplers need it; without, NaN stands in its place, and what it
        alone needs isn't compiled.

    Returns
    -------
    FastGradient
        Checked at the initial point: log-density and gradient are finite there. `firstgrad.check_gradient` compares it
        with PyTensor's own.

    Raises
    ------
    BackendUnavailable
        Where JAX isn't installed.
    ModelError
        Where the model has no continuous variables, an operation that JAX can't have or that has its own gradient; or
        where log-density or gradient aren't finite at the initial point, with the names of the values.
    """
    effort = Effort(effort)
    require_jax()
    if not model.continuous_value_vars:
        raise ModelError("the model has no continuous variables, so it has no gradient")
    point = initial_point if initial_point is not None else model.initial_point()
    from pytensor.compile.mode import JAX

    mode = with_parameter_checks(JAX, model)
    try:
        gradient = make_fast_gradient(model, model.logp(), point, effort, mode.optimizer.rewrite, with_logp=with_logp)
    except NotImplementedError as error:
        raise ModelError(
            f"this PyTensor has no JAX for a part of the model: {error}. Take another mode (model.compile_dlogp()), or "
            "register one with pytensor.link.jax.dispatch.jax_funcify"
        ) from error
    _require_finite(gradient, point, with_logp=with_logp)
    return gradient


def with_parameter_checks(mode: Any, model: Any) -> Any:
    """Have a mode treat the checks of parameters as PyMC's compile does: invalid ones give a log-density of -inf."""
    import pymc  # noqa: F401 - registers these rewrites

    is_checked = getattr(model, "check_bounds", True)
    return mode.including("local_check_parameter_to_ninf_switch" if is_checked else "local_remove_check_parameter")


def make_fast_gradient(
    model: Any,
    logp: Any,
    point: Mapping[str, Any],
    effort: Effort,
    rewrite: Callable[[Any], object],
    *,
    with_logp: bool = True,
) -> FastGradient:
    """Compile the gradient of a log-density that is written already; see `fast_gradient`.

    Parameters
    ----------
    model : pymc.Model
        The log-density's.
    logp : scalar tensor
        The log-density.
    point : mapping
        Value name to array, for shapes and held values.
    effort : Effort
        How hard XLA tries.
    rewrite : callable
        Rewrites the graph in place.
    with_logp : bool
        Whether calls shall return the log-density, or NaN in its place.
    """
    values, held = list(model.continuous_value_vars), list(model.discrete_value_vars)
    _require_fitting(point, [*values, *held])
    names = tuple(var.name for var in values)
    layout = Layout(shapes=tuple(np.shape(point[name]) for name in names))
    kept = {var.name: np.asarray(point[var.name], dtype=var.type.dtype) for var in held}
    gradient = FastGradient(model, kept, layout, names, with_logp=with_logp)
    start = gradient.flatten(point), list(gradient.get_extra_values().values())
    with _undisturbed():
        fgraph = open_graph(logp, values, held)
        rewrite(fgraph)
        functions = compile_direct(fgraph, layout, start, effort, with_logp=with_logp)
    gradient._function, gradient._compile_with = functions  # noqa: SLF001 - made here
    gradient.effort = effort
    return gradient


def _require_fitting(point: Mapping[str, Any], values: list[Any]) -> None:
    lacking = [var.name for var in values if var.name not in point]
    if lacking:
        raise ModelError(
            f"initial_point lacks {', '.join(lacking)}. It takes the names of values, as model.initial_point() has them"
        )
    for var in values:
        shape, wanted = np.shape(point[var.name]), var.type.shape
        if len(shape) != len(wanted) or any(n not in (None, m) for n, m in zip(wanted, shape, strict=True)):
            raise ModelError(f"initial_point has the shape {shape} for {var.name}, and the model has {wanted}")


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Spare what takes time and serves nothing here.

    Python's collector would look through all that imports have made, again and again; and PyTensor would note where in
    the code each of its passing nodes was made.
    """
    import pytensor

    was_enabled = gc.isenabled()
    gc.disable()
    try:
        with pytensor.config.change_flags(traceback__limit=0):
            yield
    finally:
        if was_enabled:
            gc.enable()


def _require_finite(gradient: FastGradient, point: Mapping[str, Any], *, with_logp: bool) -> None:
    logp, flat = gradient(gradient.flatten(point))
    if with_logp and not np.isfinite(logp):
        raise ModelError(f"the log-density is {logp} at the initial point. Give another initial_point")
    bad = _not_finite(gradient, flat)
    if bad:
        raise ModelError(
            f"the gradient isn't finite at the initial point, in {', '.join(bad)}. Look for where(mask, f(nan), 0): "
            "replace missing data by a finite stand-in before the arithmetic"
        )


def _not_finite(gradient: FastGradient, flat: NDArray[np.float64]) -> list[str]:
    parts = gradient.unflatten(flat)
    bad = {name: np.count_nonzero(~np.isfinite(part)) for name, part in parts.items()}
    return [f"{name} ({count} of {parts[name].size})" for name, count in bad.items() if count]
