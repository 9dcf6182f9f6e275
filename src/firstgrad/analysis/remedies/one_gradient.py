"""One backward pass for all variables, where PyMC's ``compile_dlogp`` takes one for each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from firstgrad.analysis.remedies.base import Finding, RemedyName
from firstgrad.analysis.remedies.estimate import estimate_savings
from firstgrad.case import BackendName, Target

if TYPE_CHECKING:
    from firstgrad.analysis.remedies.base import Situation

_LEAST_GROUPS = 8
"""With fewer there is little to save."""
_PASS_FOR_EACH = (BackendName.C, BackendName.NUMBA, BackendName.JAX)


class OneGradient:
    """Recognised by the target: ``dlogp`` is what ``Model.compile_dlogp`` writes, a pass for each variable."""

    name = RemedyName.ONE_GRADIENT

    def find(self, situation: Situation) -> Finding | None:
        """See `firstgrad.analysis.remedies.base.Remedy`."""
        groups = max(
            (
                each.counts.groups
                for each in situation.samples_of_model()
                if each.counts and each.case.target is Target.DLOGP and each.case.backend in _PASS_FOR_EACH
            ),
            default=0,
        )
        savings = estimate_savings(situation, self.name)
        if groups < _LEAST_GROUPS or (savings and not savings[0].ratio.is_below_one):
            return None
        return Finding(
            remedy=self.name,
            because=f"Model.compile_dlogp differentiates once for each of {groups} variables (--target dlogp)",
            how="Take model.logp_dlogp_function(ravel_inputs=True), as pm.sample does (--target logp_dlogp), or "
            "pytensor.grad(model.logp(), model.continuous_value_vars) once",
            savings=savings,
        )
