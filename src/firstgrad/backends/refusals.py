"""What cannot be measured of a user's model, said with the way out. Child side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from firstgrad.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from firstgrad.case import ExternalModel
    from firstgrad.models.external import Built
    from firstgrad.points import Point

_ERROR_CHARACTERS = 200
_GRADIENT_METHODS = ("grad", "L_op", "pullback")


def require_continuous(model: Any, reference: str) -> None:
    """Refuse a model that has nothing to differentiate.

    Raises
    ------
    ModelError
        Where all of its free variables are discrete.
    """
    if not model.continuous_value_vars:
        names = ", ".join(var.name for var in model.discrete_value_vars)
        raise ModelError(
            f"{reference}: the model has only discrete variables ({names}), which have no gradient. Marginalise some "
            "out (pymc_extras.marginalize), or sample it without one (pm.Metropolis), which firstgrad doesn't measure"
        )


def fit_start(built: Built, external: ExternalModel) -> Point | None:
    """Bring the start point that a factory gave to the types of the model's values.

    Returns
    -------
    Point or None
        None where it gave none.

    Raises
    ------
    ModelError
        Where names, shapes or whole numbers don't fit the model.
    """
    if built.initial is None:
        return None
    values = {var.name: var for var in built.model.value_vars}
    wanted, given = set(values), set(built.initial)
    if wanted != given:
        lacking, unknown = ", ".join(sorted(wanted - given)), ", ".join(sorted(given - wanted))
        raise ModelError(
            f"{external.reference}: its initial point lacks [{lacking}] and has unknown [{unknown}]. Use the names "
            "of the transformed values, as model.initial_point() gives them"
        )
    return {name: _fit_value(external, name, built.initial[name], var.type) for name, var in values.items()}


def _fit_value(external: ExternalModel, name: str, value: Any, kind: Any) -> Any:
    given = np.asarray(value)
    fits = given.ndim == len(kind.shape) and all(
        size in (None, own) for size, own in zip(kind.shape, given.shape, strict=True)
    )
    if not fits:
        raise ModelError(
            f"{external.reference}: its initial point has shape {given.shape} for {name!r}, the model {kind.shape}"
        )
    if given.dtype.kind not in "biuf":
        raise ModelError(f"{external.reference}: its initial point has {given.dtype} for {name!r}, not numbers")
    fitted = given.astype(kind.dtype)
    if fitted.dtype.kind in "biu" and not np.array_equal(fitted, given):
        raise ModelError(
            f"{external.reference}: {name!r} is discrete, and its initial point has {given!r} for it, not whole numbers"
        )
    return fitted


def explain_gradient(error: Exception, cost: Any, values: list[Any]) -> ModelError:
    """Say of which operation PyTensor cannot write the gradient.

    Parameters
    ----------
    error : Exception
        What PyTensor raised.
    cost : variable
        The log-density.
    values : list of variable
        With respect to which it was differentiated.
    """
    between = {type(op).__name__: op for op in _ops_between(cost, values)}
    names = [name for name, op in between.items() if not _has_gradient(op)]
    names = names or [name for name in between if name in str(error)]
    which = f"the Op {', '.join(sorted(names))} has none" if names else f"{type(error).__name__}"
    return ModelError(
        f"PyTensor cannot write the gradient: {which} ({first_line(error)}). Give the Op a `pullback` (before PyTensor "
        "3: `L_op` or `grad`), or write it as a JAX function and wrap that with `pytensor.wrap_jax`. Without a "
        "gradient only samplers such as pm.Slice and pm.DEMetropolisZ can sample the model, and there is nothing to "
        "measure"
    )


def explain_not_static(error: Exception, model: Any) -> ModelError:
    """Say what JAX must know before it compiles, and which mutable data hide it."""
    data = [var.name for var in getattr(model, "data_vars", ()) if None in getattr(var.type, "shape", ())]
    cure = ""
    if data:
        cure = (
            f"The data {', '.join(sorted(data))} have no static shape: write pm.Data(name, values, "
            "shape=values.shape), or use the array itself. "
        )
    return ModelError(
        f"JAX must know every shape before it compiles, and here one depends on values ({first_line(error)}). {cure}A "
        "boolean mask, or a range whose length is a value: make it with NumPy outside of the graph, or use "
        "pm.math.switch. Other backends can: --backend numba"
    )


def first_line(error: BaseException) -> str:
    """Cut an error's message to what fits into a sentence."""
    text = " ".join((str(error).strip() or type(error).__name__).partition("\n")[0].split()).rstrip(".")
    return text if len(text) <= _ERROR_CHARACTERS else f"{text[:_ERROR_CHARACTERS]}..."


def _has_gradient(op: Any) -> bool:
    from pytensor.graph.op import Op

    # PyTensor's own are written in many ways (an inner graph, a base class of another method): only a class that
    # leaves all of them as they are has none.
    return any(
        getattr(type(op), name, None) is not getattr(Op, name, None) for name in _GRADIENT_METHODS if hasattr(Op, name)
    )


def _ops_between(cost: Any, values: list[Any]) -> Iterator[Any]:
    """Walk the operations of a graph through which its value depends on some variables."""
    depends: dict[Any, bool] = dict.fromkeys(values, True)
    stack = [cost]
    while stack:
        var = stack[-1]
        inputs = var.owner.inputs if var.owner is not None else []
        waiting = [each for each in inputs if each not in depends]
        if var not in depends and waiting:
            stack += waiting
            continue
        stack.pop()
        if var not in depends:
            depends[var] = any(depends[each] for each in inputs)
            if depends[var]:
                yield var.owner.op
