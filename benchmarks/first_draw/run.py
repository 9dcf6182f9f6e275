"""Time to first draw: the pose model and five examples, by sampler and backend, cold and warm, over PyMC releases.

Each row is a cold sample and a warm one that starts from a copy of the cold one's caches, each a process of its own; a
round goes through all rows, every second round backwards. Rows that are in the output aren't measured again, so a run
goes on where it stopped. All rows take some 60 minutes on two idle cores; the last ones are the older releases', whose
environments are made (by uv, from ``benchmarks/releases/pins.toml``) when they are needed.

Usage: ``python -m benchmarks.first_draw.run [--rounds 1] [--minutes 75] [--only TEXT] [--here]
[--output docs/data/first-draw.jsonl]``. ``--only nutpie``: rows whose name has this text;
``--here``: those of this environment; ``--minutes 0`` prints the table of what is there.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
import tomllib
from collections import Counter
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.first_draw.rows import HERE, TITLES, Row, all_rows
from benchmarks.first_draw.table import markdown, row_of
from firstgrad.comparing.environments import Recipe, find_python, keep_environment
from firstgrad.measuring.interpreter import WORKER_NEEDS, ask_interpreter
from firstgrad.measuring.launch import run_sample
from firstgrad.measuring.private import PrivateCaches
from firstgrad.store import export_jsonl, import_jsonl
from firstgrad.units import format_seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from firstgrad.measuring.interpreter import Interpreter
    from firstgrad.record import Record

ROOT = Path(__file__).parents[2]
PINS = ROOT / "benchmarks" / "releases" / "pins.toml"


def recipe_of(release: str) -> Recipe:
    """Say what the environment of a pinned release is made of; SystemExit where it can't be made here."""
    (row,) = (row for row in tomllib.loads(PINS.read_text())["release"] if row["pymc"] == release)
    python = find_python(row["python"])
    if python is None:
        raise SystemExit(f"PyMC {release} is pinned with Python {row['python']}, which is not here. Install it")
    pinned = {name: f"{name}=={number}" for name, number in row.items() if name not in ("python", "default_backend")}
    needed = (name for name in WORKER_NEEDS if name not in pinned)
    return Recipe(python=str(python), python_version=row["python"], requirements=(*pinned.values(), *needed))


@cache
def interpreter_of(release: str) -> Interpreter | None:
    """Find or make a release's environment; none for this process's own."""
    return ask_interpreter(keep_environment(recipe_of(release), tell=print), folder=ROOT) if release else None


def plan(rows: Sequence[Row], measured: Sequence[Row], rounds: int) -> Iterator[Row]:
    """List what is still to be measured: round by round, every second one backwards."""
    there = Counter(measured)
    for number in range(rounds):
        for row in reversed(rows) if number % 2 else rows:
            if there[row] <= number:
                yield row


def measure_row(row: Row, interpreter: Interpreter | None) -> list[Record]:
    """Measure a row cold, then warm; only cold where that failed."""
    with PrivateCaches() as private:
        cold = run_sample(row.cold, private, label="first-draw", interpreter=interpreter)
        tell(row, cold)
        if cold.failure is not None:
            return [cold]
        private.save()
        private.restore()
        warm = run_sample(row.warm, private, label="first-draw", interpreter=interpreter)
        tell(row, warm)
        return [cold, warm]


def measure_all(
    rows: Iterator[Row],
    measure: Callable[[Row], list[Record]],
    keep: Callable[[list[Record]], object],
    *,
    minutes: float,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Measure row after row until the time is over; what was begun is ended and kept."""
    ends = clock() + 60 * minutes
    for row in rows:
        if clock() >= ends:
            return
        keep(measure(row))


def tell(row: Row, record: Record) -> None:
    """Say what was measured just now."""
    took = "failed" if record.window_seconds is None else format_seconds(record.window_seconds)
    name = f"{TITLES[row.model]}, {row.way}{f', PyMC {row.release}' if row.release else ''}, {record.case.scenario}"
    print(f"{datetime.now(UTC):%H:%M:%S} {name}: {took}", file=sys.stderr, flush=True)


def main() -> None:
    """Measure, keep, print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=75.0)
    parser.add_argument("--only", default="", help="rows whose model, way or release has this text")
    parser.add_argument("--here", action="store_true", help="only this environment's release")
    parser.add_argument("--output", type=Path, default=Path("docs/data/first-draw.jsonl"))
    chosen = parser.parse_args()
    os.chdir(ROOT)  # examples are found from there
    records = list(import_jsonl(chosen.output)) if chosen.output.exists() else []
    rows = [
        row
        for row in all_rows()
        if chosen.only in f"{TITLES[row.model]} {row.way} {row.release}" and (row.release == HERE or not chosen.here)
    ]
    if not rows:
        parser.error(f"no row has {chosen.only!r}: {', '.join(sorted({TITLES[row.model] for row in all_rows()}))}")

    def keep(more: list[Record]) -> None:
        records.extend(more)
        export_jsonl(records, chosen.output)

    # The cold sample of a row stands for the row: a warm one may be missing where it failed.
    measured = [row for record in records if record.case == (row := row_of(record)).cold]
    measure_all(
        plan(rows, measured, chosen.rounds),
        lambda row: measure_row(row, interpreter_of(row.release)),
        keep,
        minutes=chosen.minutes,
    )
    if records:
        print(markdown(records))


if __name__ == "__main__":
    main()
