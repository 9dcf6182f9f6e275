"""Compare the time of ``asv run`` with firstgrad's suite and with the same metrics as plain asv benchmarks.

Both measure the same cells (FIRSTGRAD_TIER, by default ``quick``), the same metrics and the same number of samples, in
one run on one machine, with this environment's packages. firstgrad measures a sample once for all metrics, and checks
it against the oracle; plain asv compiles anew for each metric.

Usage: ``python benchmarks/against_plain_asv/compare.py [--samples 1] [--bench REGEX] [--limit 0.333]``. Exit code 1
where firstgrad's takes more than the limit's share of the time, or a benchmark failed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Run:
    """One run of asv."""

    wall_seconds: float
    cpu_seconds: float
    numbers: int
    failed: int


def run(suite: Path, launch_method: str, samples: int, bench: str) -> Run:
    """Run a suite with asv in a fresh folder."""
    with tempfile.TemporaryDirectory(prefix="against-plain-asv-") as place:
        folder = Path(place)
        settings = {
            "version": 1,
            "project": "firstgrad",
            "repo": ".",
            "branches": ["HEAD"],
            "environment_type": "existing",
            "benchmark_dir": str(suite),
            "results_dir": "results",
            "launch_method": launch_method,
            "default_benchmark_timeout": 3600,
        }
        (folder / "asv.conf.json").write_text(json.dumps(settings))
        who = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
        for words in (["init", "-q"], [*who, "commit", "-q", "--allow-empty", "-m", "none"]):
            subprocess.run(["git", *words], cwd=folder, check=True)
        env = os.environ | {"HOME": place, "FIRSTGRAD_STORE": "none"}
        asv = [sys.executable, "-m", "asv"]
        subprocess.run([*asv, "machine", "--yes"], cwd=folder, env=env, check=True, capture_output=True)
        command = [*asv, "run", "-E", f"existing:{sys.executable}", "--set-commit-hash", "HEAD"]
        command += ["--attribute", f"rounds={samples}", "--show-stderr", *(["--bench", bench] if bench else [])]
        before, began = os.times(), time.monotonic()
        done = subprocess.run(command, cwd=folder, env=env, check=False, capture_output=True, text=True)
        wall_seconds, after = time.monotonic() - began, os.times()
        files = [file for file in folder.glob("results/*/*.json") if file.name != "machine.json"]
        if not files:
            sys.exit(f"asv kept no results:\n{done.stdout}{done.stderr}")
        rows = json.loads(files[0].read_text())["results"].values()
        cells = [cell for row in rows for cell in (row[0] or [None])]
        failed = sum(cell is None for cell in cells)
        if failed:
            print(done.stdout[-5000:])
        return Run(
            wall_seconds=wall_seconds,
            cpu_seconds=after.children_user + after.children_system - before.children_user - before.children_system,
            numbers=len(cells) - failed,
            failed=failed,
        )


def main() -> None:
    """Run both and print the ratio."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--samples", type=int, default=1)
    parser.add_argument("--bench", default="", help="only benchmarks whose names match, such as '(Jax|JAX)'")
    parser.add_argument("--limit", type=float, default=1 / 3)
    options = parser.parse_args()

    # As each is run: firstgrad's measured processes have fresh interpreters anyway, plain asv's must not be forked
    # from one that has imported Numba or JAX.
    ours = run(ROOT / "benchmarks", "forkserver", options.samples, options.bench)
    plain = run(ROOT / "benchmarks/against_plain_asv/plain", "spawn", options.samples, options.bench)
    print("| asv run | wall | processor | numbers | failed |\n|---|---|---|---|---|")
    for name, each in (("firstgrad's suite", ours), ("plain asv", plain)):
        print(f"| {name} | {each.wall_seconds:.0f} s | {each.cpu_seconds:.0f} s | {each.numbers} | {each.failed} |")
    ratio = ours.wall_seconds / plain.wall_seconds
    print(f"\nfirstgrad's takes {ratio:.2f} of plain asv's wall time (limit {options.limit:.2f})")
    sys.exit(ratio > options.limit or ours.failed + plain.failed > 0)


if __name__ == "__main__":
    main()
