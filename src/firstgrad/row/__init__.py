"""Rows: what tables need of a record, as flat as a line of a table, and a hundredth of its size."""

from __future__ import annotations

from firstgrad.row.fields import Row
from firstgrad.row.make import axes_of, conditions_of, family_of, make_row, packages_of

__all__ = ["Row", "axes_of", "conditions_of", "family_of", "make_row", "packages_of"]
