"""The oracle: the pose model's log-density and gradient in NumPy alone, and the comparison with it.

Every measured function is checked against this package. It imports neither PyMC nor a backend.
"""

from __future__ import annotations

from firstgrad.oracle.compare import (
    GRADIENT_RTOL,
    LOGP_RTOL,
    allowed_rounding,
    compare_gradient,
    compare_logp,
    finiteness,
)
from firstgrad.oracle.gradient import complex_step_gradient, gradient, value_and_gradient
from firstgrad.oracle.hmm import Posterior, brute_force_log_marginal, log_marginal, posterior
from firstgrad.oracle.logp import logp, logp_terms

__all__ = [
    "GRADIENT_RTOL",
    "LOGP_RTOL",
    "Posterior",
    "allowed_rounding",
    "brute_force_log_marginal",
    "compare_gradient",
    "compare_logp",
    "complex_step_gradient",
    "finiteness",
    "gradient",
    "log_marginal",
    "logp",
    "logp_terms",
    "posterior",
    "value_and_gradient",
]
