"""What a NaN gradient does to sampling: the pose model with missing points masked after the arithmetic and before it.

Usage: ``python -m benchmarks.nan_sampling``: three calls of `firstgrad sample`, some 2 minutes; writes
``docs/data/nan-sampling.json``.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.where import where
from firstgrad.units import format_seconds

MODEL = ("pose", "--timesteps", "20", "--directions", "2", "--backend", "jax")
RUNS = (("safe", "pymc"), ("naive", "pymc"), ("naive", "nutpie"))


def table(stored: dict[str, Any]) -> str:
    """Write a row a run."""
    lines = [
        stored["where"],
        "",
        "| missing points masked | sampler | tuning + drawing, CPU | divergences | positions | gradient evaluations |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for run in stored["runs"]:
        told = run["told"]
        when = "before the arithmetic" if run["missing"] == "safe" else "after it"
        if told["failure"]:
            lines.append(f"| {when} | {run['sampler']} | *{told['failure']['message'].splitlines()[0]}* | | | |")
            continue
        seconds = {one["stage"]: one["cpu_seconds"] for one in told["stages"]}
        cells = (
            " + ".join(format_seconds(seconds[name]) for name in ("tuning", "drawing")),
            *(
                " + ".join(f"{told[name][key]:,}" for name in ("tuning", "drawing"))
                for key in ("divergences", "positions", "gradient_evaluations")
            ),
        )
        lines.append(f"| {when} | {run['sampler']} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Measure, and keep."""
    runs = []
    for missing, sampler in RUNS:
        words = ["-m", "firstgrad", "sample", *MODEL, "--missing", missing, "--sampler", sampler, "--json"]
        done = subprocess.run([sys.executable, *words], capture_output=True, text=True, check=False, timeout=600)
        told = json.loads(done.stdout)
        kept = {name: told[name] for name in ("stages", "tuning", "drawing", "failure")}
        runs.append({"missing": missing, "sampler": sampler, "told": kept})
    how = "Pose model, T=20, K=2, one chain of 100 draws of tuning and 20 after them, from empty caches"
    stored = {"where": where(how), "runs": runs}
    Path("docs/data/nan-sampling.json").write_text(json.dumps(stored, indent=1) + "\n")


if __name__ == "__main__":
    main()
