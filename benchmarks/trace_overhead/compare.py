"""What does `firstgrad trace` cost a script, and are its results the same? The script with and without, in turn.

Compared is the processor time of the script's own processes, from the interpreter's start to its end, finished
compilers included; what `firstgrad trace` itself takes beside them (it watches memory from outside, and tells in the
end) is shown apart. Each run has an empty cache of its own, or with ``--warm`` a copy of a filled one.

Usage: ``python -m benchmarks.trace_overhead.compare drawing 4000``, or ``compiling 2`` in its place, with ``[--pairs 8]
[--warm] [--limit 1.02] [--keep]``.
Exit code 1 where results differ, or where the whole interval lies above the limit.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.overhead.kept import keep, ratio_of

HERE = Path(__file__).parent
FIRSTGRAD = [sys.executable, "-m", "firstgrad", "trace", "--no-keep"]


def cpu_of(command: list[str], cache: Path) -> tuple[float, str]:
    """Run a command; return the processor seconds of all its processes, and what it printed."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    flags = f"{os.environ.get('PYTENSOR_FLAGS', '')},base_compiledir={cache}".strip(",")
    environment = os.environ | {"PYTENSOR_FLAGS": flags, "PYTHONHASHSEED": "0"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"exit code {done.returncode}: {' '.join(command)}\n{done.stderr}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, done.stdout


def main() -> None:
    """Measure the pairs and print the ratio with its interval."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("script", choices=["drawing", "compiling"])
    parser.add_argument("size")
    parser.add_argument("--pairs", type=int, default=8)
    parser.add_argument("--warm", action="store_true")
    parser.add_argument("--limit", type=float, default=1.02)
    parser.add_argument("--keep", action="store_true", help="in docs/data")
    chosen = parser.parse_args()
    words = [str(HERE / f"{chosen.script}.py"), chosen.size]
    bare, traced, beside, printed = [], [], [], set()
    with tempfile.TemporaryDirectory() as made:
        caches = (Path(made) / f"cache-{number}" for number in range(10 * chosen.pairs))
        filled = next(caches)
        if chosen.warm:
            cpu_of([sys.executable, *words], filled)
        for pair in range(chosen.pairs):
            for with_trace in (pair % 2 == 0, pair % 2 == 1):
                cache = filled if chosen.warm else next(caches)
                if with_trace:
                    output = Path(made) / "output"
                    seconds, text = cpu_of([*FIRSTGRAD, "--output", str(output), *words], cache)
                    traced.append(json.loads((output / "trace.json").read_text())["cpu_seconds"])
                    beside.append(seconds - traced[-1])
                else:
                    seconds, text = cpu_of([sys.executable, *words], cache)
                    bare.append(seconds)
                printed.add(text)
    ratios = np.array(traced) / np.array(bare)
    median, low, high = ratio_of(ratios)
    print(
        f"{chosen.script} {chosen.size}, {'filled' if chosen.warm else 'empty'} cache: {np.median(bare):.2f} s of "
        f"processor time without, ratio with the trace median {median:.3f}, 95% interval "
        f"[{low:.3f}, {high:.3f}] (bootstrap, {chosen.pairs} pairs); of sums "
        f"{sum(traced) / sum(bare):.3f}; firstgrad's own process {np.median(beside):.2f} s; results "
        f"{'equal' if len(printed) == 1 else 'DIFFER'}"
    )
    if chosen.keep:
        keep(
            f"`firstgrad trace`, a script that is {chosen.script}",
            f"{chosen.script} {chosen.size}, {'filled' if chosen.warm else 'empty'} cache",
            ratios,
            np.median(bare),
        )
    sys.exit(1 if len(printed) > 1 or low > chosen.limit else 0)


if __name__ == "__main__":
    main()
