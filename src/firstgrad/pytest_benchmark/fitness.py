"""Which records may become a duration, and why the others may not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from firstgrad.errors import BackendUnavailable
from firstgrad.record import Status

if TYPE_CHECKING:
    from firstgrad.metrics import Metric
    from firstgrad.record import Record


class UnfitError(Exception):
    """A round whose number must not become a duration.

    Parameters
    ----------
    reason : str
        What the test's report says.
    is_backend_missing : bool
        The backend is not installed, so nothing is wrong with the case.
    """

    def __init__(self, reason: str, *, is_backend_missing: bool = False) -> None:
        super().__init__(reason)
        self.is_backend_missing = is_backend_missing


def fit_seconds(record: Record, metric: Metric) -> float:
    """Read a metric in seconds from a record that may be believed.

    Raises
    ------
    UnfitError
        Where the sample gave no full result, disagrees with the oracle, contradicts its scenario, or has no
        such metric.
    """
    failure, caches = record.failure, record.caches
    if failure is not None:
        is_missing = failure.kind == BackendUnavailable.__name__
        where = f" in phase {failure.phase}" if failure.phase else ""
        lines = (f"{record.status}{where}: {failure.kind}: {failure.message}", *failure.stderr_tail)
        raise UnfitError(failure.message if is_missing else "\n".join(lines), is_backend_missing=is_missing)
    if record.status is Status.MISMATCH:
        raise UnfitError(f"the compiled function disagrees with the oracle: {_mismatches(record)}")
    if caches is not None and caches.contradiction is not None:
        raise UnfitError(f"the scenario {record.case.scenario} is contradicted: {caches.contradiction}")
    seconds = metric.read(record)
    if seconds is None:
        raise UnfitError(
            f"the record has no {metric.title} ({metric.name}). Choose another metric, or a case that has it: "
            "evaluation needs evaluations > 0"
        )
    return seconds


def _mismatches(record: Record) -> str:
    return "; ".join(
        f"{each.group}{list(each.index) if each.index else ''}: expected {each.expected!r}, got {each.got!r} "
        f"({each.n_different} differ)"
        for each in record.check.mismatches
    )
