"""``firstgrad.fast_gradient(model)``: the soonest first gradient of a PyMC model that firstgrad knows of."""

from __future__ import annotations

import gc
import math
import os
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from firstgrad.errors import ModelError
from firstgrad.fast.batching import batch
from firstgrad.fast.xla import Effort, compile_lowered, require_jax, write_function
from firstgrad.linting.refusals import explain_refusal
from firstgrad.linting.values import random_operations, with_parameter_checks
from firstgrad.observe import probes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

_NOT_DERIVATIVES = ("DisconnectedGrad", "ZeroGrad", "GradClip", "GradScale", "UndefinedGrad")
_OVERRIDES = ("pullback_overrides", "lop_overrides", "grad_overrides")  # the newest name first


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
    from pytensor.compile.mode import JAX

    mode = with_parameter_checks(JAX, model)
    try:
        gradient = make_fast_gradient(model, model.logp(), point, effort, mode.optimizer.rewrite, with_logp=with_logp)
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
    logp: Any,
    point: Mapping[str, Any],
    effort: Effort,
    rewrite: Callable[[Any], object],
    *,
    with_logp: bool = True,
) -> FastGradient:
    """Compile the gradient of a log-density that is written already; see `fast_gradient`.

    `point` tells shapes and held values by value name; `rewrite` rewrites the graph in place; without `with_logp`,
    calls return NaN in the log-density's place.
    """
    values, held = list(model.continuous_value_vars), list(model.discrete_value_vars)
    _require_fitting(point, [*values, *held])
    names = tuple(var.name for var in values)
    layout = Layout(shapes=tuple(np.shape(point[name]) for name in names))
    kept = {var.name: np.asarray(point[var.name], dtype=var.type.dtype) for var in held}
    gradient = FastGradient(model, kept, layout, names, with_logp=with_logp)
    start = gradient.flatten(point), list(gradient.get_extra_values().values())
    with _undisturbed():
        fgraph, sources = _open_graph(logp, values, held)
        rewrite(fgraph)
        cut = layout.cutter([[names.index(one.name) for one in source] for source in sources])
        functions = _compile_direct(fgraph, cut, start, effort, with_logp=with_logp)
    gradient._function, gradient._compile_with = functions  # noqa: SLF001 - made here
    gradient.effort = effort
    return gradient


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """How a flat vector is cut."""

    shapes: tuple[tuple[int, ...], ...]  # of the differentiated values, in order

    @property
    def size(self) -> int:
        """Length of the flat vector."""
        return sum(int(np.prod(shape)) for shape in self.shapes)

    def cutter(self, wanted: Sequence[Sequence[int]]) -> Callable[[Any], list[Any]]:
        """Make a function that cuts a vector into stacks of these arrays; of one array alone there is no stack."""
        sizes = [int(np.prod(shape)) for shape in self.shapes]
        begins = [0, *np.cumsum(sizes).tolist()]
        places = [
            np.concatenate([np.arange(begins[number], begins[number] + sizes[number]) for number in numbers])
            for numbers in wanted
        ]

        def cut(vector: Any) -> list[Any]:
            parts = []
            for numbers, where in zip(wanted, places, strict=True):
                shape = self.shapes[numbers[0]]
                is_whole = len(where) > 0 and (np.diff(where) == 1).all()
                part = vector[where[0] : where[-1] + 1] if is_whole else vector[where]
                parts.append(part.reshape(shape if len(numbers) == 1 else (len(numbers), *shape)))
            return parts

        return cut

    def cut(self, vector: Any) -> list[Any]:
        """Cut a NumPy or JAX vector into arrays."""
        parts, begin = [], 0
        for shape in self.shapes:
            end = begin + int(np.prod(shape))
            parts.append(vector[begin:end].reshape(shape))
            begin = end
        return parts


class _HeldValue:
    """A discrete variable's value, as PyMC's step methods set the shared variables of theirs."""

    def __init__(self, held: dict[str, Any], name: str) -> None:
        self._held, self._name = held, name

    def set_value(self, value: Any, borrow: bool = False) -> None:  # noqa: ARG002 - PyTensor's signature
        """Set it."""
        self._held[self._name] = np.asarray(value, dtype=self._held[self._name].dtype)

    def get_value(self, borrow: bool = False) -> Any:  # noqa: ARG002 - PyTensor's signature
        """Return it."""
        return self._held[self._name]


class FastGradient:
    """A model's log-density and gradient as one compiled JAX function; made by `fast_gradient`.

    Call it with a flat vector (or what PyMC's samplers pass) and get ``(logp, gradient)``. It also has what PyMC's step
    methods ask of ``logp_dlogp_func``; but with a step of one's own ``pm.sample`` leaves nutpie, and starts all chains
    at one point. ``pm.sample(backend="jax", compile_kwargs={"gradient_backend": "jax"})`` differentiates alike.

    Attributes
    ----------
    names : tuple of str
        Differentiated values, in the order of the flat vector.
    shapes : tuple of tuple of int
        Theirs.
    effort : Effort
        With which the function that is called now was compiled.
    with_logp : bool
        Whether calls return the log-density; NaN stands in its place otherwise.
    """

    # What PyMC's GradientSharedStep and leapfrog integrator read of a ValueGradFunction.
    dtype = "float64"
    _raveled_inputs = True

    def __init__(
        self, model: Any, held: Mapping[str, Any], layout: Layout, names: tuple[str, ...], *, with_logp: bool
    ) -> None:
        self.model, self.names, self.shapes, self._layout = model, names, layout.shapes, layout
        self.effort, self.with_logp = Effort.NORMAL, with_logp
        self._held = {name: np.asarray(value) for name, value in held.items()}
        self._process = os.getpid()
        self._function: Callable[..., tuple[Any, Any]]
        self._compile_with: Callable[[Effort], Callable[..., tuple[Any, Any]]]

    @property
    def size(self) -> int:
        """Length of the flat vector."""
        return self._layout.size

    def __call__(
        self,
        vector: Any,
        grad_out: NDArray[np.float64] | None = None,
        extra_vars: Mapping[str, Any] | None = None,
    ) -> Any:
        """Compute the log-density and its gradient.

        Parameters
        ----------
        vector : array, shape (size,)
            The values on the transformed space, one after the other; or a sequence that holds just this array, or
            PyMC's ``RaveledVars``.
        grad_out : array, shape (size,), optional
            Where the gradient goes; up to PyMC 5.18 the integrator gives one.
        extra_vars : mapping, optional
            New values of discrete variables, by value name.

        Returns
        -------
        tuple of (float, array), or float
            The log-density, and the gradient, shape (size,); the log-density alone where `grad_out` takes the gradient.
        """
        if extra_vars is not None:
            self.set_extra_values(extra_vars)
        if hasattr(vector, "point_map_info"):
            vector = vector.data
        elif not isinstance(vector, np.ndarray) and np.ndim(vector) > 1:
            (vector,) = vector
        logp, gradient = self._pytensor_function(vector)
        if grad_out is None:
            return logp, gradient
        np.copyto(grad_out, gradient)
        return logp

    def _pytensor_function(self, vector: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        # The name under which PyMC's leapfrog integrator takes the bare function.
        if os.getpid() != self._process:
            raise ModelError(
                "JAX doesn't survive a fork, and this process was forked after the gradient was compiled. Sample with "
                "cores=1, or make the gradient within each process"
            )
        logp, gradient = self._function(np.asarray(vector, dtype=np.float64), *self._held.values())
        return float(logp), np.array(gradient)  # JAX's own may not be written to

    def __reduce__(self) -> Any:
        raise ModelError(
            "a compiled gradient can't be sent to another process. Sample with cores=1, or call "
            "firstgrad.fast_gradient(model) within that process"
        )

    @property
    def _extra_vars_shared(self) -> dict[str, Any]:
        return {name: _HeldValue(self._held, name) for name in self._held}

    def set_extra_values(self, extra_vars: Mapping[str, Any]) -> None:
        """Give discrete variables new values, by value name."""
        for name in self._held:
            if name in extra_vars:
                self._held[name] = np.asarray(extra_vars[name], dtype=self._held[name].dtype)

    def get_extra_values(self) -> dict[str, Any]:
        """Return the values at which discrete variables are held."""
        return dict(self._held)

    def flatten(self, point: Mapping[str, Any]) -> NDArray[np.float64]:
        """Bring a point, value name to array, into a flat vector."""
        parts = [np.asarray(point[name], dtype=np.float64).ravel() for name in self.names]
        return np.concatenate(parts) if parts else np.zeros(0)

    def unflatten(self, vector: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        """Cut a flat vector into arrays by value name."""
        return dict(zip(self.names, self._layout.cut(vector), strict=True))

    def improve(self, effort: Effort | str = Effort.FULL, *, wait: bool = True) -> threading.Thread | None:
        """Compile again with more effort; calls use the new function as soon as it is there.

        The last digits of results may change with it, so a run that shall be repeatable waits. Without `wait` it goes
        on in a thread, which is returned.
        """
        effort = Effort(effort)

        def compile_and_swap() -> None:
            self._function = self._compile_with(effort)
            self.effort = effort

        if wait:
            compile_and_swap()
            return None
        thread = threading.Thread(target=compile_and_swap, name="firstgrad-improve", daemon=True)
        thread.start()
        return thread


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


def _open_graph(logp: Any, values: Sequence[Any], held: Sequence[Any]) -> tuple[Any, list[tuple[Any, ...]]]:
    """Make a graph of the log-density that rewrites may change, shared variables frozen at what they hold now.

    With it, of which values its inputs are, but for the held ones in the end: each of one, or a stack of several.

    Raises ModelError where an operation of the graph changes its own gradient (``disconnected_grad`` or the like, or an
    ``OpFromGraph`` with a gradient of its own): JAX would not know of it.
    """
    import pytensor.tensor as pt
    from pytensor.compile.sharedvalue import SharedVariable
    from pytensor.graph.fg import FunctionGraph
    from pytensor.graph.replace import clone_replace

    above = _ancestors([logp])
    for variable in above:
        _refuse_own_gradient(variable)
    if drawn := random_operations([logp]):
        raise ModelError(
            f"the log-density draws anew in each call ({', '.join(drawn)}), which JAX's own function can't. Take "
            "another backend (jax, numba)"
        )
    shared = {variable: pt.constant(variable.get_value()) for variable in above if isinstance(variable, SharedVariable)}
    if shared:
        (logp,) = clone_replace([logp], replace=shared)
    stacks: dict[tuple[Any, ...], Any] = {}

    def stack(several: tuple[Any, ...]) -> Any:
        if not set(several) <= set(values):
            return None
        kind = several[0].type
        return stacks.setdefault(several, pt.tensor(dtype=kind.dtype, shape=(len(several), *kind.shape)))

    (logp,) = batch([logp], stack=stack)
    inputs = [*values, *stacks.values(), *held]
    return FunctionGraph(inputs, [logp], clone=True), [*((one,) for one in values), *stacks]


def _ancestors(outputs: Sequence[Any]) -> list[Any]:
    return list(probes.ANCESTORS.find()(outputs))


def _refuse_own_gradient(variable: Any) -> None:
    node = variable.owner
    if node is None:
        return
    name = type(node.op).__name__
    # Subclasses are the libraries' own, whose gradients are derivatives.
    is_overridden = name == "OpFromGraph" and any(getattr(node.op, attribute, None) for attribute in _OVERRIDES)
    if name in _NOT_DERIVATIVES or is_overridden:
        raise ModelError(
            f"the model's graph holds {node.op}, which has a gradient of its own making. JAX differentiates what is "
            "computed and would not know of it: take PyTensor's gradient (backend jax, or firstgrad.fast_mode())"
        )
    # Graphs within the graph: a Scan's step, an OpFromGraph.
    inner = getattr(node.op, "fgraph", None)
    for within in _ancestors(inner.outputs) if inner is not None else ():
        _refuse_own_gradient(within)


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
