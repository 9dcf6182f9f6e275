"""One sample: PyTensor's Numba function of value and gradient as PyMC's NUTS calls it: a flat vector, unchecked.

Usage: ``python -m benchmarks.headline.as_nuts STATES TIMESTEPS DIRECTIONS``, in an environment whose caches are filled.
Prints a `benchmarks.limit.variants.Measured` as JSON.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from benchmarks.limit.sample import evaluate, peak_rss_bytes
from benchmarks.limit.variants import Measured, Stage

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def main() -> None:
    """Build, compile, call, check, time."""
    import pytensor.link.numba.dispatch  # noqa: F401 - imported for its time

    from benchmarks.limit.check import flat_points
    from firstgrad.pose.data import generate
    from firstgrad.pose.graph import build_pose_model
    from firstgrad.pose.spec import Formulation, HmmSpec, PoseSpec

    n_states, timesteps, directions = map(int, sys.argv[1:4])
    spec = PoseSpec(
        n_timesteps=timesteps,
        n_directions=directions,
        hmm=HmmSpec(n_states=n_states) if n_states else None,
        formulation=Formulation.VECTORISED,
    )
    data = generate(spec)
    points = flat_points(spec, data)
    wall, cpu = time.perf_counter(), time.process_time()
    model = build_pose_model(spec, data)
    wrapped = model.logp_dlogp_function(ravel_inputs=True, mode="NUMBA", initial_point=data.initial)
    wrapped.set_extra_values({})
    # What PyMC's leapfrog integrator calls, and as it calls it.
    function = wrapped._pytensor_function  # noqa: SLF001 - the integrator's way
    function.trust_input = True

    def call(point: NDArray[np.float64]) -> tuple[Any, Any]:
        logp, gradient = function(point)
        return logp, gradient

    call(points[0])
    stage = Stage(name="all", wall_seconds=time.perf_counter() - wall, cpu_seconds=time.process_time() - cpu)
    peak = peak_rss_bytes()
    measured = Measured(
        stages=(stage,),
        evaluation_seconds=evaluate(spec, data, call, points),
        peak_rss_bytes=peak,
        executable_bytes=None,
        program_characters=0,
        compiled_characters=0,
        flops=None,
        temporary_bytes=None,
        cache_hits=0,
    )
    print(json.dumps(asdict(measured)))


if __name__ == "__main__":
    main()
