"""One script through pyinstrument, memray and ``firstgrad trace``: what each of them tells of its compiles.

Each runs the unchanged script from empty caches, in a process of its own, in turns with a run of none of them.

Usage: ``python -m benchmarks.side_by_side.run [--rounds 3] [--output FILE.json]``.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import textwrap
import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.markers import table_lines
from firstgrad.measuring.environment import host_fingerprint
from firstgrad.measuring.private import PrivateCaches, worker_variables
from firstgrad.units import format_seconds

ROOT = Path(__file__).parents[2]
SCRIPT = Path("benchmarks/side_by_side/script.py")
PLAIN = "no tool"
TOOLS = {
    PLAIN: ("python {script}", ""),
    "pyinstrument": (
        "python -m pyinstrument --show-all -p processor_options.filter_threshold=0.1 -o {folder}/told {script}",
        "cat {folder}/told",
    ),
    "memray": (
        "python -m memray run -q -o {folder}/memray.bin {script}",
        "python -m memray stats -n 5 {folder}/memray.bin",
    ),
    "firstgrad trace": ("firstgrad trace --no-keep {script}", ""),
}
"""How each is called, and what prints what it found; a tool of one call prints it itself."""
_LIMIT_SECONDS, _LINES, _WIDTH = 600.0, 24, 116


def run(name: str) -> dict[str, Any]:
    """Run the script with a tool; SystemExit where that fails."""
    call, show = TOOLS[name]
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", "")))
    with PrivateCaches() as private, tempfile.TemporaryDirectory() as folder:
        private.restore()
        variables = worker_variables(private.folder, os.environ) | {"PATH": path, "NO_COLOR": "1", "COLUMNS": "120"}
        began, processor = time.monotonic(), sum(os.times()[:4])
        done = _call(call.format(script=SCRIPT, folder=folder), variables)
        wall, cpu = time.monotonic() - began, sum(os.times()[:4]) - processor
        told = _call(show.format(folder=folder), variables).stdout if show else done.stderr
    print(f"{name}: {wall:.1f} s, CPU {cpu:.1f} s", file=sys.stderr, flush=True)
    return {"call": call, "wall_seconds": wall, "cpu_seconds": cpu, "told": shorten(told)}


def put_together(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Take the last run's words and every run's times."""
    return runs[-1] | {key: [one[key] for one in runs] for key in ("wall_seconds", "cpu_seconds")}


def _call(command: str, variables: dict[str, str]) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        command.split(), env=variables, cwd=ROOT, capture_output=True, text=True, check=False, timeout=_LIMIT_SECONDS
    )
    if done.returncode:
        sys.exit(f"{command} failed:\n{done.stderr[-2000:]}")
    return done


def describe(rounds: int) -> str:
    """Say what it was measured on."""
    names = ("pymc", "nutpie", "numba", "pyinstrument", "memray")
    versions, host = ", ".join(f"{name} {version(name)}" for name in names), host_fingerprint()
    return (
        f"{versions}, Python {sys.version.split()[0]}, {host.cores} cores of {host.processor}, "
        f"{datetime.now(UTC):%Y-%m-%d}; medians of {rounds} runs each, in turns, from empty caches."
    )


def markdown(stored: dict[str, Any]) -> str:
    """Write what each took and told, cut to its first lines."""
    runs = stored["runs"]
    plain = statistics.median(runs[PLAIN]["cpu_seconds"])
    rows = []
    for name, one in runs.items():
        wall, cpu = (statistics.median(one[key]) for key in ("wall_seconds", "cpu_seconds"))
        rows.append((name, format_seconds(wall), format_seconds(cpu), f"x{cpu / plain:.2f}"))
    return "\n".join([stored["about"], "", *table_lines(("run", "wall", "CPU", "CPU, of the plain run's"), rows)])


def shorten(told: str) -> list[str]:
    """Take the first lines, without this machine's folders and memray's histogram of sizes."""
    plain = [re.sub(r"(?<![\w.])(?:/[\w.+-]+)+/(?=[\w.-]+)", "", line.rstrip()) for line in told.strip().splitlines()]
    kept = [line for line in plain if line and not re.match(r"\t *(<|-{4}|m..: )|📊", line)]
    more = [f"[{len(kept) - _LINES} more lines]"] if len(kept) > _LINES else []
    return [*(part for line in kept[:_LINES] for part in _fit(line)), *more]


def _fit(line: str) -> list[str]:
    """Cut a line of a tree, break one of words."""
    if line.startswith(("│", "├", "└")):
        return [line if len(line) <= _WIDTH else f"{line[:_WIDTH]}…"]
    return textwrap.wrap(line, _WIDTH, subsequent_indent="  ")


def main() -> None:
    """Run, keep, write."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--output", type=Path, default=Path("docs/data/side-by-side.json"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default=",".join(TOOLS), help="tools")
    chosen = parser.parse_args()
    rounds = [{name: run(name) for name in chosen.only.split(",")} for _ in range(chosen.rounds)]
    runs = {name: put_together([one[name] for one in rounds]) for name in rounds[0]}
    stored = {"about": describe(chosen.rounds), "runs": runs}
    chosen.output.write_text(json.dumps(stored, indent=1) + "\n")
    print(markdown(stored))


if __name__ == "__main__":
    main()
