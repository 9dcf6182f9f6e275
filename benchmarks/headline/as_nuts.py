"""One sample: value and gradient as PyMC's NUTS calls them: a bare function of a flat vector, unchecked.

Usage: ``python -m benchmarks.headline.as_nuts WAY STATES TIMESTEPS DIRECTIONS``, in an environment whose caches are
filled where that matters. Prints a `benchmarks.limit.variants.Measured` as JSON.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.headline.sides import Size, Way
from benchmarks.limit.sample import CALLS, peak_rss_bytes
from benchmarks.limit.variants import Measured, Stage

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from firstgrad.pose.spec import PoseSpec

    type Bare = Callable[[NDArray[np.float64]], tuple[Any, Any]]


def compile_numba(model: Any, start: Mapping[str, Any], *, is_batched: bool) -> Bare:
    """Compile PyTensor's function, as PyMC's leapfrog integrator calls it."""
    from pymc.model.core import ValueGradFunction

    import firstgrad

    (logp,) = firstgrad.batch([model.logp()]) if is_batched else [model.logp()]
    values = model.continuous_value_vars
    wrapped = ValueGradFunction([logp], values, ravel_inputs=True, mode="NUMBA", initial_point=dict(start))
    wrapped.set_extra_values({})
    function = wrapped._pytensor_function  # noqa: SLF001 - the integrator's way
    function.trust_input = True
    return lambda vector: tuple(function(vector))


def compile_fast(model: Any, start: Mapping[str, Any]) -> Bare:
    """Compile firstgrad's, which the integrator calls alike."""
    from firstgrad import fast_gradient

    return fast_gradient(model, initial_point=start)._pytensor_function  # noqa: SLF001 - the integrator's way


def on_arrays(bare: Bare, spec: PoseSpec) -> Bare:
    """Have a function of `spec`'s flat vector take that of the model as arrays, and answer with it: for the check."""
    from firstgrad.points import flatten, unflatten
    from firstgrad.pose.points import to_per_joint, to_vectorised
    from firstgrad.pose.spec import Formulation

    arrays = replace(spec, formulation=Formulation.VECTORISED)
    if spec == arrays:
        return bare

    def call(vector: NDArray[np.float64]) -> tuple[Any, Any]:
        logp, slope = bare(flatten(to_per_joint(unflatten(vector, arrays), arrays), spec))
        return logp, flatten(to_vectorised(unflatten(np.asarray(slope), spec), spec), arrays)

    return call


def check(call: Bare, spec: PoseSpec) -> None:
    """Compare it with the oracle; SystemExit where it disagrees."""
    from benchmarks.limit.check import flat_points, mismatches
    from firstgrad.pose.data import generate
    from firstgrad.pose.spec import Formulation

    arrays = replace(spec, formulation=Formulation.VECTORISED)
    data = generate(arrays)
    if found := mismatches(arrays, data, on_arrays(call, spec), flat_points(arrays, data)):
        sys.exit(f"it disagrees with the oracle: {found[:3]}")


def main() -> None:
    """Build, compile, call, check, time."""
    import pytensor.link.numba.dispatch  # noqa: F401 - imported for its time

    from firstgrad.measuring.worker import nearby_points, time_calls
    from firstgrad.points import flatten
    from firstgrad.pose.data import generate
    from firstgrad.pose.graph import build_pose_model
    from firstgrad.pose.spec import Formulation, HmmAlgorithm

    way, (states, timesteps, directions) = Way(sys.argv[1]), map(int, sys.argv[2:5])
    size = Size(timesteps=timesteps, directions=directions, states=states)
    # The ways of writing the model with which Numba evaluates soonest; the others have it unchanged.
    soonest = Formulation.VECTORISED, HmmAlgorithm.TREE
    spec = size.spec(*soonest) if way is Way.NUMBA else size.spec(Formulation.PER_JOINT)
    data = generate(spec)
    start = {name: np.asarray(value) for name, value in data.initial.items()}
    wall, cpu = time.perf_counter(), time.process_time()
    model = build_pose_model(spec, data)
    if way is Way.FIRSTGRAD:
        call = compile_fast(model, start)
    else:
        call = compile_numba(model, start, is_batched=way is Way.NUMBA_BATCHED)
    call(flatten(start, spec))
    stage = Stage(name="all", wall_seconds=time.perf_counter() - wall, cpu_seconds=time.process_time() - cpu)
    peak = peak_rss_bytes()
    check(call, spec)
    points = [flatten(point, spec) for point in (start, *nearby_points(start))]
    measured = Measured(
        stages=(stage,),
        evaluation_seconds=statistics.median(time_calls(call, points, count=CALLS)),
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
