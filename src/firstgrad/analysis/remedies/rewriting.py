"""Fewer rewrites: a shorter compile, and sometimes slower calls."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from firstgrad.analysis.remedies.base import Finding, RemedyName
from firstgrad.analysis.remedies.estimate import EVALUATION, FIRST_GRADIENT, estimate_savings, own_offer

if TYPE_CHECKING:
    from firstgrad.analysis.remedies.base import Situation


@dataclass(frozen=True, slots=True, kw_only=True)
class Rewriting:
    """A remedy that leaves rewrites out.

    Proposed where a measured case says that the planned work takes less time with it. Where ``PYTENSOR_FLAGS`` have it
    already, it is named if it costs more than it saves: PyMC's default mode obeys those flags, the explicit modes that
    firstgrad measures do not, so its samples are without it.

    Attributes
    ----------
    name : RemedyName
        Which.
    mark : str
        What is found in the flags where they have it.
    how : str
        What to do.
    """

    name: RemedyName
    mark: str
    how: str

    def find(self, situation: Situation) -> Finding | None:
        """See `firstgrad.analysis.remedies.base.Remedy`."""
        first = situation.evidence_of(self.name, FIRST_GRADIENT)
        call = situation.evidence_of(self.name, EVALUATION)
        own = own_offer(situation)
        if first is None or call is None or own is None or f", {own.choice.backend}, " not in first.case:
            return None
        first_seconds = own.option.first_gradient.value
        call_seconds = situation.advice.workload.in_a_row * own.option.evaluation.value
        saved = (1 - first.ratio.value) * first_seconds + (1 - call.ratio.value) * call_seconds
        savings = estimate_savings(situation, self.name)
        if self.mark in situation.surroundings.flags:
            if saved >= 0:
                return None
            return Finding(
                remedy=self.name,
                because=f"{self.mark} is in PYTENSOR_FLAGS, and for so many evaluations it costs more than it saves",
                how=f"Take {self.mark} out of PYTENSOR_FLAGS",
                instead=f"in the measured case ({first.case}) it takes {first.ratio} of the first gradient's CPU time "
                f"and {call.ratio} of an evaluation's",
            )
        if saved <= 0 or not first.ratio.is_below_one:
            return None
        return Finding(
            remedy=self.name,
            because="the first gradient is a large part of the planned work",
            how=f"{self.how}, then check that the gradient is still right: stabilising rewrites may be needed",
            savings=savings,
        )


EXCLUDE_REWRITES = Rewriting(
    name=RemedyName.EXCLUDE_REWRITES,
    mark="optimizer_excluding",
    how='mode=pytensor.compile.mode.get_mode("JAX").excluding("specialize", "uncanonicalize")',
)
FAST_COMPILE = Rewriting(
    name=RemedyName.FAST_COMPILE,
    mark="FAST_COMPILE",
    how='mode=pytensor.compile.mode.Mode("jax", "fast_compile")',
)
