"""PyTensor's own switches: fewer rewrites, for a shorter compile and slower calls."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from firstgrad.analysis.remedies.base import Finding, RemedyName
from firstgrad.analysis.remedies.estimate import EVALUATION, FIRST_GRADIENT, estimate_savings, own_offer

if TYPE_CHECKING:
    from firstgrad.analysis.remedies.base import Situation


@dataclass(frozen=True, slots=True, kw_only=True)
class Flags:
    """A remedy that is made of ``PYTENSOR_FLAGS``.

    Proposed where a measured case says that the planned work takes less time with it; and where it is set already
    although it takes more.

    Attributes
    ----------
    name : RemedyName
        Which.
    mark : str
        What is found in the flags where they are set.
    """

    name: RemedyName
    mark: str

    def find(self, situation: Situation) -> Finding | None:
        """See `firstgrad.analysis.remedies.base.Remedy`."""
        first = situation.evidence_of(self.name, FIRST_GRADIENT)
        call = situation.evidence_of(self.name, EVALUATION)
        own = own_offer(situation)
        if first is None or call is None or own is None:
            return None
        first_seconds = own.option.first_gradient.value
        call_seconds = situation.advice.workload.in_a_row * own.option.evaluation.value
        saved = (1 - first.ratio.value) * first_seconds + (1 - call.ratio.value) * call_seconds
        is_set = self.mark in situation.surroundings.flags
        if is_set:
            # These samples have it already, so what the measured case saved is what taking it away would cost.
            without = first_seconds / first.ratio.value + call_seconds / call.ratio.value
            if without >= first_seconds + call_seconds:
                return None
            return Finding(
                remedy=self.name,
                because=f"{self.mark} is in PYTENSOR_FLAGS, and for so many evaluations it costs more than it saves",
                how=f"Take {self.mark} out of PYTENSOR_FLAGS",
                savings=estimate_savings(situation, self.name),
            )
        if saved <= 0 or not first.ratio.is_below_one:
            return None
        return Finding(
            remedy=self.name,
            because="the first gradient is a large part of the planned work",
            how=f"PYTENSOR_FLAGS={first.flags}, then firstgrad check: the gradient must stay right",
            savings=estimate_savings(situation, self.name),
        )


EXCLUDE_REWRITES = Flags(name=RemedyName.EXCLUDE_REWRITES, mark="optimizer_excluding")
FAST_COMPILE = Flags(name=RemedyName.FAST_COMPILE, mark="FAST_COMPILE")
