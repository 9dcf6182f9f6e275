"""What was measured and what came of it, in sentences."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from firstgrad.case import BackendName, Scenario
from firstgrad.record import Status, Verdict
from firstgrad.report.cases import CONTRADICTED, status_of
from firstgrad.show.words import shown
from firstgrad.units import format_seconds

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from firstgrad.report.cases import CaseRows
    from firstgrad.row import Row

_LONGEST_NAME = 100
_STOPPED = (Status.TIMEOUT, Status.OUT_OF_MEMORY)


@dataclass(frozen=True, slots=True, kw_only=True)
class SummarySection:
    """The results: a sentence each."""

    template: ClassVar[str] = "summary.html"
    id: ClassVar[str] = "results"
    title: ClassVar[str] = "Results"
    sentences: tuple[str, ...]


def summary_section(rows: Sequence[Row], groups: Sequence[CaseRows]) -> SummarySection:
    """Say how long first gradients took, by backend and scenario, and how many samples are sound."""
    return SummarySection(sentences=(*_times(groups), *_soundness(rows)))


def tell_measured(rows: Sequence[Row], groups: Sequence[CaseRows]) -> str:
    """Say in one sentence what was measured: samples, cases, models, backends, hosts and dates."""
    models = len({(row.family, row.axes) for row in rows})
    hosts = len({row.host for row in rows})
    used = {row.backend for row in rows}
    backends = _join(str(each) for each in BackendName if each in used)
    began, ended = (shown(choose(row.started_at for row in rows)[:10]) for choose in (min, max))
    measured = f"on {began}" if began == ended else f"from {began} to {ended}"
    return (
        f"{count(len(rows), 'sample')} of {count(len(groups), 'case')}: {count(models, 'model')}, compiled by "
        f"{backends}, on {count(hosts, 'host')}, measured {measured} (UTC)."
    )


def count(number: int, what: str) -> str:
    """Write how many there are, such as ``1 sample`` or ``1,200 samples``."""
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"


def _times(groups: Sequence[CaseRows]) -> Iterable[str]:
    for backend in BackendName:
        for scenario in Scenario:
            of_it = [each for each in groups if each.rows[0].backend is backend and each.rows[0].scenario is scenario]
            if of_it:
                yield f"{backend}, {scenario}: {_range(of_it)}."


def _range(groups: Sequence[CaseRows]) -> str:
    known = [
        (median, group.rows[0].model)
        for group in groups
        if (median := group.median("time_to_first_gradient")) is not None
    ]
    if not known:
        return f"no first gradient that counts, in {count(len(groups), 'case')}"
    least, most = (choose(known, key=lambda each: each[0]) for choose in (min, max))
    without = len(groups) - len(known)
    more = f"; {count(without, 'further case')} without one" if without else ""
    if len(known) == 1:
        return f"first gradient after {_tell(most)}{more}"
    return f"first gradient after {_tell(least)} to {_tell(most)}, in {count(len(known), 'case')}{more}"


def _tell(known: tuple[float, str]) -> str:
    seconds, model = known
    return f"{format_seconds(seconds)} ({shown(model, _LONGEST_NAME)})"


def _soundness(rows: Sequence[Row]) -> Iterable[str]:
    verdicts, statuses = (
        Counter(row.verdict for row in rows),
        Counter(status_of(row) for row in rows),
    )
    stopped = sum(statuses[each] for each in _STOPPED)
    failed = sum(statuses[each] for each in (Status.FAILED, Status.CRASHED))
    disagreeing, without = verdicts[Verdict.DISAGREES], verdicts[Verdict.NO_ORACLE]
    yield (
        f"{_are(verdicts[Verdict.AGREES], 'agrees', 'agree')} with the oracle, {disagreeing:,} "
        f"{'disagrees' if disagreeing == 1 else 'disagree'}; {without:,} are of models that have none."
    )
    yield (
        f"{_are(failed, 'failed', 'failed')}, {stopped:,} stopped by a limit of time or memory"
        + (f", {statuses[CONTRADICTED]:,} with caches that contradict the scenario" if statuses[CONTRADICTED] else "")
        + "."
    )


def _are(number: int, one: str, several: str) -> str:
    return f"{count(number, 'sample')} {one if number == 1 else several}"


def _join(names: Iterable[str]) -> str:
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last
