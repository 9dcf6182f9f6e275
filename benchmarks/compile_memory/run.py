"""Memory of nutpie's Numba compile against PyMC's own, as likelihood terms are added; LogNormal against Gamma.

One sample after the other, each a process of its own with an empty cache; what is measured is in ``panels.py``. That of
nutpie is followed by a second process with the first one's cache. Peaks hardly depend on what else the machine does,
seconds do. What is in the output is not measured again, so a run goes on where it stopped.

Usage: ``python -m benchmarks.compile_memory.run [--terms 1,2,4,8,16,32] [--minutes 60] [--python OTHER/bin/python]
[--output docs/data/compile-memory.json]``. ``--python`` may be given more than once: the
same under other releases, with ``--other-terms``. ``--minutes 0`` prints what is there.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from benchmarks.compile_memory.table import Sample, describe, markdown, read_samples
from firstgrad.store.files import write_file

SCRIPT = Path(__file__).with_name("panels.py")
LIMIT_BYTES, LIMIT_SECONDS = 10 * 2**30, 900.0
_LOOK_SECONDS = 0.05
_RELEASES = (
    "from importlib.metadata import version\n"
    "print(', '.join(f'{name} {version(name)}' for name in ('pymc', 'pytensor', 'numba', 'nutpie')))"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What is measured: one process, or two with one cache."""

    way: str
    likelihood: str
    terms: int
    processes: int = 1


def rows_of(terms: tuple[int, ...], *, is_other: bool = False) -> list[Row]:
    """List the rows, small ones first; of other releases only those that show what has changed since."""
    rows = []
    for number in terms:
        for likelihood in ("gamma", "lognormal"):
            rows.append(Row(way="pymc", likelihood=likelihood, terms=number))
            rows.append(Row(way="nutpie", likelihood=likelihood, terms=number, processes=1 if is_other else 2))
            if not is_other:
                rows.append(Row(way="nutpie_jax", likelihood=likelihood, terms=number))
        if not is_other:
            rows.append(Row(way="nutpie", likelihood="lognormal_array", terms=number))
    return rows


def measure(python: str, releases: str, row: Row) -> list[Sample]:
    """Measure a row in fresh processes; one that passes a limit, or fails, is a sample, too, and the last one."""
    samples = []
    with tempfile.TemporaryDirectory(prefix="firstgrad-compile-memory-") as cache:
        for number in range(row.processes):
            began = datetime.now(UTC).isoformat(timespec="seconds")
            numbers, failure = run_script(python, [row.way, row.likelihood, str(row.terms)], cache)
            samples.append(
                Sample(
                    releases=releases,
                    way=row.way,
                    likelihood=row.likelihood,
                    terms=row.terms,
                    is_again=number > 0,
                    began=began,
                    failure=failure,
                    numbers=numbers,
                )
            )
            if failure:
                break
    return samples


def run_script(
    python: str, words: list[str], cache: str, *, limit_bytes: int = LIMIT_BYTES, limit_seconds: float = LIMIT_SECONDS
) -> tuple[dict[str, Any], str]:
    """Run the script with a cache; return what it printed, and why it failed ('' where it didn't)."""
    flags = {"PYTENSOR_FLAGS": f"base_compiledir={cache}", "OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "0"}
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as errors:
        child = subprocess.Popen([python, str(SCRIPT), *words], env=os.environ | flags, stdout=out, stderr=errors)
        if passed := _wait(child, limit_bytes, limit_seconds):
            return {}, passed
        out.seek(0)
        errors.seek(0)
        if child.returncode:
            return {}, (errors.read().strip().splitlines() or [f"exit code {child.returncode}"])[-1][:200]
        return json.loads(out.read().splitlines()[-1]), ""


def _wait(child: subprocess.Popen[bytes], limit_bytes: int, limit_seconds: float) -> str:
    """Wait for a child's end; kill it at a limit, and say which ('' for none)."""
    process, ends = psutil.Process(child.pid), time.monotonic() + limit_seconds
    while True:
        with suppress(subprocess.TimeoutExpired):
            child.wait(_LOOK_SECONDS)
            return ""
        resident = 0
        with suppress(psutil.Error):
            resident = process.memory_info().rss
        if resident > limit_bytes or time.monotonic() > ends:
            child.kill()
            child.wait()
            return f"above {limit_bytes / 2**30:g} GiB" if resident > limit_bytes else f"after {limit_seconds:g} s"


def main() -> None:
    """Measure, keep, print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--terms", default="1,2,4,8,16,32")
    parser.add_argument("--other-terms", default="4,16")
    parser.add_argument("--python", action="append", default=[], help="of other releases, too")
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--output", type=Path, default=Path("docs/data/compile-memory.json"))
    chosen = parser.parse_args()
    ends = time.monotonic() + 60 * chosen.minutes
    samples = read_samples(chosen.output)
    for python in (sys.executable, *chosen.python) if chosen.minutes else ():
        releases = subprocess.run([python, "-c", _RELEASES], check=True, capture_output=True, text=True).stdout.strip()
        is_other = python in chosen.python
        terms = tuple(map(int, (chosen.other_terms if is_other else chosen.terms).split(",")))
        for row in rows_of(terms, is_other=is_other):
            there = {(sample.releases, sample.way, sample.likelihood, sample.terms) for sample in samples}
            if (releases, row.way, row.likelihood, row.terms) in there or time.monotonic() > ends:
                continue
            for sample in measure(python, releases, row):
                print(sample, file=sys.stderr, flush=True)
                samples.append(sample)
            write_file(chosen.output, (json.dumps([asdict(each) for each in samples], indent=1) + "\n").encode())
    print(markdown(samples, describe(samples)))


if __name__ == "__main__":
    main()
