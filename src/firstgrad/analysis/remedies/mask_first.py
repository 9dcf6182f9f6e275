"""A finite stand-in before the arithmetic, where NaN is masked after it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from firstgrad.analysis.remedies.base import Finding, RemedyName
from firstgrad.analysis.remedies.estimate import estimate_savings

if TYPE_CHECKING:
    from firstgrad.analysis.remedies.base import Situation

_HOW = (
    "where(mask, f(x), 0) has a finite value and a NaN gradient, since 0 x NaN is NaN. Replace missing data before the "
    "arithmetic, and mask afterwards: filled = np.where(mask, x, 0.0), then pt.where(mask, f(filled), 0.0). "
    "firstgrad check names the groups; the pose model does it with --missing safe"
)


class MaskFirst:
    """Recognised by gradients that are NaN or infinite."""

    name = RemedyName.MASK_FIRST

    def find(self, situation: Situation) -> Finding | None:
        """See `firstgrad.analysis.remedies.base.Remedy`."""
        bad = next((each for each in situation.records if each.check.n_not_finite), None)
        if bad is None:
            return None
        groups = [each for each in bad.check.finiteness if each.nan + each.infinite]
        return Finding(
            remedy=self.name,
            because=f"{bad.check.n_not_finite} gradient values in {len(groups)} of {len(bad.check.finiteness)} groups "
            f"are NaN or infinite, {groups[0].group} first",
            how=_HOW,
            savings=estimate_savings(situation, self.name),
            instead="a gradient that can be sampled with. Masking first costs nothing, as the measured case shows: "
            "without it every draw diverges, and pm.sample ends without an error",
        )
