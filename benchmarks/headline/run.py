"""The headline: how much sooner than the newest PyMC's default the fastest verified first gradient is there.

All sides are measured in turn, round by round, every second round backwards, each sample in a process of its own, cold
unless its name says otherwise; the densities by hand of `benchmarks.limit` are two of the sides. Each sample's
log-density and gradient agree with the oracle, or there is no table. Some 6 minutes a round on two idle cores.

Usage: ``python -m benchmarks.headline.run [--rounds 5] [--output docs/data/headline] [--page docs/findings.md]``.
``--again`` adds rounds to those in the output; ``--rounds 0`` prints its table.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.headline.sides import AS_NUTS, BY_HAND, LOOPS, SIDES, STATES, Side
from benchmarks.headline.table import collect, markdown
from benchmarks.limit.run import ROOT
from benchmarks.limit.run import measure as measure_by_hand
from benchmarks.limit.variants import Measured, Setup, read_measured
from benchmarks.markers import write_between_markers
from firstgrad.measuring.launch import run_sample
from firstgrad.measuring.private import PrivateCaches, worker_variables
from firstgrad.record import Record
from firstgrad.store import export_jsonl, import_jsonl
from firstgrad.units import format_seconds

if TYPE_CHECKING:
    from firstgrad.record import Record

type ByHand = tuple[str, int, Measured]


def measure_round(
    number: int, folders: dict[tuple[str, int], PrivateCaches], size: tuple[int, int]
) -> tuple[list[Record], list[ByHand]]:
    """Measure every side once."""
    records: list[Record] = []
    by_hand: list[ByHand] = []
    turns = [(side, states) for states in (0, STATES) for side in (*SIDES, AS_NUTS, BY_HAND, LOOPS)]
    for side, states in turns if number % 2 == 0 else reversed(turns):
        if isinstance(side, Side):
            private = folders["", states]
            private.restore()
            record = run_sample(side.case(states, size), private, label="headline")
            records.append(record)
            tell(side.name, states, record.time_to_first_gradient_seconds)
        elif side == AS_NUTS:
            private = folders[AS_NUTS, states]
            private.restore()
            measured = measure_as_nuts(private, states, size)
            by_hand.append((side, states, measured))
            tell(side, states, measured.first_gradient_wall_seconds)
        else:
            private = folders["", states]
            private.restore()
            setup = Setup(variant=side, n_states=states, is_warm=False)
            measured = measure_by_hand(setup, private, size, is_cached=False)
            by_hand.append((side, states, measured))
            tell(side, states, measured.first_gradient_wall_seconds)
    return records, by_hand


def measure_as_nuts(private: PrivateCaches, states: int, size: tuple[int, int]) -> Measured:
    """Measure PyTensor's Numba function in a fresh process; SystemExit where it fails."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.headline.as_nuts", *map(str, (states, *size))],
        env=worker_variables(private.folder, os.environ),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(f"{AS_NUTS} failed:\n{done.stderr}")
    return read_measured(json.loads(done.stdout.splitlines()[-1]))


def tell(name: str, states: int, seconds: float | None) -> None:
    """Say what was measured just now."""
    took = "failed" if seconds is None else format_seconds(seconds)
    print(f"{datetime.now(UTC):%H:%M:%S} {name}, {'HMM' if states else 'no HMM'}: {took}", file=sys.stderr, flush=True)


def describe(rounds: int, size: tuple[int, int], record: Record) -> str:
    """Say in a paragraph what was measured, and where."""
    environment = record.environment
    versions, host = dict(environment.versions), environment.host
    return (
        f"Pose model, T={size[0]}, K={size[1]}, C=3; {rounds} rounds of all sides, interleaved in one run, each sample "
        f"a process of its own. PyMC {versions['pymc']}, PyTensor {versions['pytensor']}, Numba {versions['numba']}, "
        f"JAX {versions['jax']}, Python {environment.python}, {host.cores} cores of {host.processor}, "
        f"{record.started_at[:10]}. Medians with their intervals (below 6 samples the whole range); ratios are paired "
        "by round, with 95% intervals. The first gradient is from the start of `build` to the end of the first call, "
        "import left out on all sides. Every sample agrees with the oracle. Made by `make headline`."
    )


def main() -> None:
    """Measure, keep, print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--timesteps", type=int, default=100)
    parser.add_argument("--directions", type=int, default=5)
    parser.add_argument("--output", type=Path, default=Path("docs/data/headline"), help="without its suffix")
    parser.add_argument("--again", action="store_true", help="add to what is in the output")
    parser.add_argument("--page", type=Path)
    chosen = parser.parse_args()
    size = (chosen.timesteps, chosen.directions)
    stored, beside = chosen.output.with_suffix(".jsonl"), chosen.output.with_suffix(".json")
    keep = chosen.again or chosen.rounds == 0
    records = list(import_jsonl(stored)) if keep else []
    by_hand = _read(beside) if keep else []

    with ExitStack() as stack:
        folders = {("", states): stack.enter_context(PrivateCaches()) for states in (0, STATES)}
        for states in (0, STATES) if chosen.rounds else ():
            folders[AS_NUTS, states] = private = stack.enter_context(PrivateCaches())
            measure_as_nuts(private, states, size)
            private.save()
        for number in range(chosen.rounds):
            more, more_by_hand = measure_round(number, folders, size)
            records, by_hand = [*records, *more], [*by_hand, *more_by_hand]
            export_jsonl(records, stored)
            written = [(name, states, asdict(each)) for name, states, each in by_hand]
            beside.write_text(json.dumps(written, indent=1) + "\n")

    found = collect(records, by_hand)
    text = markdown(found, describe(min(len(each.wall) for each in found.values()), size, records[-1]))
    print(text)
    if chosen.page:
        write_between_markers(chosen.page, "headline", text)


def _read(path: Path) -> list[ByHand]:
    return [(name, states, read_measured(measured)) for name, states, measured in json.loads(path.read_text())]


if __name__ == "__main__":
    main()
