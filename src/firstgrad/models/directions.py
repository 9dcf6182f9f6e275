"""Unit vectors from raw ones."""

from __future__ import annotations

from typing import Any

import pytensor.tensor as pt

from firstgrad.data import UNIT_EPSILON


def unit(raw: Any) -> Any:
    """Normalise along the last axis; the epsilon under the root keeps the gradient finite at zero."""
    return raw / pt.sqrt(pt.sum(raw**2, axis=-1, keepdims=True) + UNIT_EPSILON)
