"""One self-contained page of everything that is stored: results, a table of all cases, figures, failures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from firstgrad.report.breakeven_chart import breakeven_sections
from firstgrad.report.case_table import case_section
from firstgrad.report.cases import group_rows
from firstgrad.report.doubts import doubt_section_of
from firstgrad.report.environments import MOST_ENVIRONMENTS, environment_section_of, find_environments
from firstgrad.report.failures import MOST_FAILURES, failure_section_of, find_failures
from firstgrad.report.forest_chart import comparison_section
from firstgrad.report.growth import growth_sections
from firstgrad.report.memory_chart import choose_memory, memory_section
from firstgrad.report.page import Page, Section
from firstgrad.report.phase_chart import choose_phases, phase_section
from firstgrad.report.summary import summary_section, tell_measured
from firstgrad.show.words import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

    from firstgrad.compare.comparison import Comparison
    from firstgrad.record import Record
    from firstgrad.row import Row

_LONGEST_LABEL = 120


def make_overview(
    rows: Sequence[Row],
    read: Callable[[Collection[str]], Iterable[Record]],
    *,
    label: str | None = None,
    comparison: Comparison | None = None,
) -> Page:
    """Put the page together.

    Parameters
    ----------
    rows : sequence of Row
        What the page is about, in the order in which they were added.
    read : callable
        Takes `record_id` of rows and returns the whole records: for figures, last outputs and environments; some 200
        at most.
    label : str, optional
        The page says that only records of this label are on it.
    comparison : Comparison, optional
        Shown with its forest plot.

    Raises
    ------
    ValueError
        Where there are no rows.
    """
    if not rows:
        raise ValueError("there are no records: nothing to report")
    groups = group_rows(rows)
    environments, failures = find_environments(rows), find_failures(rows)
    phases, peaks = choose_phases(groups), choose_memory(rows)
    records = _by_id(
        read(
            {
                *(phases.record_ids if phases else ()),
                *peaks,
                *(each.newest.record_id for each in list(environments.values())[:MOST_ENVIRONMENTS]),
                *(each.rows[0].record_id for each in failures[:MOST_FAILURES]),
            }
        )
    )
    sections: tuple[Section | None, ...] = (
        summary_section(rows, groups),
        case_section(groups, {digest: each.name for digest, each in environments.items()}),
        comparison_section(comparison) if comparison else None,
        phase_section(phases, records) if phases else None,
        memory_section(peaks, records),
        *breakeven_sections(groups),
        *growth_sections(rows),
        failure_section_of(failures, records),
        doubt_section_of(rows),
        environment_section_of(environments, records),
    )
    only = [f"Only records with the label {shown(label, _LONGEST_LABEL)!r}."] if label is not None else []
    return Page(
        title="First gradients: all that is stored",
        facts=(tell_measured(rows, groups), *only),
        sections=tuple(each for each in sections if each is not None),
        is_sortable=True,
    )


def _by_id(records: Iterable[Record]) -> dict[str, Record]:
    found: dict[str, Record] = {}
    for record in records:
        found.setdefault(record.record_id, record)
    return found
