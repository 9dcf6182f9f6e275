"""A user's process: precompiles a model or doesn't (`ahead`, `alone`), then compiles it, and tells what it found."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pymc as pm
import pytensor
from pytensor.compile.mode import Mode
from pytensor.graph.basic import Apply
from pytensor.graph.op import Op
from pytensor.link.numba.dispatch import numba_funcify
from tiny_model import alone

import firstgrad
from firstgrad.backends import cache_entries
from firstgrad.case import Scenario
from firstgrad.observe.disk_cache import CacheWatch
from firstgrad.precompiling.units import peak_bytes

MODES = {"numba": "NUMBA", "c": Mode("cvm", "fast_run")}


class Broken(Op):
    """Numba has a function for it, which it can't compile."""

    def make_node(self, x):
        return Apply(self, [x], [x.type()])

    def perform(self, _node, inputs, outputs):
        outputs[0][0] = inputs[0]

    def pullback(self, _inputs, _outputs, cotangents):
        return list(cotangents)

    L_op = pullback


@numba_funcify.register(Broken)
def broken(_op, **_):
    from pytensor.link.numba.dispatch.basic import numba_njit

    @numba_njit
    def add_to_text(x):
        return x + "text"

    return add_to_text


def with_broken_unit():
    with pm.Model() as model:
        a = pm.Normal("a")
        pm.Normal("b", pm.math.exp(a), shape=2)
        pm.Potential("bad", Broken()(a))
    return model


def main() -> None:
    backend, way = sys.argv[1:]
    told = {}
    if way == "broken":
        result = firstgrad.precompile(with_broken_unit(), backend=backend, jobs=2, progress=False)
        told |= {"entries": result.report.entries, "failed": result.report.failed, "repr": repr(result)}
        told["left"] = [[unit.name, unit.left] for unit in result.report.left]
        sys.stdout.write(json.dumps(told))
        return
    model = alone()
    if way == "ahead":
        result = firstgrad.precompile(model, backend=backend, jobs=2, progress=False)
        table = result.to_dataframe()
        told |= {
            "entries": result.report.entries,
            "failed": result.report.failed,
            "left": [unit.left for unit in result.report.left],
            "columns": list(table.columns),
            "children": sorted({int(one) for one in table.child}),
            "repr": repr(result),
        }
    base = Path(pytensor.config.base_compiledir)
    root = base / "numba" if backend == "numba" else Path(pytensor.config.compiledir)
    watch = CacheWatch(root, cache_entries())
    told["known"] = watch.remember()
    watch.begin()
    function = model.logp_dlogp_function(ravel_inputs=True, mode=MODES[backend])
    answers = [function(point) for point in np.random.default_rng(1).normal(size=(3, 2))]
    use = watch.end(Scenario.WARM)
    told |= {"contradiction": use.contradiction, "read": use.entries_read, "written": use.entries_written}
    told |= {"values": [[float(logp).hex(), gradient.tobytes().hex()] for logp, gradient in answers]}
    told |= {"peak": peak_bytes(with_compilers=False)}
    sys.stdout.write(json.dumps(told))


if __name__ == "__main__":
    main()
