"""A scan or one array operation, where a Python loop writes nodes for every step."""

from __future__ import annotations

from typing import TYPE_CHECKING

from firstgrad.analysis.remedies.base import Finding, RemedyName
from firstgrad.analysis.remedies.estimate import estimate_savings
from firstgrad.pose.spec import HmmAlgorithm

if TYPE_CHECKING:
    from firstgrad.analysis.remedies.base import Situation
    from firstgrad.record import Counts

_FEWEST_NODES, _FEWEST_PER_GROUP = 1000, 120
_FEWEST_INDEXED, _FEWEST_INDEXED_PER_GROUP = 30, 4
_INDEXING = ("Subtensor", "ScalarSubtensor", "IncSubtensor")
_HOW = (
    "Write the loop over time as pytensor.scan (its graph is as large for 1000 steps as for 10), or as one array "
    "operation where a step needs no other step: pt.cumsum for a walk. The pose model: --hmm-algorithm scan"
)


def looks_unrolled(counts: Counts) -> bool:
    """Whether a Python loop seems to have written the graph.

    A loop over ``x[t]`` leaves an indexing node a step, and its gradient another one, whatever is merged later on;
    and many nodes for few variables. None of the models in ``examples/models/`` but the unrolled one is like that.
    """
    indexed = sum(number for name, number in counts.nodes_by_type if name in _INDEXING)
    is_large = counts.nodes_before >= max(_FEWEST_NODES, _FEWEST_PER_GROUP * counts.groups)
    return is_large and indexed >= max(_FEWEST_INDEXED, _FEWEST_INDEXED_PER_GROUP * counts.groups)


class RollLoops:
    """Recognised by the pose model's algorithm, or by counts of a user's graph."""

    name = RemedyName.ROLL_LOOPS

    def find(self, situation: Situation) -> Finding | None:
        """See `firstgrad.analysis.remedies.base.Remedy`."""
        because = _why(situation)
        if not because:
            return None
        return Finding(remedy=self.name, because=because, how=_HOW, savings=estimate_savings(situation, self.name))


def _why(situation: Situation) -> str:
    if situation.model.pose is not None:
        hmm = situation.model.pose.hmm
        return "--hmm-algorithm unrolled" if hmm is not None and hmm.algorithm is HmmAlgorithm.UNROLLED else ""
    counts = next((each.counts for each in situation.samples_of_model() if each.counts), None)
    if counts is None or not looks_unrolled(counts):
        return ""
    indexed = sum(number for name, number in counts.nodes_by_type if name in _INDEXING)
    return (
        f"{counts.nodes_before:,} nodes for {counts.groups} variables, and {indexed} nodes that take or set single "
        "elements: probably a Python loop"
    )
