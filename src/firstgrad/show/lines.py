"""Samples put together as lines, and lines as rows: one a case, the worst first.

A line is a case under one set of conditions, with one label, at one commit: nothing else is ever put together. A row is
a case under one set of conditions: its newest line, beside the one before.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from typing import TYPE_CHECKING, Any

from firstgrad.case import BackendName, Case, GradientBackend, Sampler, Scenario, Target
from firstgrad.columns import AT_LEAST, METRICS
from firstgrad.model import Model
from firstgrad.phase import FIRST_DRAW_PHASES, FIRST_GRADIENT_PHASES, Phase
from firstgrad.record import Doubt, Status, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import pandas as pd

CONTRADICTED = "contradicted"
"""Status of a sample that ended well and was no such measurement: its caches contradict the scenario."""
CASE = ["case", "conditions"]
LINE = [*CASE, "label", "git_commit"]
FIRST = "time_to_first_gradient"
"""The column of the time to the target: `prepare_samples` puts that to the first draw there, too."""
FAILED, WRONG, STOPPED, GOOD = range(4)
"""How grave a row is."""

_AXES = (
    *("reference", "parameters", "backend", "asked_device", "target", "scenario"),
    *("sampler", "gradient_backend", "chains"),
)
_DRAW = "time_to_first_draw"
_WORST_FIRST = (Verdict.DISAGREES, Verdict.AGREES, Verdict.NO_ORACLE, Verdict.DREW, Verdict.UNCHECKED)
_FAILED = {Status.FAILED, Status.CRASHED}
_STOPPED = {CONTRADICTED, Status.TIMEOUT, Status.OUT_OF_MEMORY}
_WRONG = {Doubt.NOT_FINITE, Doubt.GRADIENT_SUSPECT}
_CALLS = [f"calls_{phase}" for phase in FIRST_GRADIENT_PHASES]


def prepare_samples(samples: pd.DataFrame) -> pd.DataFrame:
    """Add to a samples table what the page groups and shows by.

    ``case`` numbers what was asked without what was counted beside, so that a sample that only counted belongs to the
    timed ones; ``is_counting`` marks it. ``status`` also knows `CONTRADICTED`. Samples of first draws have their time
    where others have that to the first gradient: the target tells which. ``calls`` is the sum over phases.
    """
    import pandas as pd

    names = [metric.name + end for metric in METRICS for end in ("", AT_LEAST)]
    made = samples[names].replace([math.inf, -math.inf], math.nan)
    for end in ("", "_cpu", AT_LEAST, f"_cpu{AT_LEAST}"):
        made[FIRST + end] = made[FIRST + end].fillna(made[_DRAW + end])
    is_contradicted = (samples["status"] == Status.OK) & (samples["reason"] != "")
    made["status"] = samples["status"].mask(is_contradicted, CONTRADICTED)
    made["case"] = samples.groupby(list(_AXES), dropna=False, sort=False).ngroup()
    made["is_counting"] = samples["doubts"].str.split().map(lambda doubts: Doubt.COUNTED in doubts).astype(bool)
    made["calls"] = samples[_CALLS].sum(axis=1, min_count=1)
    return pd.concat([samples.drop(columns=[*names, "status"]), made], axis=1)


def make_lines(samples: pd.DataFrame, commits: Mapping[str, str] | None = None) -> pd.DataFrame:
    """Put prepared samples together that belong together, a line each, the newest first.

    Where `commits` (as git has them, the oldest first) has all commits that there are, newer is later in it; else it is
    measured later. A line has what all its samples have in common; ``n_samples``, and ``n_counting`` of them;
    ``n_counted``, whose numbers count; ``newest``; each metric's median over these, and its largest bound;
    ``first_gradients`` and ``evaluations``, those numbers themselves; status, verdict and doubts of all.
    """
    import pandas as pd

    names, bounds = [*(metric.name for metric in METRICS), "calls"], [metric.name + AT_LEAST for metric in METRICS]
    groups = samples.groupby(LINE, sort=False)
    counted = samples[samples["reason"] == ""].groupby(LINE, sort=False)
    common = samples.drop_duplicates(LINE).set_index(LINE)[["model", *_AXES, "host"]]
    made = pd.DataFrame(
        {
            "n_samples": groups.size(),
            "n_counting": groups["is_counting"].sum(),
            "n_counted": counted.size(),
            "newest": groups["started_at"].max(),
            "status": groups["status"].agg(_count_statuses),
            "verdict": groups["verdict"].agg(lambda verdicts: min(verdicts, key=_WORST_FIRST.index)),
            "doubts": groups["doubts"].agg(_in_order),
            "first_gradients": counted[FIRST].agg(lambda numbers: tuple(numbers.dropna())),
            "evaluations": counted["evaluation"].agg(lambda numbers: tuple(numbers.dropna())),
        }
    )
    lines = common.join(made).join(counted[names].median()).join(groups[bounds].max())
    lines = lines.copy()  # in one piece, as `firstgrad.columns.samples_table`
    lines["n_counted"] = lines["n_counted"].fillna(0).astype(int)
    for name in ("first_gradients", "evaluations"):
        lines[name] = [numbers if isinstance(numbers, tuple) else () for numbers in lines[name]]
    lines = lines.reset_index()
    places = {commit: place for place, commit in enumerate(commits or {})}
    is_known = set(lines["git_commit"]) <= places.keys()
    lines["place"] = lines["git_commit"].map(places) if is_known else 0
    return lines.sort_values(["place", "newest"], ascending=False, kind="stable", ignore_index=True)


def _count_statuses(statuses: Iterable[str]) -> str:
    counts = Counter(statuses)
    if len(counts) == 1:
        return next(iter(counts))
    return ", ".join(f"{count} {status}" for status, count in counts.most_common())


def _in_order(texts: Iterable[str]) -> str:
    doubts = " ".join(texts).split()
    return ", ".join(doubt for doubt in Doubt if doubt in doubts and doubt is not Doubt.COUNTED)


def make_rows(lines: pd.DataFrame) -> pd.DataFrame:
    """Take the newest line of each case under each conditions, the worst first, with the one before beside it.

    Failures come first, then wrong gradients, then what was stopped or was no such measurement, then the slowest.
    ``gravity`` says which, from 0 on; ``before``, ``label_before`` and ``commit_before`` are of the line before, and
    ``n_lines`` says of how many.
    """
    rows = lines.drop_duplicates(CASE)
    before = lines.drop(rows.index).drop_duplicates(CASE).set_index(CASE)[[FIRST, "label", "git_commit"]]
    before.columns = ["before", "label_before", "commit_before"]
    rows = rows.join(before, on=CASE).join(lines.groupby(CASE).size().rename("n_lines"), on=CASE)
    known = rows[FIRST].fillna(rows[FIRST + AT_LEAST])
    rows = rows.assign(gravity=[_gravity(line) for line in rows.itertuples()], waited=known)
    return rows.sort_values(["gravity", "waited"], ascending=[True, False], kind="stable", ignore_index=True)


def _gravity(line: Any) -> int:
    words = set(line.status.replace(",", "").split())
    if words & _FAILED:
        return FAILED
    if Status.MISMATCH in words or line.verdict == Verdict.DISAGREES or set(line.doubts.split(", ")) & _WRONG:
        return WRONG
    return STOPPED if words & _STOPPED else GOOD


def case_of(line: Any) -> Case:
    """Make the case of a line again, as it is asked by default: without limits of its own."""
    model = Model(
        reference=line.reference, parameters=tuple((name, value) for name, value in json.loads(line.parameters))
    )
    is_draw = line.target == Target.FIRST_DRAW
    draw: dict[str, Any] = {}
    if is_draw:
        gradient = line.gradient_backend
        draw = {"sampler": Sampler(line.sampler), "chains": int(line.chains)}
        draw["gradient_backend"] = GradientBackend(gradient) if isinstance(gradient, str) else None
    return Case(
        model=model,
        backend=BackendName(line.backend),
        target=Target(line.target),
        scenario=Scenario(line.scenario),
        device=line.asked_device if isinstance(line.asked_device, str) else "",
        **draw,
    )


def longest_phase(line: Any) -> tuple[Phase, float] | None:
    """Find the phase that takes most of the time to the target, and its median seconds; none where none is known."""
    window = FIRST_DRAW_PHASES if line.target == Target.FIRST_DRAW else FIRST_GRADIENT_PHASES
    seconds = {phase: getattr(line, f"phase_{phase}") for phase in window}
    known = {phase: number for phase, number in seconds.items() if not math.isnan(number)}
    return max(known.items(), key=lambda one: one[1]) if known else None
