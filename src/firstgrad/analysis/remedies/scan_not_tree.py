"""A scan, where steps are combined in a tree: shorter in depth, larger as a graph."""

from __future__ import annotations

from typing import TYPE_CHECKING

from firstgrad.analysis.remedies.base import Finding, RemedyName
from firstgrad.analysis.remedies.estimate import FIRST_GRADIENT, estimate_savings
from firstgrad.pose.spec import HmmAlgorithm

if TYPE_CHECKING:
    from firstgrad.analysis.remedies.base import Situation
    from firstgrad.record import Counts

_TO_SCAN = "Use pytensor.scan. The pose model: --hmm-algorithm scan"
_STAY = "Leave the scan as it is: neither unroll it nor write it as a tree"


class ScanNotTree:
    """Recognised by the pose model's algorithm; in a user's graph a scan is found, and is best left alone."""

    name = RemedyName.SCAN_NOT_TREE

    def find(self, situation: Situation) -> Finding | None:
        """See `firstgrad.analysis.remedies.base.Remedy`."""
        hmm = situation.model.pose.hmm if situation.model.pose else None
        if hmm is not None:
            if hmm.algorithm is not HmmAlgorithm.TREE:
                return None
            savings = estimate_savings(situation, self.name)
            return Finding(remedy=self.name, because="--hmm-algorithm tree", how=_TO_SCAN, savings=savings)
        scans = next((number for each in situation.samples_of_model() if (number := _n_scans(each.counts))), 0)
        tree = situation.evidence_of(RemedyName.SCAN_NOT_TREE, FIRST_GRADIENT)
        unrolled = situation.evidence_of(RemedyName.ROLL_LOOPS, FIRST_GRADIENT)
        if not scans or tree is None or unrolled is None:
            return None
        return Finding(
            remedy=self.name,
            because=f"Scan nodes in the graph: {scans}",
            how=_STAY,
            instead=f"nothing to save: in the measured case ({tree.case}) a scan's first gradient takes "
            f"{tree.ratio} of a tree's CPU time and {unrolled.ratio} of an unrolled loop's",
        )


def _n_scans(counts: Counts | None) -> int:
    return dict(counts.nodes_by_type).get("Scan", 0) if counts else 0
