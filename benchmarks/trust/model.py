"""The model whose samples put ``firstgrad compare`` to the test: the smallest pose model, with work added at will."""

from __future__ import annotations

from typing import TYPE_CHECKING

from firstgrad.pose.data import generate
from firstgrad.pose.graph import build_pose_model
from firstgrad.pose.spec import PoseSpec

if TYPE_CHECKING:
    import pymc as pm

    from firstgrad.points import Point

SPEC = PoseSpec(n_timesteps=5, n_directions=1)


def build(work: int = 0) -> tuple[pm.Model, Point]:
    """Build it, after `work` turns of a loop in Python that do nothing of use.

    A number of turns, not a time: what they cost follows the machine, as everything else does that is measured.
    """
    turn(work)
    data = generate(SPEC)
    return build_pose_model(SPEC, data), data.initial


def turn(count: int) -> int:
    """Do work of the kind that building graphs is: calls, and small objects that are made and dropped."""
    total = 0
    for number in range(count):
        total += len((number, str(number)))
    return total
