"""Metrics by the names that a user gives."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from firstgrad.columns import Column


def choose_metrics(names: Sequence[str]) -> tuple[Column, ...]:
    """Find metrics, in the order of their list; no names, or ``all``, are all of them.

    Raises
    ------
    SpecError
        Where there is no such metric.
    """
    from firstgrad.columns import METRICS
    from firstgrad.errors import SpecError

    known = {each.name for each in METRICS}
    for name in names:
        if name not in known and name != "all":
            listed = ", ".join(each.name for each in METRICS)
            raise SpecError("--metric", f"there is no {name!r}. There are {listed}")
    return tuple(each for each in METRICS if not names or "all" in names or each.name in names)
