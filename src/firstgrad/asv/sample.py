"""Measures one sample for asv, and keeps its record in the store."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

from firstgrad.asv.cells import Sample
from firstgrad.case import Scenario
from firstgrad.errors import StoreError
from firstgrad.metrics import METRICS
from firstgrad.record import Status
from firstgrad.usability import why_unusable

if TYPE_CHECKING:
    from pathlib import Path

    from firstgrad.asv.surroundings import Surroundings
    from firstgrad.case import Case
    from firstgrad.record import Record

STORE_VARIABLE = "FIRSTGRAD_STORE"
"""Environment variable that names the store for the records; ``none`` keeps none."""
_RESERVE_SECONDS = 30.0
"""firstgrad stops a sample this long before asv would: only then is there a record of it."""


def measure_sample(case: Case, around: Surroundings, *, limit_seconds: float) -> Sample:
    """Measure a sample within asv's time limit.

    Parameters
    ----------
    case : Case
        What to measure; its own time limit is lowered where asv's is lower.
    around : Surroundings
        Where asv runs this.
    limit_seconds : float
        asv's limit. Filling a warm cache and the sample itself get half of it each.

    Returns
    -------
    Sample
        With the reason where there are no numbers.
    """
    from firstgrad.measure.launch import measure

    share = max(limit_seconds - _RESERVE_SECONDS, limit_seconds / 2) / (2 if case.scenario is Scenario.WARM else 1)
    limited = replace(case, time_limit_seconds=min(case.time_limit_seconds or share, share))
    # A cold sample leaves its cache to the warm ones of the same model: it is what fills theirs.
    kept = None if case.scenario is Scenario.HOT else around.folder_for_filled(replace(case, scenario=Scenario.WARM).id)
    (record,) = measure(limited, label=around.environment, keep_filled=kept)
    # The asked-for case, so that all of its records have one id whatever asv's limit was.
    record = replace(record, case=case, environment=replace(record.environment, git_commit=around.commit))
    _keep(record, around.folder)
    return to_sample(record)


def to_sample(record: Record) -> Sample:
    """Turn a record into what asv's processes share: numbers, or why there are none."""
    reason = why_unusable(record)
    hint = ". Look at it: firstgrad check" if record.status is Status.MISMATCH else ""
    return Sample(
        values={} if reason else {metric.name: metric.read(record) for metric in METRICS},
        failure=reason and f"{record.case}: {reason}{hint}",
        is_unavailable=record.failure is not None and record.failure.kind == "BackendUnavailable",
    )


def _keep(record: Record, folder: Path) -> None:
    from firstgrad.store import DEFAULT_PATH, Store

    place = os.environ.get(STORE_VARIABLE) or folder / DEFAULT_PATH
    if place == "none":
        return
    try:
        with Store.open(place) as store:
            store.add(record)
    except StoreError as error:
        # asv has the numbers; a store that is locked or written by a newer firstgrad must not cost them.
        sys.stderr.write(f"firstgrad: this record was not kept: {error}\n")
