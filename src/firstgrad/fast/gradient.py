"""``firstgrad.fast_gradient(model)``: the soonest first gradient of a PyMC model that firstgrad knows of."""

from __future__ import annotations

import threading
import warnings
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from firstgrad.errors import ModelError
from firstgrad.fast.digest import of_model
from firstgrad.fast.freezing import FROZEN_DATA, close_graph
from firstgrad.fast.function import FastGradient, GradientNote, Layout, Way, as_function
from firstgrad.fast.kept import Entry, Made
from firstgrad.fast.starts import StartPoints
from firstgrad.fast.ways import Differentiable, is_there, undisturbed
from firstgrad.fast.xla import Effort, compile_lowered, require_jax
from firstgrad.linting.refusals import explain_refusal, first_line

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from firstgrad.fast.digest import Digest
    from firstgrad.fast.function import Function
    from firstgrad.fast.kept import Function as KeptFunction


class NotByJaxError(ModelError):
    """JAX can have neither its own derivative of a model nor PyTensor's."""


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

    Shared data, shapes and random draws (``pm.Minibatch``) are frozen at what they are now. The executable is kept in
    the user's cache folder under a digest of all that it hangs on, and the next process loads it: `FastGradient.kept`.

    Parameters
    ----------
    model : pymc.Model
        Any with continuous variables.
    initial_point : mapping, optional
        Value name to array: where the first call is made, and discrete variables are held; the model's own where left
        out.
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
        Where the model has no continuous variables, or an operation without a gradient; or where log-density or
        gradient aren't finite at the initial point, with the names of the values.

    Warns
    -----
    GradientNote
        Where draws are held, or another way than JAX's own derivative was taken, and why.
    """
    gradient = begin_gradient(model, initial_point, effort=Effort(effort), with_logp=with_logp)(initial_point)
    tell_notes(gradient, stacklevel=3)
    return gradient


def tell_notes(gradient: FastGradient, stacklevel: int) -> None:
    """Warn of a gradient's notes but for frozen data, which all samplers of PyMC freeze."""
    for note in gradient.notes:
        if not note.startswith(FROZEN_DATA):
            warnings.warn(note, GradientNote, stacklevel=stacklevel)


def begin_gradient(
    model: Any,
    point: Mapping[str, Any] | None = None,
    *,
    effort: Effort = Effort.NORMAL,
    with_logp: bool = True,
    digest: Digest | None = None,
    by_jax: bool = False,
) -> Callable[[Mapping[str, Any] | None], FastGradient]:
    """Begin `fast_gradient`, up to XLA's compile, which goes on in a thread, or load what a former process kept.

    `point` tells the shapes that the model's values don't tell; its own one where left out. Returns what ends it, which
    takes the initial point; where it gets none, the model's own, which isn't computed where a function was loaded.
    `digest` is the model's where it is known. With `by_jax`, NotByJaxError is raised where JAX has no way, and nothing
    else compiles.
    """
    require_jax()
    with undisturbed():
        digest = of_model(model, point) if digest is None else digest
        entry = gradient_entry(digest, effort, with_logp=with_logp)
        function = entry.load()

    def begin(known: KeptFunction | None = None) -> _Making:
        making = _Making(model, point, effort, with_logp=with_logp, logp=digest.logp, known=known, by_jax=by_jax)
        making.begin()
        return making

    if function is None or not Way(function.facts["way"]).is_by_jax:
        if by_jax and function is not None:
            raise NotByJaxError(next(iter(function.facts["notes"]), "JAX has no way"))
        making = begin(function)
        return lambda start: making.finish(StartPoints(model).plain() if start is None else start, entry)

    def finish(start: Mapping[str, Any] | None) -> FastGradient:
        gradient = loaded_gradient(model, function, start, effort, with_logp=with_logp)
        if start is None or _is_finite(gradient(gradient.flatten(start)), with_logp=with_logp):
            return gradient
        return begin().finish(start)  # another way may be finite there, or it says what isn't

    return finish


def gradient_entry(digest: Digest, effort: Effort, *, with_logp: bool) -> Entry:
    """Return where a model's gradient is kept."""
    return Entry(digest, f"gradient-{effort}{'' if with_logp else '-alone'}")


def loaded_gradient(
    model: Any, function: KeptFunction, start: Mapping[str, Any] | None, effort: Effort, *, with_logp: bool
) -> FastGradient:
    """Make of a function that was loaded what is called; discrete variables are held where they are at `start`."""
    facts = function.facts
    layout = Layout(names=tuple(facts["names"]), shapes=tuple(map(tuple, facts["shapes"])))
    held = dict(zip(facts["held"], function.arguments[1:], strict=True))
    if start is not None:
        _require_fitting(start, [*model.continuous_value_vars, *model.discrete_value_vars])
        held = {name: np.asarray(start[name], dtype=value.dtype) for name, value in held.items()}
    way = Way(facts["way"])
    return FastGradient(
        model,
        layout,
        held,
        as_function(function.call, with_logp=with_logp),
        lambda effort: _Making(model, start, effort, with_logp=with_logp).function(way, effort),
        way=way,
        notes=facts["notes"],
        effort=effort,
        with_logp=with_logp,
        kept=function.kept,
    )


def make_fast_gradient(
    model: Any,
    point: Mapping[str, Any],
    effort: Effort,
    *,
    logp: Any = None,
    rewrite: Callable[[Any], object] | None = None,
    with_logp: bool = True,
    entry: Entry | None = None,
) -> FastGradient:
    """Compile JAX's own derivative of a model's log-density, or raise: no other way is taken.

    `point` tells shapes and held values by value name. `logp` is the log-density where it is written already; `rewrite`
    rewrites a graph in place, as PyTensor's mode for JAX where left out. Without `with_logp`, calls return NaN in the
    log-density's place. It is kept where an `entry` is given.
    """
    making = _Making(model, point, effort, with_logp=with_logp, logp=logp)
    if own := making.work.density.own_gradient:
        raise ModelError(f"{_of_own_making(own)}: take PyTensor's gradient (backend jax, firstgrad.fast_gradient)")
    making.lower(Way.JAX, rewrite)
    gradient = making.gradient(Way.JAX, point)
    return gradient if entry is None else making.keep(gradient, point, entry)


class _Making:
    """A model's gradient in the making."""

    def __init__(
        self,
        model: Any,
        point: Mapping[str, Any] | None,
        effort: Effort,
        *,
        with_logp: bool,
        logp: Any = None,
        known: KeptFunction | None = None,
        by_jax: bool = False,
    ) -> None:
        if not model.continuous_value_vars:
            raise ModelError("the model has no continuous variables, so it has no gradient")
        self._values, self._held = list(model.continuous_value_vars), list(model.discrete_value_vars)
        variables = [*self._values, *self._held]
        if point is None and any(None in var.type.shape for var in variables):
            point = StartPoints(model).plain()
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
        # That JAX has no way is kept, too.
        self._ways, self._notes = tuple(way for way in Way if way.is_by_jax or not by_jax), tuple[str, ...]()
        if known is not None and is_there(way := Way(known.facts["way"])):
            self._ways = (way, *(one for one in Way if one is not way))
            self._notes = tuple(known.facts["notes"])
        self._lowered: dict[Way, Any] = {}
        self._compiled: dict[Way, Any] = {}  # JAX's executables, or why there is none
        self._thread: threading.Thread | None = None

    def begin(self) -> None:
        """Lower JAX's own derivative, and compile it in a thread."""
        if self.work.density.own_gradient or self._ways[0] is not Way.JAX:
            return
        try:
            self.lower(Way.JAX)
        except Exception as error:  # noqa: BLE001 - another way has it, or its error is told
            self._compiled[Way.JAX] = error
            return

        def compile_direct() -> None:
            try:
                self._compile(Way.JAX)
            except Exception as error:  # noqa: BLE001 - of XLA's, as above
                self._compiled[Way.JAX] = error

        self._thread = threading.Thread(target=compile_direct, name="firstgrad-compile", daemon=True)
        self._thread.start()

    def lower(self, way: Way, rewrite: Callable[[Any], object] | None = None) -> Any:
        """Have JAX lower what it is to compile; None where it is to compile nothing."""
        if way.is_by_jax and way not in self._lowered:
            work = self.work
            self._lowered[way] = work.lower_direct(rewrite) if way is Way.JAX else work.lower_differentiated()
        return self._lowered.get(way)

    def _compile(self, way: Way) -> Any:
        if way not in self._compiled:
            self._compiled[way] = compile_lowered(self.lower(way), self._effort)
        return self._compiled[way]

    def function(self, way: Way, effort: Effort) -> Function:
        """Compile with another effort."""
        return as_function(compile_lowered(self.lower(way), effort), with_logp=self.work.with_logp)

    def finish(self, point: Mapping[str, Any], entry: Entry | None = None) -> FastGradient:
        """Take the first way that gives a finite gradient at a point, and keep it; raise where there is none."""
        _require_fitting(point, [*self._values, *self._held])
        if self._thread is not None:
            self._thread.join()
        errors: dict[Way, Exception] = {}
        not_finite: tuple[str, ...] = ()
        for way in self._ways:
            if not is_there(way) or self._is_hopeless(way, errors):
                continue
            try:
                gradient = self.gradient(way, point)
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
                gradient = self._with_notes(gradient, errors, not_finite)
                return gradient if entry is None else self.keep(gradient, point, entry)
            not_finite = bad
            if way is not Way.JAX:  # PyTensor's own isn't either
                break
        raise self._why_none(errors, not_finite)

    def _why_none(self, errors: Mapping[Way, Exception], not_finite: tuple[str, ...]) -> ModelError:
        if not_finite:
            return ModelError(
                f"the gradient isn't finite at the initial point, in {', '.join(not_finite)}; PyTensor's isn't either. "
                "`firstgrad check` names the operation. Often it is where(mask, f(nan), 0): replace missing data by a "
                "finite stand-in before the arithmetic; or a power of zero"
            )
        if all(way.is_by_jax for way in self._ways):
            return NotByJaxError("; ".join(_explain(error, self.work.model) for error in errors.values()))
        reasons = "; ".join(f"{way}: {type(error).__name__}: {first_line(error)}" for way, error in errors.items())
        return ModelError(f"no backend has the model's gradient ({reasons})")

    def _is_hopeless(self, way: Way, errors: Mapping[Way, Exception]) -> bool:
        if way is Way.JAX:
            return bool(self.work.density.own_gradient)
        # What JAX doesn't take of the log-density it doesn't take of the gradient either.
        return way is Way.PYTENSOR_JAX and isinstance(errors.get(Way.JAX), _REFUSALS)

    def gradient(self, way: Way, point: Mapping[str, Any]) -> FastGradient:
        """Compile, and make what is called."""
        if isinstance(error := self._compiled.get(way), Exception):
            raise error
        is_by_jax, with_logp = self.lower(way) is not None, self.work.with_logp
        return FastGradient(
            self.work.model,
            self.work.layout,
            {var.name: np.asarray(point[var.name], dtype=var.type.dtype) for var in self._held},
            as_function(self._compile(way), with_logp=with_logp) if is_by_jax else self.work.compile_by_pytensor(way),
            partial(self.function, way) if is_by_jax else None,
            way=way,
            notes=self.work.density.notes,
            effort=self._effort,
            with_logp=with_logp,
        )

    def keep(self, gradient: FastGradient, point: Mapping[str, Any], entry: Entry) -> FastGradient:
        """Keep what was made for the next process."""
        held = gradient.get_extra_values()
        made = Made(
            compiled=self._compiled.get(gradient.way),
            arguments=(gradient.flatten(point), *held.values()),
            facts={
                "way": gradient.way,
                "notes": gradient.notes,
                "names": gradient.names,
                "shapes": gradient.shapes,
                "held": tuple(held),
            },
            reason="what the log-density draws is held, and another process draws something else"
            if self.work.density.is_drawn
            else "",
        )
        gradient.kept = entry.keep(made).kept
        if not gradient.way.is_by_jax:
            gradient.kept = f"not kept: what {gradient.way} compiles, PyTensor keeps itself, if at all"
        return gradient

    def _with_notes(
        self, gradient: FastGradient, errors: Mapping[Way, Exception], not_finite: tuple[str, ...]
    ) -> FastGradient:
        """Say why another way was taken."""
        if self._notes and gradient.way is self._ways[0]:
            gradient.notes = self._notes
            return gradient
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
    refuser = "PyTensor has no JAX for a part of the model" if isinstance(error, NotImplementedError) else "JAX fails"
    return reason or f"{refuser} ({first_line(error)})"


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


def _is_finite(answer: tuple[Any, Any], *, with_logp: bool) -> bool:
    logp, flat = answer
    return bool(np.isfinite(flat).all()) and (not with_logp or bool(np.isfinite(logp)))


def _not_finite(gradient: FastGradient, flat: Any) -> tuple[str, ...]:
    parts = gradient.unflatten(flat)
    bad = {name: np.count_nonzero(~np.isfinite(part)) for name, part in parts.items()}
    return tuple(f"{name} ({count} of {parts[name].size})" for name, count in bad.items() if count)
