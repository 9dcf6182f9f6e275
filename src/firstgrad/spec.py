"""What a pose model is: a frozen, checked, hashable description.

The pose model is the motion of an articulated body, a root joint and K bones, over T timesteps, seen by C
cameras that miss some points. ``docs/pose-model.md`` gives its density in full.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from enum import StrEnum

from firstgrad.errors import SpecError

UNROLLED_MAX_TIMESTEPS = 200
"""Above this, ``unrolled`` is refused unless forced: its graph grows with T and takes minutes to rewrite."""


class Formulation(StrEnum):
    """How the same density is written as a graph."""

    PER_JOINT = "per_joint"
    VECTORISED = "vectorised"


class HmmAlgorithm(StrEnum):
    """How the hidden states are summed out."""

    SCAN = "scan"
    TREE = "tree"
    UNROLLED = "unrolled"


class Likelihood(StrEnum):
    """Whether a point may be an outlier."""

    MIXTURE = "mixture"
    GAUSSIAN = "gaussian"


class Missing(StrEnum):
    """How missed points are kept out of the density.

    ``naive`` is the common mistake, kept on purpose: its log-density is finite, its gradient is not.
    """

    SAFE = "safe"
    NAIVE = "naive"


class Skeleton(StrEnum):
    """Which joint each bone hangs from."""

    CHAIN = "chain"
    STAR = "star"
    BINARY = "binary"
    CUSTOM = "custom"


class WalkAxis(StrEnum):
    """Along which axis of its (T, 3) value the root walks.

    ``last`` is what ``pm.GaussianRandomWalk(shape=(T, 3))`` does.
    """

    TIME = "time"
    LAST = "last"


@dataclass(frozen=True, slots=True, kw_only=True)
class PosePriors:
    """Scales of the priors; all positive.

    Attributes
    ----------
    eta2_root_sigma, rho_sigma, sigma2_sigma, kappa_sigma : float
        Scales of half-normal priors.
    root_first_sigma : float
        Scale of the root walk's first step.
    obs_sigma_mode, obs_sigma_sd : float
        Mode and standard deviation of the gamma prior of the pixel noise.
    logodds_sigma, logits_sigma : float
        Scales of normal priors: inlier log-odds; initial and transition logits of the HMM.
    """

    eta2_root_sigma: float = 0.5
    rho_sigma: float = 2.0
    sigma2_sigma: float = 0.2
    root_first_sigma: float = 100.0
    obs_sigma_mode: float = 1.0
    obs_sigma_sd: float = 0.5
    logodds_sigma: float = 5.0
    kappa_sigma: float = 5.0
    logits_sigma: float = 1.0

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise SpecError(f"priors.{each.name}", f"expected a number, got {value!r}")
            if not (math.isfinite(value) and value > 0):
                raise SpecError(f"priors.{each.name}", f"expected a positive finite number, got {value!r}")

    @property
    def obs_sigma_gamma(self) -> tuple[float, float]:
        """Shape and rate of the gamma prior that has the wanted mode and standard deviation."""
        mode, variance = self.obs_sigma_mode, self.obs_sigma_sd**2
        rate = (mode + math.sqrt(mode**2 + 4 * variance)) / (2 * variance)
        return 1 + mode * rate, rate


@dataclass(frozen=True, slots=True, kw_only=True)
class HmmSpec:
    """A hidden Markov model over the directions.

    Attributes
    ----------
    n_states : int
        Number S of hidden states.
    algorithm : HmmAlgorithm
        How they are summed out.
    """

    n_states: int = 2
    algorithm: HmmAlgorithm = HmmAlgorithm.SCAN

    def __post_init__(self) -> None:
        _require_count("n_states", self.n_states)
        _require_member("algorithm", self.algorithm, HmmAlgorithm)


@dataclass(frozen=True, slots=True, kw_only=True)
class PoseSpec:
    """One pose model.

    Attributes
    ----------
    n_timesteps, n_directions, n_cameras : int
        T, K and C, each at least 1.
    seed : int
        Seed of the generated data.
    missed_fraction : float
        Share of the C x T x (K + 1) points that the cameras miss, in [0, 1).
    formulation, likelihood, missing, walk_axis
        See their types.
    skeleton : Skeleton
        ``custom`` takes `parents`; the others make their own.
    parents : tuple of int, optional
        Parent of each joint, -1 for the root, which comes first; each parent before its child.
    hmm : HmmSpec, optional
        The HMM over the directions; none by default.
    priors : PosePriors
        Scales of the priors.
    force_unrolled : bool
        Allow ``unrolled`` above `UNROLLED_MAX_TIMESTEPS` timesteps.

    Raises
    ------
    SpecError
        Where a field is out of its range; the error names it.
    """

    n_timesteps: int = 100
    n_directions: int = 5
    n_cameras: int = 3
    seed: int = 42
    missed_fraction: float = 0.02
    formulation: Formulation = Formulation.PER_JOINT
    likelihood: Likelihood = Likelihood.MIXTURE
    missing: Missing = Missing.SAFE
    walk_axis: WalkAxis = WalkAxis.TIME
    skeleton: Skeleton = Skeleton.CHAIN
    parents: tuple[int, ...] | None = None
    hmm: HmmSpec | None = None
    priors: PosePriors = field(default_factory=PosePriors)
    force_unrolled: bool = False

    def __post_init__(self) -> None:
        for name in ("n_timesteps", "n_directions", "n_cameras"):
            _require_count(name, getattr(self, name))
        _require_count("seed", self.seed, least=0)
        fraction: object = self.missed_fraction
        if isinstance(fraction, bool) or not isinstance(fraction, int | float) or not 0 <= fraction < 1:
            raise SpecError("missed_fraction", f"expected a number in [0, 1), got {fraction!r}")
        for name, kind in (
            ("formulation", Formulation),
            ("likelihood", Likelihood),
            ("missing", Missing),
            ("walk_axis", WalkAxis),
            ("skeleton", Skeleton),
        ):
            _require_member(name, getattr(self, name), kind)
        if (self.skeleton is Skeleton.CUSTOM) != (self.parents is not None):
            raise SpecError("parents", "give them with skeleton 'custom', and only with it")
        if self.parents is not None:
            check_parents(self.parents, n_joints=self.n_joints)
        self._check_unrolled()

    def _check_unrolled(self) -> None:
        if self.hmm is None or self.hmm.algorithm is not HmmAlgorithm.UNROLLED or self.force_unrolled:
            return
        if self.n_timesteps > UNROLLED_MAX_TIMESTEPS:
            raise SpecError(
                "algorithm",
                f"'unrolled' writes a graph node for every timestep; with {self.n_timesteps} of them (limit "
                f"{UNROLLED_MAX_TIMESTEPS}) compiling takes very long. Use 'scan' or 'tree', or force it "
                "(force_unrolled=True, --force-unrolled)",
            )

    @property
    def n_joints(self) -> int:
        """J, the root and one joint a bone."""
        return self.n_directions + 1

    @property
    def joint_parents(self) -> tuple[int, ...]:
        """Parent of each of the J joints, -1 for the root."""
        if self.parents is not None:
            return self.parents
        bones = range(1, self.n_joints)
        match self.skeleton:
            case Skeleton.STAR:
                return (-1, *(0 for _ in bones))
            case Skeleton.BINARY:
                return (-1, *((joint - 1) // 2 for joint in bones))
            case _:
                return (-1, *(joint - 1 for joint in bones))


def check_parents(parents: tuple[int, ...], *, n_joints: int) -> None:
    """Check a skeleton: the root first with -1, each parent before its child.

    Raises
    ------
    SpecError
        Naming ``parents`` and the first joint that is wrong.
    """
    if len(parents) != n_joints:
        raise SpecError("parents", f"expected one a joint, {n_joints} (n_directions + 1), got {len(parents)}")
    for joint, parent in enumerate(parents):
        if isinstance(parent, bool) or not isinstance(parent, int):
            raise SpecError("parents", f"joint {joint}: expected a whole number, got {parent!r}")
        if joint == 0 and parent != -1:
            raise SpecError("parents", f"joint 0 is the root: its parent must be -1, got {parent}")
        if joint > 0 and not 0 <= parent < joint:
            raise SpecError(
                "parents", f"joint {joint}: its parent must come before it, in 0..{joint - 1}, got {parent}"
            )


def _require_count(name: str, value: object, *, least: int = 1) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise SpecError(name, f"expected a whole number >= {least}, got {value!r}")


def _require_member(name: str, value: object, kind: type[StrEnum]) -> None:
    if not isinstance(value, kind):
        raise SpecError(name, f"expected one of {', '.join(kind)}, got {value!r}")
