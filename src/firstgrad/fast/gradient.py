"""``firstgrad.fast_gradient(model)``: the soonest first gradient of a PyMC model that firstgrad knows of."""

from __future__ import annotations

import gc
import math
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from firstgrad.errors import ModelError
from firstgrad.fast.freezing import open_graph
from firstgrad.fast.function import FastGradient, Layout, Way
from firstgrad.fast.xla import Effort, compile_lowered, require_jax, write_function
from firstgrad.linting.refusals import explain_refusal
from firstgrad.linting.values import with_parameter_checks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray


def fast_gradient(
    model: Any,
    *,
    initial_point: Mapping[str, Any] | None = None,
    effort: Effort | str = Effort.NORMAL,
    with_logp: bool = True,
) -> FastGradient:
    """Compile a model's log-density and gradient, with the least time to the first gradient that firstgrad knows of.

    What the log-density computes many times over is computed once, on arrays (`firstgrad.batch`); PyTensor rewrites it
    alone; JAX differentiates and compiles it as one function. PyTensor's gradient,
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
    try:
        gradient = make_fast_gradient(model, point, effort, with_logp=with_logp)
    except NotImplementedError as error:
        raise ModelError(
            explain_refusal(error, model)
            or f"this PyTensor has no JAX for a part of the model: {error}. Take another mode (model.compile_dlogp()), "
            "or register one with pytensor.link.jax.dispatch.jax_funcify"
        ) from error
    _require_finite(gradient, point, with_logp=with_logp)
    return gradient


def make_fast_gradient(
    model: Any,
    point: Mapping[str, Any],
    effort: Effort,
    *,
    logp: Any = None,
    rewrite: Callable[[Any], object] | None = None,
    with_logp: bool = True,
) -> FastGradient:
    """Compile JAX's own derivative of a model's log-density, or raise; see `fast_gradient`.

    `point` tells shapes and held values by value name. `logp` is the log-density where it is written already; `rewrite`
    rewrites a graph in place, as PyTensor's mode for JAX where left out. Without `with_logp`, calls return NaN in the
    log-density's place.
    """
    values, held = list(model.continuous_value_vars), list(model.discrete_value_vars)
    _require_fitting(point, [*values, *held])
    names = tuple(var.name for var in values)
    layout = Layout(names=names, shapes=tuple(np.shape(point[name]) for name in names))
    kept = {var.name: np.asarray(point[var.name], dtype=var.type.dtype) for var in held}
    with _undisturbed():
        fgraph, sources = open_graph(logp if logp is not None else model.logp(), values, held)
        (rewrite or _rewrites(model))(fgraph)
        cut = layout.cutter([[names.index(one.name) for one in source] for source in sources])
        start = layout.flatten(point), list(kept.values())
        function, compile_with = _compile_direct(fgraph, cut, start, effort, with_logp=with_logp)
    return FastGradient(model, layout, kept, function, compile_with, way=Way.JAX, effort=effort, with_logp=with_logp)


def _rewrites(model: Any) -> Callable[[Any], object]:
    from pytensor.compile.mode import JAX

    return with_parameter_checks(JAX, model).optimizer.rewrite  # type: ignore[no-any-return]  # PyTensor has no types


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


def _compile_direct(
    fgraph: Any,
    cut: Callable[[Any], list[Any]],
    start: tuple[NDArray[np.float64], Sequence[Any]],
    effort: Effort,
    *,
    with_logp: bool,
) -> tuple[Callable[..., tuple[Any, Any]], Callable[[Effort], Callable[..., tuple[Any, Any]]]]:
    """Trace, differentiate and compile a rewritten log-density; `cut` makes inputs of a flat vector, held ones follow.

    Returns a function from a flat vector and held values to the log-density (NaN where it isn't wanted, and what it
    alone needs isn't compiled) and its flat gradient; and one that compiles the same again with another effort.
    """
    import jax

    write = write_function(fgraph)

    def logp(vector: Any, *held: Any) -> Any:
        return write(*cut(vector), *held)[0]

    vector, held = start
    differentiated = jax.value_and_grad(logp) if with_logp else jax.grad(logp)
    lowered = jax.jit(differentiated).lower(vector, *held)

    def compile_with(effort: Effort) -> Callable[..., tuple[Any, Any]]:
        compiled = compile_lowered(lowered, effort)
        if with_logp:
            return compiled
        return lambda vector, *held: (math.nan, compiled(vector, *held))

    return compile_with(effort), compile_with
