"""One sample: memory and seconds of compiling a model of many small regressions, each with a likelihood of its own.

Needs PyMC and nutpie only. Prints JSON: resident bytes when the compile begins, at its peak (Linux: ``VmHWM``, reset
before) and after it, and, where Numba compiles, how much of the growth happened in which of Numba's passes.

Usage: ``python panels.py WAY LIKELIHOOD TERMS``, in an environment whose ``PYTENSOR_FLAGS`` say which cache is used.

- WAY: ``pymc`` (its own value and gradient, called once), ``nutpie``, ``nutpie_jax`` (with one draw: JAX compiles in
  the first call).
- LIKELIHOOD: ``gamma`` or ``lognormal``, of equal mean and coefficient of variation, a variable a term;
  ``lognormal_array``: the same density as one array.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt

ROWS = 30
_STATUS, _STATM = Path("/proc/self/status"), Path("/proc/self/statm")
_PAGE = os.sysconf("SC_PAGESIZE")


def build(likelihood: str, terms: int) -> pm.Model:
    """Build the regressions of positive measurements on two inputs, one of which saturates."""
    rng = np.random.default_rng(11)
    inputs = rng.uniform(0.2, 2.0, size=(terms, ROWS, 2))
    measured = rng.lognormal(2.0, 0.3, size=(terms, ROWS))
    with pm.Model() as model:
        centre = pm.Normal("centre", 1.0, 0.5, shape=3)
        spread = pm.HalfNormal("spread", 0.5, shape=3)
        if likelihood == "lognormal_array":
            weight = centre + spread * pm.Normal("offset", shape=(terms, 3))
            half = pm.Gamma("half", 4.0, 4.0, shape=terms)
            variation = pm.Exponential("variation", 4.0, shape=terms)
            mean = _curve(weight.T[..., None], half[:, None], inputs[..., 0], inputs[..., 1])
            observe("lognormal", "measured", mean, variation[:, None], measured)
            return model
        for number in range(terms):
            weight = centre + spread * pm.Normal(f"offset_{number}", shape=3)
            half = pm.Gamma(f"half_{number}", 4.0, 4.0)
            variation = pm.Exponential(f"variation_{number}", 4.0)
            mean = _curve(weight, half, inputs[number, :, 0], inputs[number, :, 1])
            observe(likelihood, f"measured_{number}", mean, variation, measured[number])
    return model


def _curve(weight: Any, half: Any, first: Any, second: Any) -> Any:
    return pt.exp(weight[0]) + pt.exp(weight[1]) * first / (first + half) + pt.exp(weight[2]) * second**2


def observe(likelihood: str, name: str, mean: Any, variation: Any, measured: Any) -> None:
    """Add a likelihood with this mean and this coefficient of variation."""
    if likelihood == "gamma":
        pm.Gamma(name, mu=mean, sigma=mean * variation, observed=measured)
    else:
        scale = pt.sqrt(pt.log1p(variation**2))
        pm.LogNormal(name, mu=pt.log(mean) - scale**2 / 2, sigma=scale, observed=measured)


class Passes:
    """Growth of resident memory, and seconds, by pass of Numba and by function, without what is nested in it."""

    def __init__(self) -> None:
        from numba.core import event

        self.of_pass, self.of_function = Counter[str](), Counter[str]()
        self.seconds_of_pass, self.seconds_of_function = defaultdict[str, float](float), defaultdict[str, float](float)
        self.functions = 0
        self._begun: list[list[float]] = []
        listener = type("Listener", (event.Listener,), {"on_start": self._start, "on_end": self._end})()
        for kind in ("numba:compile", "numba:run_pass"):
            event.register(kind, listener)

    def _start(self, _: Any) -> None:
        self._begun.append([float(resident_bytes()), time.perf_counter(), 0.0, 0.0])

    def _end(self, ended: Any) -> None:
        before, began, inner_bytes, inner_seconds = self._begun.pop()
        grown, seconds = resident_bytes() - before, time.perf_counter() - began
        if self._begun:
            self._begun[-1][2] += grown
            self._begun[-1][3] += seconds
        if ended.kind == "numba:compile":
            self.functions += 1
            return
        name, _, function = ended.data["name"].partition(" [")
        function = function.rstrip("]").rpartition(".")[2]
        self.of_pass[name] += round(grown - inner_bytes)
        self.of_function[function] += round(grown - inner_bytes)
        self.seconds_of_pass[name] += seconds - inner_seconds
        self.seconds_of_function[function] += seconds - inner_seconds

    def told(self) -> dict[str, Any]:
        """Tell of those that took the most memory."""
        return {
            "functions": self.functions,
            "passes": [[name, grown, self.seconds_of_pass[name]] for name, grown in self.of_pass.most_common(4)],
            "most_memory": [
                [name, grown, self.seconds_of_function[name]] for name, grown in self.of_function.most_common(8)
            ],
        }


def resident_bytes() -> int:
    """Resident bytes of this process now."""
    return int(_STATM.read_text().split()[1]) * _PAGE


def peak_bytes() -> int:
    """Most resident bytes since they were last reset."""
    (line,) = (line for line in _STATUS.read_text().splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


def compile_by(way: str, model: pm.Model) -> Any:
    """Compile what draws need, by one way; return PyTensor's function of value and gradient, None where unknown."""
    if way == "pymc":
        wrapped = model.logp_dlogp_function(ravel_inputs=True, mode="NUMBA")
        wrapped.set_extra_values({})
        wrapped(pm.blocking.DictToArrayBijection.map(model.initial_point()))
        return wrapped._pytensor_function  # noqa: SLF001 - only to count its nodes
    import nutpie

    if way == "nutpie":
        return nutpie.compile_pymc_model(model, backend="numba").logp_func
    compiled = nutpie.compile_pymc_model(model, backend="jax")
    nutpie.sample(compiled, draws=1, tune=1, chains=1, progress_bar=False)
    return None


def main() -> None:
    """Measure one way."""
    way, likelihood, terms = sys.argv[1], sys.argv[2], int(sys.argv[3])
    import nutpie  # imported before, whatever way is taken: it takes memory

    passes = None
    if way != "nutpie_jax":
        import numba
        from pytensor.link.numba import dispatch  # noqa: F401 - imported before, as nutpie

        passes = Passes()
    else:
        import jax

        jax.numpy.zeros(1).block_until_ready()
    model = build(likelihood, terms)
    model.initial_point()
    Path("/proc/self/clear_refs").write_text("5")
    before, began, cpu = resident_bytes(), time.perf_counter(), time.process_time()
    function = compile_by(way, model)
    wall_seconds, cpu_seconds = time.perf_counter() - began, time.process_time() - cpu
    graph = function.maker.fgraph.apply_nodes if function is not None else ()
    measured = {
        "before_bytes": before,
        "peak_bytes": peak_bytes(),
        "after_bytes": resident_bytes(),
        "wall_seconds": wall_seconds,
        "cpu_seconds": cpu_seconds,
        "nodes": len(graph),
        "most_inputs": max((len(node.inputs) for node in graph), default=0),
        "numba": passes.told() if passes else None,
        "versions": {
            "pymc": pm.__version__,
            "pytensor": pytensor.__version__,
            "nutpie": nutpie.__version__,
            "backend": jax.__version__ if way == "nutpie_jax" else numba.__version__,
        },
    }
    print(json.dumps(measured))


if __name__ == "__main__":
    main()
