"""Former runs from a project's own store: what ``firstgrad measure`` recorded of the same model."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from firstgrad.case import Scenario
from firstgrad.errors import StoreError
from firstgrad.metrics import METRICS
from firstgrad.progress.history import Run
from firstgrad.store.place import DEFAULT_PATH

if TYPE_CHECKING:
    from firstgrad.row import Row

_BUSY_SECONDS = 1.0
"""So long the user's compile waits at most for a store that others write to."""

_NAMES = [metric.name for metric in METRICS]
_SECONDS, _UNITS = _NAMES.index("time_to_first_gradient"), _NAMES.index("compiled_units")


def measured_runs(reference: str, path: Path | str = DEFAULT_PATH) -> tuple[Run, ...]:
    """Read what is stored of a model.

    Parameters
    ----------
    reference : str
        As given to ``firstgrad measure --model``.
    path : Path or str
        The store's file.

    Returns
    -------
    tuple of Run
        In the order in which they were measured; empty where there is no store, or nothing of this model.
    """
    if not Path(path).is_file():
        return ()
    from firstgrad.store.store import Store

    with suppress(StoreError), Store.open(path, busy_timeout_seconds=_BUSY_SECONDS) as store:
        return tuple(run for row in store.rows() if row.family == reference and (run := _run(row)) is not None)
    return ()


def _run(row: Row) -> Run | None:
    seconds, units = row.numbers[_SECONDS], row.numbers[_UNITS]
    if row.reason or seconds is None or row.scenario is Scenario.HOT:
        return None
    return Run(
        key=row.family,
        seconds=seconds,
        backend=str(row.backend),
        compiled=None if units is None else int(units),
    )
