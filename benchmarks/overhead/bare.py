"""The bare side: a script that only calls PyMC, and prints the processor seconds it took.

Usage: ``python bare.py BACKEND TIMESTEPS DIRECTIONS``. Imports, data and PyTensor's own C helpers come before the
clock, as they do in firstgrad's worker.
"""

from __future__ import annotations

import gc
import importlib
import os
import sys

import numpy as np
import pytensor

from firstgrad.pose.data import generate
from firstgrad.pose.graph import build_pose_model
from firstgrad.pose.spec import PoseSpec


def cpu_seconds() -> float:
    """Processor time of this process and its finished children."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def main() -> None:
    """Compile and call once."""
    backend, timesteps, directions = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    modules = {"jax": "pytensor.link.jax.dispatch", "numba": "pytensor.link.numba.dispatch"}
    if backend in modules:
        importlib.import_module(modules[backend])
    if backend == "jax":
        jax = importlib.import_module("jax")
        jax.config.update("jax_enable_x64", True)
        jax.devices()
    if pytensor.config.cxx:
        importlib.import_module("pytensor.link.c.lazylinker_c")
    mode = {"jax": "JAX", "numba": "NUMBA"}.get(backend) or pytensor.compile.mode.Mode("cvm", "fast_run")
    spec = PoseSpec(n_timesteps=timesteps, n_directions=directions)
    data = generate(spec)
    gc.collect()

    began = cpu_seconds()
    model = build_pose_model(spec, data)
    function = model.compile_dlogp(mode=mode)
    gradient = np.asarray(function(data.initial))
    spent = cpu_seconds() - began

    if not np.isfinite(gradient).all():
        sys.exit("the gradient is not finite")
    print(spent)


if __name__ == "__main__":
    main()
