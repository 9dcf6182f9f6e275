"""Remedies: known ways to make a model's gradient cheaper, or right, each backed by a measured case."""

from __future__ import annotations

from typing import TYPE_CHECKING

from firstgrad.analysis.remedies.keep_caches import KeepCaches
from firstgrad.analysis.remedies.mask_first import MaskFirst
from firstgrad.analysis.remedies.one_gradient import OneGradient
from firstgrad.analysis.remedies.rewriting import EXCLUDE_REWRITES, FAST_COMPILE
from firstgrad.analysis.remedies.roll_loops import RollLoops
from firstgrad.analysis.remedies.scan_not_tree import ScanNotTree
from firstgrad.analysis.remedies.vectorise import Vectorise

if TYPE_CHECKING:
    from firstgrad.analysis.remedies.base import Finding, Remedy, Situation

__all__ = ["REMEDIES", "find_remedies"]

REMEDIES: tuple[Remedy, ...] = (
    MaskFirst(),
    Vectorise(),
    RollLoops(),
    ScanNotTree(),
    KeepCaches(),
    OneGradient(),
    EXCLUDE_REWRITES,
    FAST_COMPILE,
)
"""The catalogue; what makes gradients right comes first."""


def find_remedies(situation: Situation) -> tuple[Finding, ...]:
    """Find the remedies that fit, in the order of the catalogue."""
    return tuple(found for remedy in REMEDIES if (found := remedy.find(situation)) is not None)
