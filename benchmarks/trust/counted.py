"""The model whose samples put exact counts to the test: a small one, with work planted where it is asked for.

What is planted changes neither the density nor its graph: a pass over the graph that makes calls and changes nothing, a
derivative that makes calls before it is written, and an operation whose code for Numba and XLA has more lines that add
nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt
from pytensor.compile.mode import optdb
from pytensor.graph.basic import Apply
from pytensor.graph.op import Op
from pytensor.graph.rewriting.basic import GraphRewriter

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

SIZE = 8


def turn(count: int) -> int:
    """Make so many calls of a Python function."""
    total = 0
    for number in range(count):
        total += _one(number)
    return total


def _one(number: int) -> int:
    return number % 2


class Idle(GraphRewriter):
    """A rewrite pass that makes calls and changes nothing."""

    def __init__(self, calls: int) -> None:
        super().__init__()
        self.calls = calls

    def apply(self, fgraph: Any) -> None:  # noqa: ARG002 - PyTensor's own face
        """Make the calls."""
        turn(self.calls)


class Steps(Op):
    """The identity, in so many lines; its derivative makes so many calls."""

    __props__ = ("calls", "lines")

    def __init__(self, calls: int, lines: int) -> None:
        self.calls, self.lines = calls, lines

    def make_node(self, x: Any) -> Apply:
        """Take a vector."""
        x = pt.as_tensor_variable(x)
        return Apply(self, [x], [x.type()])

    def perform(self, node: Any, inputs: Sequence[Any], outputs: Any) -> None:  # noqa: ARG002 - PyTensor's own face
        """Copy it."""
        outputs[0][0] = inputs[0].copy()

    def pullback(self, inputs: Any, outputs: Any, cotangents: Any) -> list[Any]:  # noqa: ARG002 - PyTensor's own face
        """Make the calls; PyTensor's name for `L_op` since 3.0."""
        turn(self.calls)
        return [cotangents[0]]

    L_op = pullback


def _write(lines: int, module: str) -> Callable[[Any], Any]:
    """Write the operation's code; no compiler may drop what could be NaN."""
    body = "".join(f"    y = y + 0.0 * {module}.sin({number}.5 * x)\n" for number in range(lines))
    known: dict[str, Any] = {}
    if module == "np":
        known["np"] = np
    else:
        import jax.numpy as jnp

        known["jnp"] = jnp
    exec(f"def steps(x):\n    y = x + 0.0\n{body}    return y\n", known)  # noqa: S102 - written two lines above
    return known["steps"]  # type: ignore[no-any-return]


def _register() -> None:
    from contextlib import suppress

    with suppress(ImportError):
        from pytensor.link.jax.dispatch import jax_funcify

        jax_funcify.register(Steps)(lambda op, **_: _write(op.lines, "jnp"))
    with suppress(ImportError):
        from pytensor.link.numba.dispatch.basic import numba_njit, register_funcify_default_op_cache_key

        register_funcify_default_op_cache_key(Steps)(lambda op, **_: numba_njit(_write(op.lines, "np")))


_register()


def build(rewriting: int = 0, gradient: int = 0, lines: int = 40) -> pm.Model:
    """Build it, with so many calls planted in rewriting and in the gradient, and the operation in so many lines."""
    optdb.register("planted", Idle(rewriting), "fast_run", position=1.7)
    chance = np.random.default_rng(1)
    x, y = chance.normal(size=(2, SIZE))
    with pm.Model() as model:
        level = pm.Normal("level")
        spread = pm.HalfNormal("spread")
        slopes = pm.Normal("slopes", level, spread, shape=SIZE)
        pm.Normal("seen", Steps(gradient, lines)(slopes) * x, 0.5, observed=y)
    return model
