"""Trace each script of ``examples/scripts`` as it is and cured: ``python -m benchmarks.needless.run``.

Each side runs twice with a cache of its own, and the second run counts: what a cache keeps is there by then. Writes
``docs/data/needless.json``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path
from typing import Any

from benchmarks.markers import table_lines
from firstgrad.show.result import Form, render
from firstgrad.show.traces import trace_result
from firstgrad.store.files import write_file
from firstgrad.tracing.launch import TRACES
from firstgrad.units import format_seconds

ROOT = Path(__file__).parents[2]
DATA = ROOT / "docs" / "data" / "needless.json"
WIDE = 118
SCRIPTS = ROOT / "examples" / "scripts"
JAX = {"JAX_COMPILATION_CACHE_DIR": "jax", "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
CASES: tuple[tuple[str, tuple[str, ...], dict[str, str]], ...] = (
    ("clean.py", (), {}),
    ("same_model_twice.py", (), {}),
    ("loop_over_data.py", ("nutpie",), {}),
    ("loop_over_data.py", ("pymc",), {}),
    ("predict_again.py", (), {}),
    ("large_constant.py", (), {}),
    ("jax_without_cache.py", (), JAX),
)
"""A script, its arguments, and variables that cure it; without such the argument ``cured`` does."""


def main() -> None:
    """Measure all of them, and print the table."""
    measure()
    print(page_blocks()["needless"])


def page_blocks() -> dict[str, str]:
    """Write the blocks of the how-to that are made from docs/data: a trace's output, and the table."""
    trace = TRACES.read(DATA.with_name("trace-loop.json"))
    shown = render(trace_result(trace), Form.TERMINAL, width=118).rstrip()
    wrapped = "\n".join(
        textwrap.fill(line, WIDE, subsequent_indent="  ") if "`" in line or len(line) > WIDE else line
        for line in shown.splitlines()
    )
    return {"trace-loop": f"```\n{wrapped}\n```", "needless": table(json.loads(DATA.read_text()))}


def measure() -> None:
    """Trace all of them, as they are and cured."""
    rows = []
    for name, arguments, variables in CASES:
        with tempfile.TemporaryDirectory() as folder:
            row: dict[str, Any] = {"script": " ".join((name, *arguments))}
            row["as_it_is"] = trace(name, arguments, {}, folder)
            if name != "clean.py":
                row["cured"] = trace(name, arguments if variables else (*arguments, "cured"), variables, folder)
        rows.append(row)
        write_file(DATA, f"{json.dumps(rows, indent=1)}\n".encode())


def trace(name: str, arguments: tuple[str, ...], variables: dict[str, str], folder: str) -> dict[str, Any]:
    """Run a script twice under `firstgrad trace`, with its caches in a folder; returns what the second trace says."""
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith(("JAX_", "PYTENSOR_FLAGS"))},
        **{key: str(Path(folder) / value) if key.endswith("DIR") else value for key, value in variables.items()},
        "PYTENSOR_FLAGS": f"base_compiledir={folder}/pytensor",
    }
    words = ["-m", "firstgrad", "trace", "--no-keep", "--json", str(SCRIPTS / name), *arguments]
    for _ in range(2):
        ended = subprocess.run(
            [sys.executable, *words], env=environment, capture_output=True, text=True, check=True, timeout=600
        )
    document = json.loads(ended.stdout)
    compiles = [one for one in document["trace"]["compiles"] if one["within"] is None]
    seconds = [one["wall_seconds"] if one["cpu_seconds"] is None else one["cpu_seconds"] for one in compiles]
    return {
        "compiles": len(compiles),
        "compile_cpu_seconds": round(sum(seconds), 2),
        "wall_seconds": round(document["trace"]["wall_seconds"], 2),
        "needless": sorted(work["kind"] for work in document["redundant"]),
    }


def table(rows: list[dict[str, Any]]) -> str:
    """Write the table: what was found, CPU seconds of the compiles, and those of the cured script."""
    lines = []
    for row in rows:
        cured = row.get("cured")
        cells = [f"`{row['script']}`", found(row["as_it_is"]), seconds(row["as_it_is"])]
        cells += [seconds(cured), found(cured)] if cured else ["", ""]
        lines.append(cells)
    return "\n".join(table_lines(("script", "found", "compiles", "cured", "found then"), lines))


def seconds(side: dict[str, Any]) -> str:
    """Write how many compiles there were, and what they took of the processor."""
    return f"{side['compiles']} in {format_seconds(side['compile_cpu_seconds'])}"


def found(side: dict[str, Any]) -> str:
    """Write what was found."""
    return ", ".join(f"`{kind}`" for kind in side["needless"]) or "nothing"


if __name__ == "__main__":
    main()
