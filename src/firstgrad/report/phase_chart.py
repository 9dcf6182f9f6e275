"""The chart of the phases: which cases are in it, and its section."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from firstgrad.case import BackendName, Scenario
from firstgrad.report.cases import name_models
from firstgrad.report.charts import ChartSection, chart_section
from firstgrad.show.words import shown

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from firstgrad.record import Record
    from firstgrad.report.cases import CaseRows
    from firstgrad.row import Row

MOST_BARS = 12
MOST_SAMPLES = 5
_LONGEST_NAME = 100


@dataclass(frozen=True, slots=True)
class PhaseChoice:
    """Cases for the chart: of each, the newest samples that may be put together; and a sentence on the choice."""

    cases: tuple[tuple[Row, ...], ...]
    sentence: str

    @property
    def record_ids(self) -> tuple[str, ...]:
        """Of all samples, in the order of the bars."""
        return tuple(row.record_id for case in self.cases for row in case)


def choose_phases(groups: Sequence[CaseRows]) -> PhaseChoice | None:
    """Choose cases model by model: first the model that most cases have, of such models the newest.

    Parameters
    ----------
    groups : sequence of CaseRows
        The newest first.

    Returns
    -------
    PhaseChoice or None
        Within a model in the order of backends and scenarios; none where no case has a first gradient.
    """
    known = [group for group in groups if group.numbers("time_to_first_gradient")]
    if not known:
        return None
    models: dict[tuple[object, ...], list[CaseRows]] = {}
    for group in known:
        models.setdefault((group.rows[0].family, group.rows[0].axes), []).append(group)
    chosen: list[CaseRows] = []
    most_cases = sorted(models.values(), key=lambda each: -len(each))  # stable: of equal ones the newest
    for of_it in most_cases:
        most_samples = sorted(of_it, key=lambda group: -len(group.counted))
        chosen += sorted(most_samples[: MOST_BARS - len(chosen)], key=_place)
        if len(chosen) == MOST_BARS:
            break
    first = most_cases[0]
    name = name_models(known)[known.index(first[0])]
    return PhaseChoice(
        cases=tuple(_alike(group) for group in chosen),
        sentence=_tell(name, shown_cases=len(chosen), of_it=len(first), known=len(known)),
    )


def phase_section(choice: PhaseChoice, records: Mapping[str, Record]) -> ChartSection | None:
    """Draw the choice; `records` by `record_id`. None where none of them is there."""
    from firstgrad.show.bars import describe_phases, draw_phases

    found = [records[each] for each in choice.record_ids if each in records]
    if not found:
        return None
    return chart_section(
        "phases",
        "Where the time to first gradient goes",
        draw_phases(found),
        caption=choice.sentence,
        description=describe_phases(found),
    )


def _place(group: CaseRows) -> tuple[int, int]:
    row = group.rows[0]
    return list(BackendName).index(row.backend), list(Scenario).index(row.scenario)


def _alike(group: CaseRows) -> tuple[Row, ...]:
    """Take samples of equal limits: unlike ones would be bars of their own, with the same name."""
    newest = sorted(group.counted, key=lambda row: row.started_at, reverse=True)
    known = [row for row in newest if row.numbers[0] is not None]
    return tuple(row for row in known if _limits(row) == _limits(known[0]))[:MOST_SAMPLES]


def _limits(row: Row) -> tuple[object, ...]:
    return row.evaluations, row.time_limit_seconds, row.memory_limit_bytes


def _tell(name: str, *, shown_cases: int, of_it: int, known: int) -> str:
    told = f"Medians, at most the {MOST_SAMPLES} newest samples a case."
    if shown_cases == known:
        return f"All {known} cases with a first gradient. {told}" if known > 1 else told
    which = (
        f"those with most samples of its {of_it} cases" if shown_cases < of_it else f"all of its {of_it} cases first"
    )
    return (
        f"{shown_cases} of {known} cases: those of the model that most cases have, {shown(name, _LONGEST_NAME)}, "
        f"{which}. {told}"
    )
