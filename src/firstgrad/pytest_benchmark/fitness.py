"""Which records may become a duration, and why the others may not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from firstgrad.errors import BackendUnavailable
from firstgrad.usability import describe_mismatch, why_unusable

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
    failure = record.failure
    if failure is not None and failure.kind == BackendUnavailable.__name__:
        raise UnfitError(failure.message, is_backend_missing=True)
    if reason := why_unusable(record):
        raise UnfitError("\n".join((reason, *_details(record))))
    seconds = metric.read(record)
    if seconds is None:
        raise UnfitError(
            f"the record has no {metric.title} ({metric.name}). Choose another metric, or a case that has it: "
            "evaluation needs evaluations > 0"
        )
    return seconds


def _details(record: Record) -> tuple[str, ...]:
    """Say in further lines what the reason had no room for."""
    if record.failure is not None:
        return (*record.failure.message.strip().splitlines()[1:], *record.failure.stderr_tail)
    return tuple(describe_mismatch(each) for each in record.check.mismatches[1:])
