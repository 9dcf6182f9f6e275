"""A case: one point of the grid, complete enough that a fresh process can measure it."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field, replace
from enum import StrEnum

from firstgrad.codec import LATER
from firstgrad.errors import SpecError
from firstgrad.model import Model, as_model
from firstgrad.units import require_count

_DEVICE = re.compile(r"[A-Za-z]\w*")
MOST_SAMPLES = 100_000
"""No sweep, comparison or measurement has more: each is planned, and shown, as a whole."""


class BackendName(StrEnum):
    """What the graph is compiled to.

    ``c``, ``numba``, ``jax``: PyTensor's. ``jax_fast``: PyTensor's gradient under ``firstgrad.fast_mode()``.
    ``jax_direct``: ``firstgrad.fast_gradient()``, the log-density as one JAX function which JAX differentiates.
    ``jax_quick``: the same with the least effort of XLA. ``interpreter``: PyTensor's graph in Python, node by node.
    ``fake`` compiles nothing and serves tests.
    """

    C = "c"
    NUMBA = "numba"
    JAX = "jax"
    JAX_FAST = "jax_fast"
    JAX_DIRECT = "jax_direct"
    JAX_QUICK = "jax_quick"
    INTERPRETER = "interpreter"
    FAKE = "fake"

    @property
    def takes_device(self) -> bool:
        """Whether there is a choice of where it runs: JAX's ways have one."""
        return self.startswith("jax") or self is BackendName.FAKE


class Target(StrEnum):
    """What a measurement waits for: the gradient, value and gradient (as NUTS uses), or each chain's first draw."""

    DLOGP = "dlogp"
    LOGP_DLOGP = "logp_dlogp"
    FIRST_DRAW = "first_draw"


class Sampler(StrEnum):
    """Who draws: PyMC itself, in Python; nutpie, in Rust; NumPyro or BlackJAX, in JAX.

    ``auto``: whom ``pm.sample`` takes where nobody is named. ``firstgrad``: ``firstgrad.sample``, which is nutpie with
    what ``firstgrad.fast_gradient`` gives.
    """

    AUTO = "auto"
    PYMC = "pymc"
    NUTPIE = "nutpie"
    NUMPYRO = "numpyro"
    BLACKJAX = "blackjax"
    FIRSTGRAD = "firstgrad"

    @property
    def package(self) -> str:
        """Name of the package that it needs; of ``auto`` the one that it may."""
        return str(Sampler.NUTPIE if self in (Sampler.AUTO, Sampler.FIRSTGRAD) else self)


class GradientBackend(StrEnum):
    """Who differentiates the log-density that nutpie takes from JAX."""

    JAX = "jax"
    PYTENSOR = "pytensor"


class Scenario(StrEnum):
    """State of the caches before the measured compile.

    ``cold``: new process, empty disk cache. ``warm``: new process, disk cache filled by an identical earlier
    one. ``hot``: compiled a second time in the same process.
    """

    COLD = "cold"
    WARM = "warm"
    HOT = "hot"


class Counting(StrEnum):
    """What a sample counts beside its seconds.

    ``plain``: what costs next to nothing. ``instrumented``: also calls of Python functions, which slows it down.
    ``simulated``: also instructions, by Valgrind, which takes some 75 times as long. Seconds and memory of the last
    two are no measurement, so no table has them.
    """

    PLAIN = "plain"
    INSTRUMENTED = "instrumented"
    SIMULATED = "simulated"


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One thing to measure: a model with backend, target, scenario and limits. Two that are equal ask the same."""

    model: Model  # the built-in pose model (a `PoseSpec` is taken, too) or the user's own
    backend: BackendName
    target: Target = Target.DLOGP
    scenario: Scenario = Scenario.COLD
    evaluations: int = 200  # how many steady-state calls are timed; 0 for none
    time_limit_seconds: float | None = 3600.0  # after this the worker's process tree is killed
    memory_limit_bytes: int | None = None  # above this resident size of the process tree, the tree is killed
    sampler: Sampler = field(default=Sampler.AUTO, metadata=LATER)  # this and the next two: of ``first_draw`` alone
    gradient_backend: GradientBackend | None = field(default=None, metadata=LATER)  # none: nutpie's own default
    chains: int = field(default=1, metadata=LATER)
    timed_draws: int = field(default=0, metadata=LATER)  # of each chain, timed after the first one, in a second run
    counting: Counting = field(default=Counting.PLAIN, metadata=LATER)
    device: str = field(default="", metadata=LATER)
    """JAX's name of the platform to run on, such as ``cuda``; '' for what ``JAX_PLATFORMS`` says, else the processor.
    """

    def __post_init__(self) -> None:
        object.__setattr__(self, "model", as_model(self.model))
        require_count("evaluations", self.evaluations, least=0)
        require_count("chains", self.chains, least=1)
        require_count("timed_draws", self.timed_draws, least=0)
        self._check_draw()
        self._check_device()
        for name in ("time_limit_seconds", "memory_limit_bytes"):
            limit = getattr(self, name)
            if limit is not None and not limit > 0:
                raise SpecError(name, f"expected a positive number or none, got {limit!r}")

    def _check_draw(self) -> None:
        """Refuse what no sampler can do, and a sampler where nothing is drawn."""
        if not self.is_draw:
            given = {
                "--sampler": self.sampler is not Sampler.AUTO,
                "--gradient-backend": self.gradient_backend is not None,
                "--chains": self.chains != 1,
                "timed_draws": self.timed_draws != 0,
            }
            for name in (name for name, is_given in given.items() if is_given):
                raise SpecError(name, "is for --target first_draw")
            return
        check_sampler(self.sampler, self.backend)
        if self.gradient_backend is not None:
            if self.sampler not in (Sampler.AUTO, Sampler.NUTPIE):
                raise SpecError("--gradient-backend", f"is nutpie's; {self.sampler} has no such choice")
            if self.backend not in (BackendName.JAX, BackendName.FAKE):
                raise SpecError(
                    "--gradient-backend", f"is a choice of nutpie with backend jax, not with {self.backend}"
                )

    def _check_device(self) -> None:
        """Refuse what is no name of a platform, and a choice where there is none."""
        if self.device and not self.backend.takes_device:
            raise SpecError("--device", f"is for JAX's backends; {self.backend} runs on the processor")
        if self.device and not _DEVICE.fullmatch(self.device):
            raise SpecError("--device", f"expected a platform of JAX's, such as cpu or cuda, got {self.device!r}")

    @property
    def is_draw(self) -> bool:
        """Whether it is a sampler that is waited for."""
        return self.target is Target.FIRST_DRAW

    @property
    def sampler_package(self) -> str:
        """Name of the package beside PyMC that may draw; '' for none."""
        return "" if not self.is_draw or self.sampler is Sampler.PYMC else self.sampler.package

    @property
    def wanted(self) -> str:
        """Say what is waited for: the target, and of a draw whose it is."""
        if not self.is_draw:
            return str(self.target)
        gradient = f" with {self.gradient_backend}'s gradient" if self.gradient_backend else ""
        chains = f", {self.chains} chains" if self.chains > 1 else ""
        return f"{self.target} by {self.sampler}{gradient}{chains}"

    @property
    def id(self) -> str:
        """Digest of the whole content: equal cases have equal ids, in every process."""
        from firstgrad.codec import to_json

        return hashlib.sha256(to_json(self).encode()).hexdigest()[:16]

    @property
    def question(self) -> str:
        """Digest of what is asked: the case without its limits and its numbers of evaluations and timed draws.

        Samples of one question under equal conditions belong together, however long one was ready to wait.
        """
        return replace(self, evaluations=0, timed_draws=0, time_limit_seconds=None, memory_limit_bytes=None).id

    def __str__(self) -> str:
        counting = "" if self.counting is Counting.PLAIN else f", {self.counting}"
        return f"{self.model}, {self.compiled_by}, {self.wanted}, {self.scenario}{counting}"

    @property
    def compiled_by(self) -> str:
        """The backend, and the device where one is asked for."""
        return f"{self.backend} on {self.device}" if self.device else str(self.backend)


TELL_AT_ONCE = (Sampler.NUMPYRO, Sampler.BLACKJAX)
"""Samplers whose draws are one program's: nothing is known before all of them are made."""
_BACKENDS_OF = {
    Sampler.AUTO: (BackendName.C, BackendName.NUMBA, BackendName.JAX),
    Sampler.PYMC: (BackendName.C, BackendName.NUMBA, BackendName.JAX, BackendName.JAX_FAST),
    Sampler.NUTPIE: (BackendName.NUMBA, BackendName.JAX),
    Sampler.NUMPYRO: (BackendName.JAX,),
    Sampler.BLACKJAX: (BackendName.JAX,),
    Sampler.FIRSTGRAD: (BackendName.JAX_DIRECT,),
}


def draws_with(sampler: Sampler, backend: BackendName) -> bool:
    """Whether a sampler draws with a backend."""
    return backend in (*_BACKENDS_OF[sampler], BackendName.FAKE)


def check_sampler(sampler: Sampler, backend: BackendName) -> None:
    """Refuse a backend that a sampler doesn't draw with; raises SpecError."""
    if not draws_with(sampler, backend):
        who = "pm.sample" if sampler is Sampler.AUTO else sampler
        raise SpecError("--backend", f"{who} takes {' or '.join(_BACKENDS_OF[sampler])}, not {backend}")
