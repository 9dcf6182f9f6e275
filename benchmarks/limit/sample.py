"""One sample: import, write, compile and call one variant in this process, check it, print what it took as JSON.

Usage: ``python -m benchmarks.limit.sample VARIANT STATES TIMESTEPS DIRECTIONS``. Started by `benchmarks.limit.run`.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.limit.variants import Measured, Stage, Variant, variant_named

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from firstgrad.pose.data import PoseData
    from firstgrad.pose.spec import PoseSpec

    type Call = Callable[[NDArray[np.float64]], tuple[Any, Any]]

CALLS = 500


class Stages:
    """Clocks of one stage after another."""

    def __init__(self) -> None:
        self.found: list[Stage] = []
        self.begin()

    def begin(self) -> None:
        """Begin the next stage now: what came since the last one counts for none."""
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def end(self, name: str) -> None:
        """End a stage; the next one begins."""
        wall, cpu = time.perf_counter() - self._wall, time.process_time() - self._cpu
        self.found.append(Stage(name=name, wall_seconds=wall, cpu_seconds=cpu))
        self.begin()


def peak_rss_bytes() -> int:
    """Read this program's own mark; getrusage's begins with that of the process which started it."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


def measure_jax(variant: Variant, make_problem: Callable[[], tuple[PoseSpec, PoseData, Any]], stages: Stages) -> Any:
    """Measure a density in JAX."""
    import jax

    hits = []
    jax.config.update("jax_enable_x64", True)
    jax.monitoring.register_event_listener(
        lambda event, **_: hits.append(event) if event == "/jax/compilation_cache/cache_hits" else None
    )
    jax.devices()  # the client starts here, not within a compile
    from benchmarks.limit import lean, plain

    stages.end("import")
    spec, data, points = make_problem()
    stages.begin()
    if variant.source == "lean":
        logp = lean.make_logp(spec, data)
    else:
        logp = plain.make_logp(spec, data, plain.HmmForm(variant.form))
    traced = jax.jit(jax.value_and_grad(logp)).trace(points[0])
    stages.end("trace")
    lowered = traced.lower()
    stages.end("lower")
    compiled = lowered.compile(compiler_options=dict(variant.options))
    stages.end("compile")

    def call(point: NDArray[np.float64]) -> Any:
        return jax.block_until_ready(compiled(point))

    call(points[0])
    stages.end("first call")
    peak = peak_rss_bytes()
    evaluation = evaluate(spec, data, call, points)
    executable, memory, costs = compiled.runtime_executable(), compiled.memory_analysis(), compiled.cost_analysis()
    return Measured(
        stages=tuple(stages.found),
        evaluation_seconds=evaluation,
        peak_rss_bytes=peak,
        executable_bytes=len(executable.serialize()),
        program_characters=len(lowered.as_text()),
        compiled_characters=len(compiled.as_text() or ""),
        flops=(costs or {}).get("flops"),
        temporary_bytes=getattr(memory, "temp_size_in_bytes", None),
        cache_hits=len(hits),
    )


def measure_numba(make_problem: Callable[[], tuple[PoseSpec, PoseData, Any]], stages: Stages) -> Measured:
    """Measure the loops."""
    from benchmarks.limit import loops

    stages.end("import")
    spec, data, points = make_problem()
    stages.begin()
    call = loops.make_value_and_gradient(spec, data)
    stages.end("compile")
    call(points[0])
    stages.end("first call")
    peak = peak_rss_bytes()
    evaluation = evaluate(spec, data, call, points)
    llvm, assembly = loops.llvm_and_assembly()
    return Measured(
        stages=tuple(stages.found),
        evaluation_seconds=evaluation,
        peak_rss_bytes=peak,
        executable_bytes=None,
        program_characters=llvm,
        compiled_characters=assembly,
        flops=None,
        temporary_bytes=None,
        cache_hits=0,
    )


def evaluate(spec: PoseSpec, data: PoseData, call: Call, points: Any) -> float:
    """Check a function against the oracle, then time it at points that change from call to call: the median.

    Raises
    ------
    SystemExit
        Where it disagrees: no speed without a check.
    """
    import statistics

    from benchmarks.limit.check import mismatches
    from firstgrad.measuring.worker import time_calls

    if found := mismatches(spec, data, call, points):
        sys.exit(f"it disagrees with the oracle: {found[:3]}")
    return statistics.median(time_calls(call, points, count=CALLS))


def main() -> None:
    """Measure the variant that is asked for."""
    variant, (n_states, timesteps, directions) = variant_named(sys.argv[1]), map(int, sys.argv[2:5])

    def make_problem() -> tuple[PoseSpec, PoseData, Any]:
        from benchmarks.limit.check import flat_points
        from firstgrad.pose.data import generate
        from firstgrad.pose.spec import Formulation, HmmSpec, PoseSpec

        spec = PoseSpec(
            n_timesteps=timesteps,
            n_directions=directions,
            hmm=HmmSpec(n_states=n_states) if n_states else None,
            formulation=Formulation.VECTORISED,
        )
        data = generate(spec)
        return spec, data, flat_points(spec, data)

    stages = Stages()
    measured = (
        measure_numba(make_problem, stages) if variant.source == "loops" else measure_jax(variant, make_problem, stages)
    )
    print(json.dumps(asdict(measured)))


if __name__ == "__main__":
    main()
