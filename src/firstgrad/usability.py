"""Whether a record's numbers count, and why not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from firstgrad.record import Doubt, Status

if TYPE_CHECKING:
    from firstgrad.record import Mismatch, Record


def why_unusable(record: Record) -> str:
    """Say why a sample's numbers don't count.

    Returns
    -------
    str
        One line; '' where they do.
    """
    return " ".join(_why(record).split())


def describe_mismatch(mismatch: Mismatch) -> str:
    """Say in one line where and how a group differs from the oracle."""
    place = f"{mismatch.group}{list(mismatch.index) if mismatch.index else ''}"
    others = f" ({mismatch.n_different} values differ)" if mismatch.n_different > 1 else ""
    # Whole numbers: the two may differ in their last digits only.
    return f"the oracle expected {mismatch.expected!r} for {place}, and it is {mismatch.got!r}{others}"


def _why(record: Record) -> str:
    failure, caches = record.failure, record.caches
    if failure is not None:
        where = f" in {failure.phase}" if failure.phase else ""
        return f"{record.status}{where}: {failure.kind}: {failure.message.strip().partition('\n')[0]}"
    if record.status is Status.MISMATCH and record.check.mismatches:
        return f"mismatch: {describe_mismatch(record.check.mismatches[0])}"
    if record.status is not Status.OK:
        return str(record.status)
    contradiction = caches.contradiction if caches else None
    if contradiction is not None or Doubt.SCENARIO_CONTRADICTED in record.doubts:
        return f"this was no {record.case.scenario} compile" + (f": {contradiction}" if contradiction else "")
    return ""
