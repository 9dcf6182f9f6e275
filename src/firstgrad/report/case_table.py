"""The table of all cases: a line a case, each cell with what it is sorted by."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from firstgrad.estimates import estimate_median
from firstgrad.metrics import Unit, metric_named
from firstgrad.record import Doubt, Status
from firstgrad.report.budget import escaped_bytes, take_fitting
from firstgrad.report.cases import name_models, status_of
from firstgrad.show.words import shown, write_estimate, write_value

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from firstgrad.report.cases import CaseRows

MOST_CASES = 2000
MOST_BYTES = 1_800_000
_LONGEST_NAME, _LONGEST_LABELS = 160, 80
_MARKUP_BYTES = 32  # of a cell, besides its texts
_METRICS = (
    ("time_to_first_gradient_cpu", "CPU to first gradient"),
    ("evaluation", "evaluation"),
    ("peak_memory", "peak memory"),
    ("nodes", "nodes"),
    ("compiled_units", "compiled units"),
)


@dataclass(frozen=True, slots=True)
class Column:
    """A column's head; numbers are sorted by number, and `is_filter` makes a selection of its values."""

    name: str
    is_number: bool = False
    is_filter: bool = False


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell's text; `number` is what it is sorted by, '' where it is sorted by its text or has no number."""

    text: str
    number: str = ""
    is_bad: bool = False


@dataclass(frozen=True, slots=True)
class Choice:
    """A selection: the column's number, its name, and its values."""

    column: int
    name: str
    values: tuple[str, ...]


COLUMNS = (
    Column("model"),
    Column("backend", is_filter=True),
    Column("target"),
    Column("scenario", is_filter=True),
    Column("samples", is_number=True),
    Column("time to first gradient", is_number=True),
    *(Column(name, is_number=True) for _, name in _METRICS),
    Column("status", is_filter=True),
    Column("verdict"),
    Column("doubts"),
    Column("labels"),
    Column("environment"),
    Column("last measured"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseSection:
    """The table.

    Attributes
    ----------
    columns : tuple of Column
        Heads.
    choices : tuple of Choice
        What can be selected.
    rows : tuple of tuple of Cell
        A case each, the one that was measured last first.
    cases : int
        How many there are, with those that did not fit.
    """

    template: ClassVar[str] = "cases.html"
    id: ClassVar[str] = "cases"
    title: ClassVar[str] = "All cases"
    columns: tuple[Column, ...]
    choices: tuple[Choice, ...]
    rows: tuple[tuple[Cell, ...], ...]
    cases: int


def case_section(groups: Sequence[CaseRows], environments: Mapping[str, str]) -> CaseSection:
    """Make the table of the first cases that fit.

    Parameters
    ----------
    groups : sequence of CaseRows
        The most important first.
    environments : mapping of str to str
        The name of each digest of conditions.
    """
    candidates = groups[:MOST_CASES]
    lines = (
        _line(group, name, environments.get(group.rows[0].conditions, ""))
        for group, name in zip(candidates, name_models(candidates), strict=True)
    )
    rows = take_fitting(lines, MOST_CASES, MOST_BYTES, _bytes)
    return CaseSection(columns=COLUMNS, choices=tuple(_choices(rows)), rows=rows, cases=len(groups))


def _line(group: CaseRows, name: str, environment: str) -> tuple[Cell, ...]:
    row = group.rows[0]
    statuses = Counter(status_of(each) for each in group.rows)
    doubts = {doubt for each in group.rows for doubt in each.doubts}
    labels = dict.fromkeys(each.label for each in group.rows if each.label)
    return (
        Cell(shown(name, _LONGEST_NAME)),
        Cell(str(row.backend)),
        Cell(str(row.target)),
        Cell(str(row.scenario)),
        Cell(f"{len(group.rows)}", f"{len(group.rows)}"),
        _first_gradient(group),
        *(_number(group, metric) for metric, _ in _METRICS),
        Cell(_tell_statuses(statuses), is_bad=set(statuses) != {str(Status.OK)}),
        Cell(str(group.verdict).replace("_", " ")),
        Cell(", ".join(str(doubt) for doubt in Doubt if doubt in doubts)),
        Cell(shown(", ".join(labels), _LONGEST_LABELS)),
        Cell(environment),
        Cell(shown(group.newest.started_at[:16].replace("T", " "))),
    )


def _first_gradient(group: CaseRows) -> Cell:
    numbers = group.numbers("time_to_first_gradient")
    if not numbers:
        return _number(group, "time_to_first_gradient")
    estimate = estimate_median(numbers)
    return Cell(write_estimate(Unit.SECONDS, estimate), f"{estimate.value:.6g}")


def _number(group: CaseRows, metric: str) -> Cell:
    median, bound = group.median(metric), group.bound(metric)
    unit = metric_named(metric).unit
    if median is not None:
        return Cell(write_value(unit, median), f"{median:.6g}")
    return Cell("") if bound is None else Cell(f"over {write_value(unit, bound)}", f"{bound:.6g}")


def _tell_statuses(statuses: Counter[str]) -> str:
    if len(statuses) == 1:
        return next(iter(statuses))
    return ", ".join(f"{count} {status}" for status, count in statuses.most_common())


def _bytes(line: Sequence[Cell]) -> int:
    return sum(_MARKUP_BYTES + escaped_bytes(cell.text) + len(cell.number) for cell in line)


def _choices(rows: Sequence[Sequence[Cell]]) -> list[Choice]:
    found = []
    for number, column in enumerate(COLUMNS):
        if column.is_filter:
            words = {word for row in rows for word in row[number].text.replace(",", "").split() if not word.isdigit()}
            found.append(Choice(number, column.name, tuple(sorted(words))))
    return found
