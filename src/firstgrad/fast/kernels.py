"""Fewer kernels: what XLA would compile apart, and needn't.

XLA compiles a density as some dozens of small loops, each by itself, and that is most of a cold compile.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from firstgrad.fast.repeats import scalar_op

_SCALARS = ("ScalarFromTensor", "TensorFromScalar")


def keep_logarithms(fgraph: Any) -> None:
    """Go on with what an exponential is of, where its logarithm or root is taken; before a graph is rewritten.

    Positive values are exponentials in PyMC, and standard deviations often roots of them. PyTensor sees ``log(exp(x))``
    where nothing stands between; a broadcast, an index or a switch is looked through here.
    """
    import pytensor.tensor as pt

    for node in fgraph.toposort():
        if type(node.op).__name__ != "Elemwise" or (name := scalar_op(node.op)) not in ("log", "sqrt"):
            continue
        inner = _logarithm(node.inputs[0])
        made = inner if inner is None or name == "log" else pt.exp(_half(inner))
        if made is not None and made.type == node.outputs[0].type:
            fgraph.replace(node.outputs[0], made, reason="keep_logarithms")


def _logarithm(variable: Any) -> Any:
    """Write the logarithm of what is made of exponentials without taking it; None of all else."""
    import pytensor.tensor as pt

    node = variable.owner
    if node is None:
        return None
    name = scalar_op(node.op) if type(node.op).__name__ == "Elemwise" else type(node.op).__name__
    made = None
    if name == "exp":
        made = node.inputs[0]
    elif name in ("DimShuffle", "Subtensor", "sqrt") and (inner := _logarithm(node.inputs[0])) is not None:
        made = _half(inner) if name == "sqrt" else node.op(inner, *node.inputs[1:])
    elif _is_switch(node):
        condition, *branches = node.inputs
        constants = [_constant(branch) for branch in branches]
        logarithms = [
            _logarithm(branch) if data is None else pt.constant(np.log(data)) if (data > 0).all() else None
            for branch, data in zip(branches, constants, strict=True)
        ]
        if all(one is not None for one in logarithms) and any(data is None for data in constants):
            made = pt.switch(condition, *logarithms)
    return made if made is not None and made.type == variable.type else None


def _constant(variable: Any) -> Any:
    """Read a constant, or a number that is broadcast, as double precision; None of all else."""
    inner = variable
    while inner.owner and type(inner.owner.op).__name__ == "DimShuffle":
        (inner,) = inner.owner.inputs
    data = getattr(inner, "data", None)
    if inner.owner or not isinstance(data, np.ndarray) or (inner is not variable and data.size != 1):
        return None
    return data.astype("float64").reshape((1,) * variable.type.ndim if data.size == 1 else data.shape)


def _half(variable: Any) -> Any:
    return variable * np.asarray(0.5, dtype=variable.type.dtype)


def check_by_element(fgraph: Any) -> None:
    """Have parameters checked element by element, in a log-density that was rewritten for JAX.

    PyMC checks all elements of a parameter together, and makes all terms -inf where one is refused: a loop of its own
    before every density. Where these terms are all added up to the log-density, one of -inf is enough.
    """
    import pytensor.tensor as pt

    waiting = list(fgraph.outputs)
    while waiting:
        variable = waiting.pop()
        node = variable.owner
        if node is None or variable.type.ndim:
            continue
        if type(node.op).__name__ == "Elemwise" and scalar_op(node.op) == "add":
            waiting += node.inputs
        elif type(node.op).__name__ == "Sum" and _is_switch(chosen := node.inputs[0].owner):
            condition, terms, other = chosen.inputs
            parts = _checked_together(condition)
            is_refusal = (data := _constant(other)) is not None and bool((data == -np.inf).all())
            if parts and is_refusal and all(_fits(one, terms) for one in parts):
                checked = pt.switch(functools.reduce(pt.and_, parts), terms, other)
                fgraph.replace(variable, node.op(checked), reason="check_by_element")


def _checked_together(condition: Any) -> list[Any]:
    """Find the conditions whose elements must all hold for this one, if it is such a one; else none."""
    while condition.owner and type(condition.owner.op).__name__ in ("DimShuffle", *_SCALARS):
        (condition,) = condition.owner.inputs
    if condition.owner is None or type(condition.owner.op).__name__ != "All" or condition.type.ndim:
        return []
    (whole,) = condition.owner.inputs
    if whole.owner is None or type(whole.owner.op).__name__ != "MakeVector":
        return [whole]
    parts = [_checked_together(part) for part in whole.owner.inputs]
    return [one for part in parts for one in part] if all(parts) else []


def _fits(condition: Any, terms: Any) -> bool:
    """Whether each element of a condition belongs to some of the terms."""
    shape, wanted = condition.type.shape, terms.type.shape
    return len(shape) <= len(wanted) and all(
        n is not None and n in (1, m) for n, m in zip(reversed(shape), reversed(wanted), strict=False)
    )


def _is_switch(node: Any) -> bool:
    return type(getattr(getattr(node, "op", None), "scalar_op", None)).__name__ == "Switch"
