"""``firstgrad.fast_gradient(model)``: the soonest first gradient of a PyMC model that firstgrad knows of."""

from __future__ import annotations

import functools
import threading
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from firstgrad.errors import ModelError
from firstgrad.fast.freezing import FROZEN_DATA, close_graph
from firstgrad.fast.function import FastGradient, GradientNote, Layout, Way
from firstgrad.fast.ways import Differentiable, is_there, undisturbed
from firstgrad.fast.xla import Effort, require_jax
from firstgrad.linting.refusals import explain_refusal, first_line

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from firstgrad.fast.function import Function

_REFUSALS = (NotImplementedError, TypeError, IndexError)
"""What PyTensor raises for an operation without JAX, and JAX for shapes that depend on values: it has no other way."""
_COMPILERS = {Way.PYTENSOR_JAX: "JAX", Way.NUMBA: "Numba", Way.C: "C"}


def fast_gradient(
    model: Any,
    *,
    initial_point: Mapping[str, Any] | None = None,
    effort: Effort | str = Effort.NORMAL,
    with_logp: bool = True,
) -> FastGradient:
    """Compile a model's log-density and gradient, with the least time to the first gradient that firstgrad knows of.

    What the log-density computes many times over is computed once, on arrays (`firstgrad.batch`); PyTensor rewrites it
    alone; JAX differentiates and compiles it as one function. PyTensor's gradient, its rewrites and its many compiled
    units are left out. Where JAX's own derivative is NaN at the initial point or would be another one, JAX compiles
    PyTensor's gradient instead; where JAX lacks an operation, Numba or C does. `FastGradient.way` says which it was.

    Shared data, shapes and random draws (``pm.Minibatch``) are frozen at what they are now.

    Parameters
    ----------
    model : pymc.Model
        Any with continuous variables.
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

    Warns
    -----
    GradientNote
        Where draws are held, or another way than JAX's own derivative was taken, and why.

    Raises
    ------
    BackendUnavailable
        Where JAX isn't installed.
    ModelError
        Where the model has no continuous variables, or an operation without a gradient; or where log-density or
        gradient aren't finite at the initial point, with the names of the values.
    """
    finish = begin_gradient(model, initial_point, effort=Effort(effort), with_logp=with_logp)
    gradient = finish(initial_point if initial_point is not None else model.initial_point())
    for note in gradient.notes:
        if not note.startswith(FROZEN_DATA):  # as all samplers of PyMC do
            warnings.warn(note, GradientNote, stacklevel=2)
    return gradient


def begin_gradient(
    model: Any, point: Mapping[str, Any] | None = None, *, effort: Effort = Effort.NORMAL, with_logp: bool = True
) -> Callable[[Mapping[str, Any]], FastGradient]:
    """Begin `fast_gradient`, up to XLA's compile, which goes on in a thread.

    `point` tells the shapes that the model's values don't tell; its own one where left out. Returns what ends it, which
    needs the initial point.
    """
    require_jax()
    making = _Making(model, point, effort, with_logp=with_logp)
    making.begin()
    return making.finish


def make_fast_gradient(
    model: Any,
    point: Mapping[str, Any],
    effort: Effort,
    *,
    logp: Any = None,
    rewrite: Callable[[Any], object] | None = None,
    with_logp: bool = True,
) -> FastGradient:
    """Compile JAX's own derivative of a model's log-density, or raise: no other way is taken.

    `point` tells shapes and held values by value name. `logp` is the log-density where it is written already; `rewrite`
    rewrites a graph in place, as PyTensor's mode for JAX where left out. Without `with_logp`, calls return NaN in the
    log-density's place.
    """
    making = _Making(model, point, effort, with_logp=with_logp, logp=logp)
    if own := making.work.density.own_gradient:
        raise ModelError(f"{_of_own_making(own)}: take PyTensor's gradient (backend jax, firstgrad.fast_gradient)")
    lowered = making.work.lower_direct(rewrite)
    return making.gradient(Way.JAX, making.work.function_of(lowered, effort), lowered, point)


class _Making:
    """A model's gradient in the making."""

    def __init__(
        self, model: Any, point: Mapping[str, Any] | None, effort: Effort, *, with_logp: bool, logp: Any = None
    ) -> None:
        if not model.continuous_value_vars:
            raise ModelError("the model has no continuous variables, so it has no gradient")
        self._values, self._held = list(model.continuous_value_vars), list(model.discrete_value_vars)
        variables = [*self._values, *self._held]
        if point is None and any(None in var.type.shape for var in variables):
            point = model.initial_point()
        if point is not None:
            _require_fitting(point, variables)
        shapes = {var: var.type.shape if point is None else np.shape(point[var.name]) for var in variables}
        self._effort = effort
        with undisturbed():
            density = close_graph([logp if logp is not None else model.logp()], shapes, self._held)
        layout = Layout(
            names=tuple(var.name for var in self._values), shapes=tuple(shapes[var] for var in self._values)
        )
        self.work = Differentiable(model=model, density=density, layout=layout, with_logp=with_logp)
        self._why: list[str] = []  # another way is taken
        self._direct: Any = None  # JAX's own derivative, lowered
        self._compiled: list[Function | Exception] = []
        self._thread: threading.Thread | None = None

    def begin(self) -> None:
        """Lower JAX's own derivative, and compile it in a thread."""
        if self.work.density.own_gradient:
            return
        try:
            self._direct = self.work.lower_direct()
        except Exception as error:  # noqa: BLE001 - another way has it, or its error is told
            self._compiled.append(error)
            return

        def compile_direct() -> None:
            try:
                self._compiled.append(self.work.function_of(self._direct, self._effort))
            except Exception as error:  # noqa: BLE001 - of XLA's, as above
                self._compiled.append(error)

        self._thread = threading.Thread(target=compile_direct, name="firstgrad-compile", daemon=True)
        self._thread.start()

    def finish(self, point: Mapping[str, Any]) -> FastGradient:
        """Take the first way that gives a finite gradient at a point, and raise where there is none."""
        _require_fitting(point, [*self._values, *self._held])
        if self._thread is not None:
            self._thread.join()
        errors: dict[Way, Exception] = {}
        not_finite: tuple[str, ...] = ()
        for way in Way:
            if not is_there(way) or self._is_hopeless(way, errors):
                continue
            try:
                gradient = self._by(way, point)
                logp, flat = gradient(gradient.flatten(point))
            except ModelError:
                raise
            except Exception as error:  # noqa: BLE001 - another way has it, or its error is told
                errors[way] = error
                continue
            if self.work.with_logp and not np.isfinite(logp):
                raise ModelError(f"the log-density is {logp} at the initial point. Give another initial_point")
            bad = _not_finite(gradient, flat)
            if not bad:
                return self._with_notes(gradient, errors, not_finite)
            not_finite = bad
            if way is not Way.JAX:  # PyTensor's own isn't either
                break
        if not_finite:
            raise ModelError(
                f"the gradient isn't finite at the initial point, in {', '.join(not_finite)}. Look for where(mask, "
                "f(nan), 0): replace missing data by a finite stand-in before the arithmetic"
            )
        reasons = "; ".join(f"{way}: {type(error).__name__}: {first_line(error)}" for way, error in errors.items())
        raise ModelError(f"no backend has the model's gradient ({reasons})")

    def _is_hopeless(self, way: Way, errors: Mapping[Way, Exception]) -> bool:
        if way is Way.JAX:
            return bool(self.work.density.own_gradient)
        # What JAX doesn't take of the log-density it doesn't take of the gradient either.
        return way is Way.PYTENSOR_JAX and isinstance(errors.get(Way.JAX), _REFUSALS)

    def _by(self, way: Way, point: Mapping[str, Any]) -> FastGradient:
        lowered: Any = None
        if way is Way.JAX:
            (function,), lowered = self._compiled, self._direct
            if isinstance(function, Exception):
                raise function
        elif way is Way.PYTENSOR_JAX:
            lowered = self.work.lower_differentiated()
            function = self.work.function_of(lowered, self._effort)
        else:
            function = self.work.compile_by_pytensor(way)
        return self.gradient(way, function, lowered, point)

    def gradient(self, way: Way, function: Function, lowered: Any, point: Mapping[str, Any]) -> FastGradient:
        """Make what is called."""
        return FastGradient(
            self.work.model,
            self.work.layout,
            {var.name: np.asarray(point[var.name], dtype=var.type.dtype) for var in self._held},
            function,
            functools.partial(self.work.function_of, lowered) if way.is_by_jax else None,
            way=way,
            notes=self.work.density.notes,
            effort=self._effort,
            with_logp=self.work.with_logp,
        )

    def _with_notes(
        self, gradient: FastGradient, errors: Mapping[Way, Exception], not_finite: tuple[str, ...]
    ) -> FastGradient:
        """Say why another way was taken."""
        if gradient.way is Way.JAX:
            return gradient
        why = [_explain(error, self.work.model) for error in errors.values()]
        if not_finite:
            why.insert(0, f"JAX's own derivative isn't finite at the initial point, in {', '.join(not_finite)}")
        if own := self.work.density.own_gradient:
            why.insert(0, _of_own_making(own))
        by = (
            f"compiled by {_COMPILERS[gradient.way]}" if gradient.way in _COMPILERS else "in Python, without a compiler"
        )
        gradient.notes = (f"{'; '.join(why)}: this is PyTensor's gradient, {by}", *gradient.notes)
        return gradient


def _explain(error: Exception, model: Any) -> str:
    reason, _ = explain_refusal(error, model)
    return reason or f"{type(error).__name__}: {first_line(error)}"


def _of_own_making(operation: str) -> str:
    return (
        f"the model's graph holds {operation}, which has a gradient of its own making, and JAX differentiates what is "
        "computed and would not know of it"
    )


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


def _not_finite(gradient: FastGradient, flat: Any) -> tuple[str, ...]:
    parts = gradient.unflatten(flat)
    bad = {name: np.count_nonzero(~np.isfinite(part)) for name, part in parts.items()}
    return tuple(f"{name} ({count} of {parts[name].size})" for name, count in bad.items() if count)
