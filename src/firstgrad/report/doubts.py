"""What is in doubt, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from firstgrad.doubts import ADVICE
from firstgrad.record import Doubt
from firstgrad.report.cases import name_of
from firstgrad.show.words import shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from firstgrad.record import Record
    from firstgrad.row import Row

_MOST_CASES, _LONGEST_NAME = 40, 160


@dataclass(frozen=True, slots=True, kw_only=True)
class DoubtItem:
    """A doubt: advice, how many samples and cases have it, and the cases' names, all of them or the first."""

    doubt: str
    advice: str
    samples: int
    n_cases: int
    cases: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DoubtSection:
    """What may spoil numbers; `items` is empty where nothing does."""

    template: ClassVar[str] = "doubts.html"
    id: ClassVar[str] = "doubts"
    title: ClassVar[str] = "Doubts"
    items: tuple[DoubtItem, ...]


def doubt_section(records: Sequence[Record]) -> DoubtSection:
    """List the doubts that records have, with what to do about each and all of their cases."""
    return _section((doubt, str(record.case)) for record in records for doubt in record.doubts)


def doubt_section_of(rows: Iterable[Row]) -> DoubtSection:
    """List the doubts that rows have; of their cases, the names of the first few dozen."""
    found = ((doubt, name_of(row)) for row in rows for doubt in row.doubts)
    return _section(found, most_cases=_MOST_CASES, longest_name=_LONGEST_NAME)


def _section(
    found: Iterable[tuple[Doubt, str]], *, most_cases: int | None = None, longest_name: int | None = None
) -> DoubtSection:
    samples: dict[Doubt, int] = {}
    cases: dict[Doubt, dict[str, None]] = {}
    for doubt, case in found:
        samples[doubt] = samples.get(doubt, 0) + 1
        cases.setdefault(doubt, {})[case] = None
    return DoubtSection(
        items=tuple(
            DoubtItem(
                doubt=str(doubt),
                advice=ADVICE[doubt],
                samples=samples[doubt],
                n_cases=len(cases[doubt]),
                cases=tuple(
                    name if longest_name is None else shown(name, longest_name)
                    for name in list(cases[doubt])[:most_cases]
                ),
            )
            for doubt in Doubt
            if doubt in samples
        )
    )
