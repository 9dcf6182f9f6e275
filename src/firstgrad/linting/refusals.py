"""What a backend refuses, in the words of who wrote the model: the function, its variables, and the ways that work."""

from __future__ import annotations

import re
from typing import Any

from firstgrad.linting.culprits import depends_on
from firstgrad.linting.values import Density, operation_name
from firstgrad.observe.lines import walk

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


def explain_refusal(error: Exception, model: Any) -> str:
    """Say which function of a model PyTensor has no JAX for, with what to do; '' where the error doesn't tell."""
    refused = _REFUSED.search(str(error))
    if refused is None:
        return ""
    name = refused[1]
    wanted = _LOOPS.get(name, (name,))
    try:
        density = Density(model)
    except Exception:  # noqa: BLE001 - it is about another error
        return ""
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
            f"PyTensor has no JAX for {what}{where}. Take --backend numba, which leaves to Python what it doesn't "
            f"know, c or interpreter{own}"
        )
    derivative = f"the derivative of {what}" if present else what
    return (
        f"PyTensor has no JAX for {derivative}{where}. Take JAX's own derivative (--backend jax_direct, "
        "firstgrad.fast_gradient), or --backend numba"
    )
