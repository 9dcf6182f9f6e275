"""Judge ``firstgrad compare`` by measured samples, beside asv's and pytest-benchmark's own rules on the same numbers.

Each round of the samples (``collect.py``) has two of the same case. Which of them is called BASE is chosen by chance,
so nothing changed, and every alarm is a false one. A planted slowdown is the same rounds, with all seconds of HEAD
multiplied. Trials are windows of consecutive rounds as they were measured, and rounds drawn again in blocks of
neighbours, which leaves drift and bursts as they were.

Usage: ``python -m benchmarks.trust.judge [docs/data/trust.jsonl] [--trials 2000]
[--data docs/data/trust-report.json]``. Exit code 1 where firstgrad's false alarms or power miss what is promised: at
most 2% false alarms, +10% found in at least 95% at the default number of rounds, +5% with ``--until-decided``.
"""

from __future__ import annotations

import argparse
import math
import sys
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.trust.judges import CPU, GATING, Firstgrad, FirstgradUntilDecided, Measured
from benchmarks.trust.report import CurvePoint, ToolResult, TrustReport, UntilDecided, to_text
from benchmarks.trust.rounds import read_rounds
from benchmarks.trust.trials import power_curve, real_unchanged, really_slower, simulated
from benchmarks.trust.yardsticks import yardsticks
from firstgrad.cli.compare import DEFAULT_ROUNDS
from firstgrad.codec import to_json
from firstgrad.comparing.judge import plan_looks
from firstgrad.comparing.ratio import estimate_ratio
from firstgrad.store import import_jsonl

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.trust.rounds import Round
    from benchmarks.trust.trials import Judge
    from benchmarks.trust.yardsticks import Yardstick
    from firstgrad.record import Record

MOST_FALSE, LEAST_POWER = 0.02, 0.95
LENGTHS = (3, 5, 7, 10, 15, 20, 30, 45)
LABELLINGS = 3
_NORMAL_MAD = 1.4826
_NAME = "firstgrad compare"


def judge_all(rounds: Sequence[Round], trials: int) -> TrustReport:
    """Put all judges to all trials."""
    tools: dict[str, Judge] = {_NAME: Firstgrad()}
    tools |= {each.name: _as_judge(each) for each in yardsticks()}
    long = FirstgradUntilDecided()
    return TrustReport(
        where=_where(rounds),
        rounds=len(rounds),
        default_rounds=DEFAULT_ROUNDS,
        drift=_drift(rounds),
        noise=_scatter([math.log(_cpu(each)) for one in rounds for each in (one.a, one.b)]),
        paired_noise=_scatter([math.log(_cpu(each.b) / _cpu(each.a)) for each in rounds]),
        real_factor=_real_factor(rounds),
        tools=tuple(_judge_tool(name, tool, rounds, trials) for name, tool in tools.items()),
        until_decided=tuple(
            UntilDecided(
                factor=factor, tally=simulated(long, rounds, plan_looks()[-1], trials=trials // 2, factor=factor)
            )
            for factor in (1.0, 1.05, 1.1)
        ),
        curve=tuple(
            CurvePoint(tool=name, factor=factor, rounds=length, found=found)
            for factor in (1.05, 1.1)
            for name, tool in tools.items()
            for length, found in power_curve(lambda _, tool=tool: tool, rounds, LENGTHS, factor, trials=trials // 4)
        ),
    )


def misses(report: TrustReport) -> list[str]:
    """Say what of firstgrad's own promises the trials don't bear out."""
    own = report.tools[0]
    promised = [
        ("false alarms, measured", own.windows.any_metric.value, False),
        ("false alarms, drawn", own.drawn.any_metric.value, False),
        (f"+10% with {report.default_rounds} rounds", own.slower_10.time.value, True),
    ]
    for each in report.until_decided:
        if each.factor == 1:
            promised.append(("false alarms until decided", each.tally.any_metric.value, False))
        else:
            promised.append((f"+{each.factor - 1:.0%} until decided", each.tally.time.value, True))
    return [
        f"{name}: {share:.1%}, and {'at least' if is_power else 'at most'} "
        f"{LEAST_POWER if is_power else MOST_FALSE:.0%} is promised"
        for name, share, is_power in promised
        if (share < LEAST_POWER if is_power else share > MOST_FALSE)
    ]


def _as_judge(yardstick: Yardstick) -> Judge:
    """Asv looks at every metric that it is given, pytest-benchmark at times alone."""
    return Measured(yardstick=yardstick, metrics=GATING if yardstick.name.startswith("asv") else ())


def _judge_tool(name: str, tool: Judge, rounds: Sequence[Round], trials: int) -> ToolResult:
    length = DEFAULT_ROUNDS
    has_slower = sum(each.slower is not None for each in rounds) >= length
    return ToolResult(
        name=name,
        windows=real_unchanged(tool, rounds, length, labellings=LABELLINGS),
        disjoint=real_unchanged(tool, rounds, length, step=length),
        drawn=simulated(tool, rounds, length, trials=trials),
        slower_5=simulated(tool, rounds, length, trials=trials // 2, factor=1.05, seed=1),
        slower_10=simulated(tool, rounds, length, trials=trials // 2, factor=1.1, seed=1),
        really_slower=really_slower(tool, rounds, length, trials=trials // 4) if has_slower else None,
    )


def _cpu(record: Record) -> float:
    found = CPU.read(record)
    if found is None:
        raise SystemExit(f"record {record.record_id} has no {CPU.title}")
    return found


def _scatter(logs: Sequence[float]) -> float:
    return float(_NORMAL_MAD * np.median(np.abs(np.array(logs) - np.median(logs))))


def _drift(rounds: Sequence[Round]) -> float:
    means = np.array([math.log(_cpu(each.a)) + math.log(_cpu(each.b)) for each in rounds])
    return float(np.corrcoef(means[:-1], means[1:])[0, 1])


def _real_factor(rounds: Sequence[Round]) -> tuple[float, float, float] | None:
    known = [(math.sqrt(_cpu(each.a) * _cpu(each.b)), _cpu(each.slower)) for each in rounds if each.slower is not None]
    if len(known) < 2:  # noqa: PLR2004 - one has no spread
        return None
    found = estimate_ratio([one for one, _ in known], [other for _, other in known], paired=True)
    return found.value, found.low, found.high


def _where(rounds: Sequence[Round]) -> str:
    first, last = rounds[0].a, rounds[-1].a
    environment = first.environment
    versions = dict(environment.versions)
    days = sorted({first.started_at[:10], last.started_at[:10]})
    loads = [each.a.environment.load_before for each in rounds]
    named = [f"{name} {versions[name]}" for name in ("pymc", "pytensor", "jax", "numpy") if name in versions]
    named += [f"{name} {version(name)}" for name in ("asv", "pytest-benchmark")]
    return (
        f"Pose T=5 K=1, {first.case.backend}, {first.case.scenario}, on {environment.host.cores} cores of "
        f"{environment.host.processor}, load before a sample {np.median(loads):.1f} (median), {' to '.join(days)}; "
        f"Python {environment.python}, {', '.join(named)}."
    )


def main() -> None:
    """Judge, print, and put it into the page and beside the data where asked to."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("samples", nargs="?", type=Path, default=Path("docs/data/trust.jsonl"))
    parser.add_argument("--trials", type=int, default=2000)
    parser.add_argument("--data", type=Path, help="write the numbers here, for the figure and the page")
    chosen = parser.parse_args()
    rounds = read_rounds(import_jsonl(chosen.samples))
    if len(rounds) < 2 * DEFAULT_ROUNDS:
        parser.error(f"{chosen.samples} has {len(rounds)} rounds, and it takes {2 * DEFAULT_ROUNDS}: collect some more")
    report = judge_all(rounds, chosen.trials)
    print(to_text(report))
    if chosen.data:
        chosen.data.write_text(to_json(report) + "\n")
    missed = misses(report)
    for each in missed:
        print(f"MISSED: {each}")
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
