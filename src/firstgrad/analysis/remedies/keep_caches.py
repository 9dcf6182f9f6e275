"""A folder that stays, where each CI run or container compiles from nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from firstgrad.analysis.advice_ratio import estimate_ratio
from firstgrad.analysis.remedies.base import Basis, Finding, RemedyName, Saving
from firstgrad.analysis.remedies.estimate import FIRST_GRADIENT, estimate_savings, own_offer
from firstgrad.case import Scenario

if TYPE_CHECKING:
    from firstgrad.analysis.advice_offers import Offer
    from firstgrad.analysis.remedies.base import Situation

_HOW = (
    "Put the caches on a volume, or into the CI's cache (key: versions of PyTensor, Numba, JAX, and the model): "
    "PYTENSOR_FLAGS=base_compiledir=/kept/pytensor (C and Numba), JAX_COMPILATION_CACHE_DIR=/kept/jax with "
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS=0 (else JAX keeps only what took it a second)"
)


class KeepCaches:
    """Recognised by the environment; the price is cold less warm, measured on this model where both are."""

    name = RemedyName.KEEP_CACHES

    def find(self, situation: Situation) -> Finding | None:
        """See `firstgrad.analysis.remedies.base.Remedy`."""
        cold = own_offer(situation)
        around = situation.surroundings
        reasons = list(around.reasons)
        if cold is not None and str(cold.choice.backend).startswith("jax") and not around.has_jax_cache:
            reasons.append("JAX_COMPILATION_CACHE_DIR is not set, so JAX keeps nothing")
        if not reasons:
            return None
        measured = _measured(situation, cold)
        return Finding(
            remedy=self.name,
            because="; ".join(reasons),
            how=_HOW,
            savings=(measured,) if measured else estimate_savings(situation, self.name, (FIRST_GRADIENT,)),
        )


def _measured(situation: Situation, cold: Offer | None) -> Saving | None:
    advice = situation.advice.of_scenario(Scenario.WARM)
    if cold is None or cold.scenario is not Scenario.COLD or advice is None:
        return None
    warm = next((each for each in advice.offers if each.choice == cold.choice), None)
    if warm is None:
        return None
    return Saving(
        basis=Basis.MEASURED,
        ratio=estimate_ratio(warm.firsts, cold.firsts),
        whole_seconds=cold.option.first_gradient.value,
        of_what=f"first gradient with {cold.choice.name}, at every start",
    )
