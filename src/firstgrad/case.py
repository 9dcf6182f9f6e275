"""A case: one point of the grid, complete enough that a fresh process can measure it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from enum import StrEnum

from firstgrad.errors import SpecError
from firstgrad.model import Model, as_model
from firstgrad.units import require_count

MOST_SAMPLES = 100_000
"""No sweep, comparison or measurement has more: each is planned, and shown, as a whole."""


class BackendName(StrEnum):
    """What the graph is compiled to.

    ``c``, ``numba``, ``jax``: PyTensor's. ``jax_fast``: PyTensor's gradient under ``firstgrad.fast_mode()``.
    ``jax_direct``: ``firstgrad.fast_gradient()``, the log-density as one JAX function which JAX differentiates.
    ``jax_quick``: the same with the least effort of XLA. ``fake`` compiles nothing and serves tests.
    """

    C = "c"
    NUMBA = "numba"
    JAX = "jax"
    JAX_FAST = "jax_fast"
    JAX_DIRECT = "jax_direct"
    JAX_QUICK = "jax_quick"
    FAKE = "fake"


class Target(StrEnum):
    """What is compiled: the gradient, or value and gradient together, as NUTS does."""

    DLOGP = "dlogp"
    LOGP_DLOGP = "logp_dlogp"


class Scenario(StrEnum):
    """State of the caches before the measured compile.

    ``cold``: new process, empty disk cache. ``warm``: new process, disk cache filled by an identical earlier
    one. ``hot``: compiled a second time in the same process.
    """

    COLD = "cold"
    WARM = "warm"
    HOT = "hot"


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One thing to measure."""

    model: Model  # the built-in pose model (a `PoseSpec` is taken, too) or the user's own
    backend: BackendName
    target: Target = Target.DLOGP
    scenario: Scenario = Scenario.COLD
    evaluations: int = 200  # how many steady-state calls are timed; 0 for none
    time_limit_seconds: float | None = 3600.0  # after this the worker's process tree is killed
    memory_limit_bytes: int | None = None  # above this resident size of the process tree, the tree is killed

    def __post_init__(self) -> None:
        object.__setattr__(self, "model", as_model(self.model))
        require_count("evaluations", self.evaluations, least=0)
        for name in ("time_limit_seconds", "memory_limit_bytes"):
            limit = getattr(self, name)
            if limit is not None and not limit > 0:
                raise SpecError(name, f"expected a positive number or none, got {limit!r}")

    @property
    def id(self) -> str:
        """Digest of the whole content: equal cases have equal ids, in every process."""
        from firstgrad.codec import to_json

        return hashlib.sha256(to_json(self).encode()).hexdigest()[:16]

    @property
    def question(self) -> str:
        """Digest of what is asked: the case without its limits and its number of evaluations.

        Samples of one question under equal conditions belong together, however long one was ready to wait.
        """
        return replace(self, evaluations=0, time_limit_seconds=None, memory_limit_bytes=None).id

    def __str__(self) -> str:
        return f"{self.model}, {self.backend}, {self.target}, {self.scenario}"
