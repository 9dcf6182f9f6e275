"""Measure the samples that ``firstgrad compare`` is judged by: many rounds of one small case, each side in each round.

A round has a sample of side ``A`` and one of side ``B``, which are the same, and in the first rounds one of ``slower``,
whose factory does more work: so many turns of a loop that they should cost a tenth of A's CPU time. The order within a
round is random. Each sample is a process of its own with a warm cache (JAX, the smallest pose model); a whole
comparison has to be cheap, for hundreds of them are wanted. The records go to a file after every round, and a second
call goes on where the first one ended.

Usage: ``python -m benchmarks.trust.collect [FILE.jsonl] [--rounds 200] [--slower-rounds 60] [--minutes 40]``.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.trust.model import turn
from benchmarks.trust.rounds import SLOWER, A, B, Round, read_rounds
from firstgrad.case import BackendName, Case, Scenario
from firstgrad.doubts import why_unusable
from firstgrad.measuring.launch import measure
from firstgrad.model import Model
from firstgrad.store import export_jsonl, import_jsonl
from firstgrad.units import format_seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from firstgrad.record import Record

REFERENCE = "benchmarks/trust/model.py:build"
SHARE = 0.1
_ROUNDS_TO_CALIBRATE = 3
_TURNS = 200_000

type Measure = Callable[[Case, str], Record]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is to be measured.

    Attributes
    ----------
    rounds, slower_rounds : int
        How many in all, and in how many of the first of them the slower side takes part.
    budget_seconds : float
        No round is begun that is expected to end later.
    seed : int
        Of the order within rounds.
    """

    rounds: int
    slower_rounds: int
    budget_seconds: float
    seed: int = 0


def case_of(work: int) -> Case:
    """Make the case whose factory does so much more work."""
    model = Model(reference=REFERENCE, parameters=(("work", work),))
    return Case(model=model, backend=BackendName.JAX, scenario=Scenario.WARM, evaluations=20)


def order(number: int, sides: Sequence[str], seed: int) -> list[str]:
    """Shuffle the sides of a round; the same seed and number give the same order, so that a run can be taken up."""
    shuffled = list(sides)
    random.Random(f"{seed} {number}").shuffle(shuffled)  # noqa: S311 - an order, no secret
    return shuffled


def collect(
    done: Sequence[Round],
    plan: Plan,
    take: Measure,
    *,
    keep: Callable[[Sequence[Round]], None],
    seconds_of_a_turn: Callable[[], float],
    clock: Callable[[], float] = time.monotonic,
) -> list[Round]:
    """Measure what is missing of the plan.

    Parameters
    ----------
    done : sequence of Round
        That were measured before.
    plan : Plan
        What is wanted.
    take : callable
        Measures a case under a label.
    keep : callable
        Takes all rounds after each new one.
    seconds_of_a_turn : callable
        CPU seconds of one turn of the slower side's loop.
    clock : callable
        In seconds.

    Returns
    -------
    list of Round
        All, those before included.

    Raises
    ------
    SystemExit
        Where a sample fails: it would fail again.
    """
    rounds, began, longest = list(done), clock(), 0.0
    work = next((_work_of(each.slower) for each in rounds if each.slower is not None), 0)
    while len(rounds) < plan.rounds:
        round_began = clock()
        if longest and round_began - began + longest > plan.budget_seconds:
            break
        number = len(rounds)
        if not work and number >= _ROUNDS_TO_CALIBRATE:
            work = _calibrate(rounds, seconds_of_a_turn())
        slower_done = sum(each.slower is not None for each in rounds)
        sides = (A, B, SLOWER) if work and slower_done < plan.slower_rounds else (A, B)
        found = {side: take(case_of(work if side == SLOWER else 0), side) for side in order(number, sides, plan.seed)}
        for record in found.values():
            if reason := why_unusable(record):
                raise SystemExit(f"a sample failed: {reason}")
        rounds.append(Round(a=found[A], b=found[B], slower=found.get(SLOWER)))
        keep(rounds)
        # the round in which a side's cache is filled is longer than all others, and so is a first estimate
        longest = max(0.8 * longest, clock() - round_began)
    return rounds


def _work_of(record: Record) -> int:
    model = record.case.model
    return int(dict(model.parameters)["work"]) if model.reference != "pose" else 0


def _calibrate(rounds: Sequence[Round], seconds_of_a_turn: float) -> int:
    """Find how many turns cost the wanted share of a sample's CPU time."""
    spent = [each for one in rounds for record in (one.a, one.b) if (each := record.time_to_first_gradient_cpu_seconds)]
    return max(round(SHARE * statistics.median(spent) / seconds_of_a_turn), 1)


def cpu_seconds_of_a_turn() -> float:
    """Measure the loop in this process: the least of five trials."""
    trials = []
    for _ in range(5):
        began = time.process_time()
        turn(_TURNS)
        trials.append(time.process_time() - began)
    return min(trials) / _TURNS


def slimmed(record: Record) -> Record:
    """Leave out what no comparison looks at: rewrite passes and the memory time line, three quarters of a record."""
    memory = None if record.memory is None else replace(record.memory, timeline=())
    return replace(record, memory=memory, rewrite_passes=())


def main() -> None:
    """Collect, and say what was spent."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("output", nargs="?", type=Path, default=Path("docs/data/trust.jsonl"))
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--slower-rounds", type=int, default=60)
    parser.add_argument("--minutes", type=float, default=40.0)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    output: Path = chosen.output
    done = read_rounds(import_jsonl(output)) if output.exists() else []
    plan = Plan(
        rounds=chosen.rounds,
        slower_rounds=chosen.slower_rounds,
        budget_seconds=60 * chosen.minutes,
        seed=chosen.seed,
    )
    with tempfile.TemporaryDirectory(prefix="firstgrad-trust-") as folder:

        def take(case: Case, label: str) -> Record:
            began = time.monotonic()
            (record,) = measure(case, label=label, keep_filled=Path(folder) / case.id)
            spent = format_seconds(record.time_to_first_gradient_cpu_seconds or 0.0)
            print(f"{label:7} {spent:>8} CPU, {time.monotonic() - began:5.1f} s in all", flush=True)
            return slimmed(record)

        def keep(rounds: Sequence[Round]) -> None:
            export_jsonl((record for each in rounds for record in each.records()), output)
            print(f"round {len(rounds)} of {plan.rounds}", flush=True)

        rounds = collect(done, plan, take, keep=keep, seconds_of_a_turn=cpu_seconds_of_a_turn)
    if len(rounds) < plan.rounds:
        print(f"out of time after {len(rounds)} rounds: call again to go on", file=sys.stderr)


if __name__ == "__main__":
    main()
