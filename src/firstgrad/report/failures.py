"""What failed and why: equal failures together, with the last output of one of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from firstgrad.report.cases import name_of
from firstgrad.usability import why_unusable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from firstgrad.analysis.axes import Axis
    from firstgrad.record import Record
    from firstgrad.row import Row

MOST_FAILURES = 50
_LONGEST_NAME, _LONGEST_REASON, _LONGEST_TAIL, _MOST_PLACES = 200, 400, 2000, 6


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureItem:
    """Failures of one case for one reason at some places; `tail` is the last output of the first of them."""

    case: str
    reason: str
    samples: int
    places: str
    tail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureSection:
    """What failed; `items` is empty where nothing did, and `left_out` are the kinds that are not among them."""

    template: ClassVar[str] = "failures.html"
    id: ClassVar[str] = "failures"
    title: ClassVar[str] = "Failures"
    samples: int
    items: tuple[FailureItem, ...]
    left_out: int = 0


@dataclass(frozen=True, slots=True)
class FailureKind:
    """Rows of one case that failed for one reason, the newest first."""

    rows: tuple[Row, ...]


def failure_section(records: Sequence[Record], axis: Axis) -> FailureSection:
    """List every failure with its reason, equal ones together."""
    found: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        if reason := why_unusable(record):
            found.setdefault((str(record.case), reason), []).append(record)
    names = {place.key: place.name for place in axis.places}
    return FailureSection(
        samples=sum(len(each) for each in found.values()),
        items=tuple(
            FailureItem(
                case=case,
                reason=reason,
                samples=len(failed),
                places=", ".join(dict.fromkeys(names.get(axis.key_of(each), "no place") for each in failed)),
                tail=_tail(failed[0]),
            )
            for (case, reason), failed in found.items()
        ),
    )


def find_failures(rows: Iterable[Row]) -> tuple[FailureKind, ...]:
    """Put equal failures together; the kind that was seen last comes first."""
    found: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        if row.reason:
            found.setdefault((name_of(row), row.reason), []).append(row)
    kinds = [sorted(each, key=lambda row: row.started_at, reverse=True) for each in found.values()]
    kinds.sort(key=lambda each: each[0].started_at, reverse=True)
    return tuple(FailureKind(tuple(each)) for each in kinds)


def failure_section_of(kinds: Sequence[FailureKind], records: Mapping[str, Record]) -> FailureSection:
    """List the first kinds of failures, each with its days.

    Parameters
    ----------
    kinds : sequence of FailureKind
        From `find_failures`.
    records : mapping of str to Record
        By `record_id`: the first of each kind that is listed, for its last output.
    """
    return FailureSection(
        samples=sum(len(each.rows) for each in kinds),
        items=tuple(_item(each.rows, records) for each in kinds[:MOST_FAILURES]),
        left_out=max(len(kinds) - MOST_FAILURES, 0),
    )


def _item(rows: Sequence[Row], records: Mapping[str, Record]) -> FailureItem:
    days = list(dict.fromkeys(row.started_at[:10] for row in rows))
    earlier = f" and on {len(days) - _MOST_PLACES} earlier days" if len(days) > _MOST_PLACES else ""
    record = records.get(rows[0].record_id)
    return FailureItem(
        case=_shortened(name_of(rows[0]), _LONGEST_NAME),
        reason=_shortened(rows[0].reason, _LONGEST_REASON),
        samples=len(rows),
        places=", ".join(days[:_MOST_PLACES]) + earlier,
        tail=_tail(record)[-_LONGEST_TAIL:] if record is not None else "",
    )


def _tail(record: Record) -> str:
    return "\n".join(record.failure.stderr_tail) if record.failure else ""


def _shortened(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: longest - 1]}…"
