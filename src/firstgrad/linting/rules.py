"""The rules, in the order in which they look."""

from __future__ import annotations

from typing import TYPE_CHECKING

from firstgrad.linting.backends import large_constants, operations, static_shapes
from firstgrad.linting.loops import loops
from firstgrad.linting.scans import closed_forms

if TYPE_CHECKING:
    from firstgrad.linting.engine import Rule

RULES: tuple[Rule, ...] = (loops, closed_forms, operations, static_shapes, large_constants)
"""Each takes the `LogpGraph` and yields its findings."""
