"""How many modules XLA compiles for the constants of a PyTensor graph, and what that takes.

PyTensor brings a constant to JAX by ``jnp.array``, which compiles a copy for each new shape and type;
``jax.device_put`` compiles nothing. Needs PyTensor and JAX only. Every row is a process of its own; seconds are
processor seconds from `pytensor.function` to the end of the first call.

Usage: ``python benchmarks/upstream/jax_constants.py [NUMBER ...]``.
"""

from __future__ import annotations

import subprocess
import sys
import time

WAYS = ("jnp.array", "jax.device_put")


def measure(number: int, way: str) -> tuple[int, float]:
    """Compile a sum with so many constants of different shapes; count XLA's modules and take the time."""
    import jax
    import numpy as np
    import pytensor
    import pytensor.link.jax.dispatch.basic as dispatch
    import pytensor.tensor as pt

    if way == "jax.device_put":
        # What a fix would change, in this process only.
        dispatch.jax_typify.register(
            np.ndarray, lambda data, **_: data.item() if data.ndim == 0 else jax.device_put(data)
        )
    modules = []
    jax.monitoring.register_event_duration_secs_listener(
        lambda event, _seconds, **_: modules.append(event) if event.endswith("backend_compile_duration") else None
    )
    jax.devices()
    x = pt.vector("x", shape=(number + 2,))
    cost = sum(pt.exp(x[:size]) @ np.linspace(0.0, 1.0, size) for size in range(2, number + 2))
    began = time.process_time()
    pytensor.function([x], cost, mode="JAX")(np.ones(number + 2))
    return len(modules), time.process_time() - began


def main() -> None:
    """Print the table."""
    if len(sys.argv) > 1 and sys.argv[1] == "one":
        print(*measure(int(sys.argv[2]), sys.argv[3]))
        return
    print("| constants | by | XLA modules | first call, CPU |\n| --- | --- | --- | --- |")
    for number in map(int, sys.argv[1:] or ("1", "4", "16", "64")):
        for way in WAYS:
            done = subprocess.run(
                [sys.executable, __file__, "one", str(number), way], capture_output=True, text=True, check=True
            )
            modules, seconds = done.stdout.split()
            print(f"| {number} | `{way}` | {modules} | {float(seconds):.2f} s |", flush=True)


if __name__ == "__main__":
    main()
