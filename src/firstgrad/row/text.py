"""Rows as text, read without any help of the codec's: whole stores of them are read at once."""

from __future__ import annotations

import functools
import json
from typing import Any

from firstgrad.case import BackendName, Scenario, Target
from firstgrad.record import Doubt, Status, Verdict
from firstgrad.row.fields import Row

ROW_VERSION = 4
"""Version of what a row says of a record and of how it is written; a store makes rows of another one anew.

2 added the metric `instructions`, 4 the device.

Count it up with any change of `Row`, of `make_row` or of `firstgrad.metrics.METRICS`.
"""

_BACKENDS = {each.value: each for each in BackendName}
_TARGETS = {each.value: each for each in Target}
_SCENARIOS = {each.value: each for each in Scenario}
_STATUSES = {each.value: each for each in Status}
_VERDICTS = {each.value: each for each in Verdict}
_DOUBTS = {each.value: each for each in Doubt}


def write_row(row: Row) -> str:
    """Write a row as three lines of JSON: axes, versions, and the other fields in their order.

    Few axes and versions differ within a store; on lines of their own each is decoded but once. NaN and the infinities
    are as Python's JSON writes them.
    """
    others = (
        row.record_id,
        row.started_at,
        row.question,
        row.family,
        row.model,
        row.backend,
        row.target,
        row.scenario,
        row.evaluations,
        row.time_limit_seconds,
        row.memory_limit_bytes,
        row.status,
        row.reason,
        row.verdict,
        row.doubts,
        row.host,
        row.conditions,
        row.device,
        row.label,
        row.git_commit,
        row.load_before,
        row.sample_seconds,
        row.numbers,
        row.bounds if any(bound is not None for bound in row.bounds) else None,
    )
    return "\n".join(json.dumps(each, separators=(",", ":")) for each in (row.axes, row.versions, others))


def read_row(text: str) -> Row:
    """Read what `write_row` of this version wrote.

    Raises
    ------
    ValueError, KeyError, TypeError
        Where the text is something else.
    """
    axes, versions, others = text.split("\n")
    (
        record_id,
        started_at,
        question,
        family,
        model,
        backend,
        target,
        scenario,
        evaluations,
        time_limit_seconds,
        memory_limit_bytes,
        status,
        reason,
        verdict,
        doubts,
        host,
        conditions,
        device,
        label,
        git_commit,
        load_before,
        sample_seconds,
        numbers,
        bounds,
    ) = json.loads(others)
    return Row(
        record_id=record_id,
        started_at=started_at,
        question=question,
        family=family,
        axes=_pairs(axes),
        model=model,
        backend=_BACKENDS[backend],
        target=_TARGETS[target],
        scenario=_SCENARIOS[scenario],
        evaluations=evaluations,
        time_limit_seconds=time_limit_seconds,
        memory_limit_bytes=memory_limit_bytes,
        status=_STATUSES[status],
        reason=reason,
        verdict=_VERDICTS[verdict],
        doubts=tuple([_DOUBTS[each] for each in doubts]),
        host=host,
        conditions=conditions,
        device=device,
        versions=_pairs(versions),
        label=label,
        git_commit=git_commit,
        load_before=load_before,
        sample_seconds=sample_seconds,
        numbers=tuple(numbers),
        bounds=tuple(bounds) if bounds is not None else (None,) * len(numbers),
    )


@functools.lru_cache(maxsize=4096)
def _pairs(text: str) -> tuple[tuple[str, Any], ...]:
    return tuple((name, value) for name, value in json.loads(text))
