"""What is alike, put together or added up."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def grouped[K, V](pairs: Iterable[tuple[K, V]]) -> dict[K, list[V]]:
    """Return each key with its values, both in the order in which they come first."""
    groups: dict[K, list[V]] = {}
    for key, value in pairs:
        groups.setdefault(key, []).append(value)
    return groups


def summed[K, N: (int, float)](pairs: Iterable[tuple[K, N]]) -> dict[K, N]:
    """Return each key with the sum of its numbers, in the order in which keys come first."""
    sums: dict[K, N] = {}
    for key, number in pairs:
        sums[key] = sums[key] + number if key in sums else number
    return sums
