"""Compile a pose model again and again in this process, some of the times with the progress display around it.

Usage: ``python compiling.py jax 5 1 -++-``: backend, timesteps, directions, and a sign for each compile: ``+`` with the
display, ``-`` without. Prints a line of JSON: processor seconds of each, finished compilers included, and of the
displays' own thread.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import time

import pytensor
from pytensor.compile.mode import Mode

from firstgrad import PoseSpec, build_pose_model, compile_progress
from firstgrad.pose.data import generate

MODES = {"c": lambda: Mode("cvm", "fast_run"), "numba": lambda: "NUMBA", "jax": lambda: "JAX"}


def cpu_seconds() -> float:
    """Processor seconds of this process and its finished children."""
    return time.process_time() + sum(os.times()[2:4])


def main() -> None:
    """Compile as asked."""
    backend, timesteps, directions, signs = sys.argv[1:]
    spec = PoseSpec(n_timesteps=int(timesteps), n_directions=int(directions))
    data = generate(spec)
    model = build_pose_model(spec, data)
    pytensor.function([], [], mode=Mode("py", None))
    spent, own = [], []
    for sign in signs:
        gc.collect()
        began = cpu_seconds()
        if sign == "+":
            with compile_progress(model, history=False) as progress:
                model.compile_dlogp(mode=MODES[backend]())(data.initial)
            own.append(progress.summary.cpu_seconds)
        else:
            model.compile_dlogp(mode=MODES[backend]())(data.initial)
        spent.append(cpu_seconds() - began)
    print(json.dumps({"spent": spent, "own": own}))


if __name__ == "__main__":
    main()
