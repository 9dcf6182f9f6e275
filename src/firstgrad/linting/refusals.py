"""What a backend refuses, in the words of who wrote the model: the function, its variables, and the ways that work."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from firstgrad.errors import ModelError
from firstgrad.linting.culprits import depends_on
from firstgrad.linting.values import Density, operation_name
from firstgrad.observe.lines import walk

if TYPE_CHECKING:
    from collections.abc import Iterator

FUNCTIONS = {
    "Hyp2F1": "the hypergeometric function (hyp2f1)",
    "GammaInc": "the incomplete gamma function (gammainc)",
    "GammaIncC": "the incomplete gamma function (gammaincc)",
    "BetaInc": "the incomplete beta function (betainc)",
    "SplineWrapper": "the interpolation spline (of pm.Interpolated)",
    "SolveDiscreteLyapunov": "the Lyapunov equation's solution",
    "Kve": "the Bessel function (kve)",
    "Owens_t": "Owen's T function",
}
"""By PyTensor's name of the operation."""
_LOOPS = {"ScalarLoop": ("GammaInc", "GammaIncC", "BetaInc", "Hyp2F1"), "Grad2F1Loop": ("Hyp2F1",)}
"""Loops that PyTensor writes for the derivatives of functions."""
_REFUSED = re.compile(r"(?:Op`?:|Scalar Op|Op) `?(\w+)")


def explain_refusal(error: Exception, model: Any) -> tuple[str, str]:
    """Say which function of a model PyTensor has no JAX for, and what to do; '' twice where the error doesn't tell."""
    refused = _REFUSED.search(str(error))
    if refused is None:
        return "", ""
    name = refused[1]
    wanted = _LOOPS.get(name, (name,))
    try:
        density = Density(model)
    except Exception:  # noqa: BLE001 - it is about another error
        return "", ""
    used = [node for node in walk(density.terms) if operation_name(node) in wanted]
    present = dict.fromkeys(operation_name(node) for node in used)
    what = " or ".join(FUNCTIONS.get(one, one) for one in present or wanted)
    names = dict.fromkeys(each for node in used for one in node.inputs for each in depends_on(density, one))
    where = f", computed from {', '.join(names)}" if names else ""
    if name in present:
        own = (
            ", or give it one with pytensor.link.jax.dispatch.jax_funcify"
            if not type(used[0].op).__module__.startswith(("pytensor", "pymc"))
            else ""
        )
        return (
            f"PyTensor has no JAX for {what}{where}",
            "Take firstgrad.fast_gradient, which takes another compiler then, or --backend numba, which leaves to "
            f"Python what it doesn't know, c or interpreter{own}",
        )
    derivative = f"the derivative of {what}" if present else what
    return (
        f"PyTensor has no JAX for {derivative}{where}",
        "Take JAX's own derivative (--backend jax_direct, firstgrad.fast_gradient), or --backend numba",
    )


def explain_missing_gradient(error: Exception, cost: Any, values: list[Any]) -> ModelError:
    """Say of which operation PyTensor cannot write the gradient."""
    from pytensor.graph.op import Op

    # PyTensor's own are written in many ways (an inner graph, a base class of another method): only a class that
    # leaves all of them as they are has none.
    methods = {name: getattr(Op, name) for name in ("grad", "L_op", "pullback") if hasattr(Op, name)}
    between = {type(op).__name__: op for op in _ops_between(cost, values)}
    names = [
        name
        for name, op in between.items()
        if all(getattr(type(op), method, None) is own for method, own in methods.items())
    ]
    names = names or [name for name in between if name in str(error)]
    which = f"the Op {', '.join(sorted(names))} has none" if names else type(error).__name__
    return ModelError(
        f"PyTensor cannot write the gradient: {which} ({first_line(error)}). Give the Op a `pullback` (before PyTensor "
        "3: `L_op` or `grad`), or write it as a JAX function and wrap that with `pytensor.wrap_jax`. Without a "
        "gradient only samplers such as pm.Slice and pm.DEMetropolisZ can sample the model, and there is nothing to "
        "measure"
    )


def first_line(error: BaseException) -> str:
    """Cut an error's message to what fits into a sentence."""
    text = " ".join((str(error).strip() or type(error).__name__).partition("\n")[0].split()).rstrip(".")
    return text if len(text) <= 200 else f"{text[:200]}..."  # noqa: PLR2004 - characters


def _ops_between(cost: Any, values: list[Any]) -> Iterator[Any]:
    """Walk the operations of a graph through which its value depends on some variables."""
    depends: dict[Any, bool] = dict.fromkeys(values, True)
    stack = [cost]
    while stack:
        var = stack[-1]
        inputs = var.owner.inputs if var.owner is not None else []
        waiting = [source for source in inputs if source not in depends]
        if var not in depends and waiting:
            stack += waiting
            continue
        stack.pop()
        if var not in depends:
            depends[var] = any(depends[source] for source in inputs)
            if depends[var]:
                yield var.owner.op
