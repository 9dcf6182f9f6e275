"""The headline: the unchanged pose model's first gradient and first draw, by firstgrad, by PyMC's default, by hand.

All ways are measured in turn, round by round, every second round backwards, each sample in a process of its own; a
second process starts with the caches that one like it filled. What was measured is kept at once, and a run goes on
where it stopped. On two idle cores a round takes some 8 minutes of K=5 and 3 of K=20; what is measured once, in the
end, 5 and some 30.

Usage: ``python -m benchmarks.headline.run [--rounds 3] [--directions 5 20] [--only TEXT] [--minutes 60]
[--output docs/data/headline]``. ``--anew`` forgets what is in the
output; ``--again`` adds rounds to it; ``--only``: turns whose name has this text; ``--minutes 0`` prints the table.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.headline.sides import STATES, TURNS, Quantity, Size, Turn, Way
from benchmarks.headline.table import (
    LABEL,
    Called,
    collect,
    describe,
    markdown,
    read_called,
    round_of,
    turn_of,
    write_called,
)
from benchmarks.limit.run import ROOT, fill
from benchmarks.limit.run import measure as measure_by_hand
from benchmarks.limit.variants import Setup, read_measured
from firstgrad.case import Scenario
from firstgrad.measuring.launch import run_sample
from firstgrad.measuring.private import PrivateCaches, worker_variables
from firstgrad.store import export_jsonl, import_jsonl
from firstgrad.units import format_seconds

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmarks.limit.variants import Measured
    from firstgrad.record import Record

type Step = tuple[int, Size, Turn]


def plan(turns: Sequence[Turn], sizes: Sequence[Size], rounds: range, done: set[Step]) -> Iterator[Step]:
    """List what is still to be measured: round by round, every second one backwards; at last what is measured once."""
    cells = [(size, turn) for size in sizes for turn in turns]
    often = [(size, turn) for size, turn in cells if not turn.is_rare(size)]
    for number in rounds:
        steps = [(number, size, turn) for size, turn in (reversed(often) if number % 2 else often)]
        yield from (step for step in steps if step not in done)
    yield from (step for size, turn in cells if turn.is_rare(size) and (step := (0, size, turn)) not in done)


@dataclass(slots=True)
class Kept:
    """What was measured, in two files: firstgrad's records, and what it has no case for."""

    output: Path  # without its suffix
    records: list[Record] = field(default_factory=list)
    called: list[Called] = field(default_factory=list)

    @property
    def files(self) -> tuple[Path, Path]:
        """Both."""
        return self.output.with_suffix(".jsonl"), self.output.with_name(f"{self.output.name}-called.ndjson")

    def read(self) -> None:
        """Read what is there."""
        records, called = self.files
        self.records = list(import_jsonl(records)) if records.exists() else []
        self.called = read_called(called)

    def add(self, records: list[Record], called: list[Called]) -> None:
        """Add samples, and write."""
        self.records, self.called = [*self.records, *records], [*self.called, *called]
        export_jsonl(self.records, self.files[0])
        self.files[1].write_text(write_called(self.called))

    @property
    def done(self) -> set[Step]:
        """What need not be measured again; the first sample of a turn stands for the turn."""
        of_records = {(round_of(one), *reversed(turn_of(one))) for one in self.records}
        named = {(turn.way, turn.is_called): turn for turn in TURNS if turn.variant or turn.is_called}
        is_called = {one: one.quantity is Quantity.EVALUATION for one in self.called}
        return of_records | {(one.round, one.size, named[one.way, is_called[one]]) for one in self.called}


class Bench:
    """Measures turns; filled caches of what firstgrad has no case for are kept from round to round."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._empty = stack.enter_context(PrivateCaches())
        self._filled: dict[tuple[Size, Way], PrivateCaches] = {}

    def measure(self, number: int, size: Size, turn: Turn) -> tuple[list[Record], list[Called]]:
        """Measure a turn: its first process, and where it has one the second."""
        if not (turn.variant or turn.is_called):
            return list(self._records(number, size, turn)), []
        called = []
        for quantity, measured in self._called(size, turn):
            began = datetime.now(UTC).isoformat(timespec="seconds")
            one = Called(way=turn.way, size=size, quantity=quantity, round=number, started_at=began, measured=measured)
            called.append(one)
            is_evaluation = quantity is Quantity.EVALUATION
            tell(size, turn.way, quantity, measured.evaluation_seconds if is_evaluation else first_gradient(measured))
        return [], called

    def _records(self, number: int, size: Size, turn: Turn) -> Iterator[Record]:
        with PrivateCaches() as private:
            for scenario in (Scenario.COLD, Scenario.WARM) if turn.has_second else (Scenario.COLD,):
                if scenario is Scenario.WARM:
                    private.save()
                    private.restore()
                record = run_sample(turn.case(size, scenario), private, label=f"{LABEL} {number}")
                tell(size, turn.way, turn.quantity(scenario), record.window_seconds)
                yield record
                if record.failure is not None:
                    return

    def _called(self, size: Size, turn: Turn) -> Iterator[tuple[Quantity, Measured]]:
        shape = size.timesteps, size.directions
        if turn.is_called:
            private = self._filled_by(size, turn)
            yield Quantity.EVALUATION, measure_as_nuts(private, turn.way, size)
            return
        self._empty.restore()
        cold = Setup(variant=turn.variant, n_states=size.states, is_warm=False)
        yield Quantity.FIRST_GRADIENT, measure_by_hand(cold, self._empty, shape, is_cached=False)
        if turn.has_second:
            second = Setup(variant=turn.variant, n_states=size.states, is_warm=True)
            yield Quantity.SECOND_GRADIENT, measure_by_hand(second, self._filled_by(size, turn), shape, is_cached=True)

    def _filled_by(self, size: Size, turn: Turn) -> PrivateCaches:
        """Bring the caches that a process like the one to be measured left."""
        private = self._filled.get((size, turn.way))
        if private is None:
            private = self._filled[size, turn.way] = self._stack.enter_context(PrivateCaches())
            if turn.is_called:
                measure_as_nuts(private, turn.way, size)
                private.save()
            else:
                setup = Setup(variant=turn.variant, n_states=size.states, is_warm=True)
                fill(setup, private, (size.timesteps, size.directions))
        private.restore()
        return private


def first_gradient(measured: Measured) -> float:
    """Seconds, without the import."""
    return measured.first_gradient_wall_seconds


def measure_as_nuts(private: PrivateCaches, way: Way, size: Size) -> Measured:
    """Measure a bare function in a fresh process; SystemExit where it fails."""
    words = map(str, (way, size.states, size.timesteps, size.directions))
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.headline.as_nuts", *words],
        env=worker_variables(private.folder, os.environ),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(f"{way}, {size}, failed:\n{done.stderr}")
    return read_measured(json.loads(done.stdout.splitlines()[-1]))


def tell(size: Size, way: Way, quantity: Quantity, seconds: float | None) -> None:
    """Say what was measured just now."""
    took = "failed" if seconds is None else format_seconds(seconds)
    print(f"{datetime.now(UTC):%H:%M:%S} {size}, {way}, {quantity}: {took}", file=sys.stderr, flush=True)


def main() -> None:
    """Measure, keep, print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3, help="that are to be there in the end")
    parser.add_argument("--directions", type=int, nargs="+", default=[5, 20])
    parser.add_argument("--timesteps", type=int, default=100)
    parser.add_argument("--only", default="", help="turns whose name has this text")
    parser.add_argument("--minutes", type=float, default=600.0, help="no turn is begun after that")
    parser.add_argument("--output", type=Path, default=Path("docs/data/headline"), help="without its suffix")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--again", action="store_true", help="as many rounds more than are in the output")
    how.add_argument("--anew", action="store_true", help="forget what is in the output")
    chosen = parser.parse_args()
    turns = [turn for turn in TURNS if chosen.only in turn.name]
    if not turns:
        parser.error(f"no turn's name has {chosen.only!r}: {', '.join(turn.name for turn in TURNS)}")
    sizes = [
        Size(timesteps=chosen.timesteps, directions=directions, states=states)
        for directions in chosen.directions
        for states in (0, STATES)
    ]
    kept = Kept(chosen.output)
    if not chosen.anew:
        kept.read()
    done = kept.done
    first = max((number + 1 for number, *_ in done), default=0) if chosen.again else 0
    ends = time.monotonic() + 60 * chosen.minutes
    with ExitStack() as stack:
        bench = Bench(stack)
        for step in plan(turns, sizes, range(first, first + chosen.rounds), done):
            if time.monotonic() >= ends:
                break
            kept.add(*bench.measure(*step))
    samples, failures = collect(kept.records, kept.called)
    print(markdown(samples, failures, describe(kept.records) if kept.records else ""))


if __name__ == "__main__":
    main()
