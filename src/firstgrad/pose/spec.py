"""What a pose model is: a frozen, checked, hashable description, and the one declaration of its parameters.

The pose model is the motion of an articulated body, a root joint and K bones, over T timesteps, seen by C
cameras that miss some points. ``docs/pose-model.md`` gives its density in full.

Options of the command line, axes of a sweep, columns of tables, labels and defaults are all made from `PARAMETERS`,
which are the fields of the dataclasses below. To add one, add a field.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import TYPE_CHECKING, Any, get_type_hints

from firstgrad.errors import SpecError
from firstgrad.points import Group
from firstgrad.units import require_count

if TYPE_CHECKING:
    from collections.abc import Mapping


type Scalar = bool | int | float | str

_MOST_SIZE = 10**6
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


# A call among a dataclass's defaults is what `dataclasses.field` is, too.
# ruff: noqa: RUF009


def _parameter(default: Any, text: str = "", **declared: Any) -> Any:
    """Declare a field as a parameter: `text` makes it an option; `declared` as in `Parameter`."""
    return field(default=default, metadata={"text": text} | declared)


@dataclass(frozen=True, slots=True, kw_only=True)
class PosePriors:
    """Scales of the priors, all positive: of half-normal and normal priors, except those of the pixel noise."""

    eta2_root_sigma: float = 0.5
    rho_sigma: float = 2.0
    sigma2_sigma: float = 0.2
    root_first_sigma: float = 100.0  # of the root walk's first step
    obs_sigma_mode: float = 1.0  # mode and standard deviation of a gamma prior
    obs_sigma_sd: float = 0.5
    logodds_sigma: float = 5.0
    kappa_sigma: float = 5.0
    logits_sigma: float = 1.0  # of the HMM's initial and transition logits

    def __post_init__(self) -> None:
        for prior in fields(self):
            value = getattr(self, prior.name)
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise SpecError(f"priors.{prior.name}", f"expected a number, got {value!r}")
            if not (math.isfinite(value) and value > 0):
                raise SpecError(f"priors.{prior.name}", f"expected a positive finite number, got {value!r}")

    @property
    def obs_sigma_gamma(self) -> tuple[float, float]:
        """Shape and rate of the gamma prior that has the wanted mode and standard deviation."""
        mode, variance = self.obs_sigma_mode, self.obs_sigma_sd**2
        rate = (mode + math.sqrt(mode**2 + 4 * variance)) / (2 * variance)
        return 1 + mode * rate, rate


@dataclass(frozen=True, slots=True, kw_only=True)
class HmmSpec:
    """A hidden Markov model over the directions: how many states, and how they are summed out."""

    n_states: int = _parameter(2, "Hidden states", name="states", symbol="S", is_size=True, needs="hmm")
    algorithm: HmmAlgorithm = _parameter(
        HmmAlgorithm.SCAN, "How states are summed out", name="hmm_algorithm", needs="hmm"
    )

    def __post_init__(self) -> None:
        require_count("n_states", self.n_states, most=_MOST_SIZE)
        _require_member("algorithm", self.algorithm, HmmAlgorithm)


@dataclass(frozen=True, slots=True, kw_only=True)
class PoseSpec:
    """Sizes and choices of a pose model.

    T, K and C are at least 1; of the C x T x (K + 1) points a fraction in [0, 1) is missed.

    Skeleton ``custom`` takes `parents`, the parent of each joint (-1 for the root, which comes first; each parent
    before its child); the others make their own. Raises SpecError where a field is out of its range; the error names
    it.
    """

    n_timesteps: int = _parameter(100, "Timesteps", name="timesteps", symbol="T", is_size=True)
    n_directions: int = _parameter(5, "Directions", name="directions", symbol="K", is_size=True)
    n_cameras: int = _parameter(3, "Cameras", name="cameras", symbol="C", is_size=True)
    hmm: HmmSpec | None = _parameter(None, "HMM over the directions")
    formulation: Formulation = _parameter(Formulation.PER_JOINT, "How the graph is written")
    likelihood: Likelihood = _parameter(Likelihood.MIXTURE, "With outliers or without")
    missing: Missing = _parameter(Missing.SAFE, "naive is the mistake that makes gradients NaN")
    skeleton: Skeleton = _parameter(Skeleton.CHAIN, "Which joint each bone hangs from")
    parents: tuple[int, ...] | None = _parameter(None, "For --skeleton custom, such as -1,0,1,1")
    walk_axis: WalkAxis = _parameter(WalkAxis.TIME, "Axis along which the root walks")
    seed: int = _parameter(42, "Of the generated data")
    missed_fraction: float = _parameter(0.02, "Share of the points that the cameras miss")
    priors: PosePriors = field(default_factory=PosePriors)
    force_unrolled: bool = _parameter(False, f"Allow unrolled above {UNROLLED_MAX_TIMESTEPS} timesteps")

    def __post_init__(self) -> None:
        for name in ("n_timesteps", "n_directions", "n_cameras"):
            require_count(name, getattr(self, name), most=_MOST_SIZE)
        require_count("seed", self.seed, least=0, most=2**128)
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
    def groups(self) -> tuple[Group, ...]:
        """Its groups, in the order of the flat gradient: 16 with 2313 values by default."""
        steps, bones = self.n_timesteps, self.n_directions
        written = [
            Group("eta2_root", (), is_log=True),
            Group("rho", (bones,), is_log=True),
            Group("sigma2", (bones,), is_log=True),
            Group("x_root", (steps, 3)),
        ]
        if self.formulation is Formulation.PER_JOINT:
            written += [Group(f"raw_u_{k}", (steps, 3)) for k in range(1, bones + 1)]
            written += [Group(f"length_{k}", (steps,)) for k in range(1, bones + 1)]
        else:
            written += [Group("raw_u", (steps, bones, 3)), Group("length", (steps, bones))]
        written.append(Group("obs_sigma", (), is_log=True))
        if self.likelihood is Likelihood.MIXTURE:
            written.append(Group("logodds_inlier", ()))
        return (*written, *self._hmm_groups())

    def _hmm_groups(self) -> list[Group]:
        if self.hmm is None:
            return []
        states, joints = self.hmm.n_states, self.n_joints
        if self.formulation is Formulation.PER_JOINT:
            pairs = [f"s{s}_j{j}" for s in range(states) for j in range(joints)]
            written = [Group(f"hmm_mu_raw_{pair}", (3,)) for pair in pairs]
            written += [Group(f"hmm_kappa_{pair}", (), is_log=True) for pair in pairs]
        else:
            written = [Group("hmm_mu_raw", (states, joints, 3)), Group("hmm_kappa", (states, joints), is_log=True)]
        return [*written, Group("hmm_init_logits", (states,)), Group("hmm_trans_logits", (states, states))]

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

    Raises SpecError naming ``parents`` and the first joint that is wrong.
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


def _require_member(name: str, value: object, kind: type[StrEnum]) -> None:
    if not isinstance(value, kind):
        raise SpecError(name, f"expected one of {', '.join(kind)}, got {value!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """A parameter of the pose model, made from the field that declares it."""

    name: str
    path: tuple[str, ...]
    """From `PoseSpec` to the field."""
    kind: type
    """``int``, ``float``, ``bool``, a StrEnum, or ``str`` (for `parents`, with commas)."""
    default: Scalar
    text: str = ""
    """What the option's help says; '' for a parameter without an option of its own (``--param`` sets it)."""
    symbol: str = ""
    """Its letter in labels."""
    is_size: bool = False
    """Whether growth laws are fitted along it."""
    needs: str = ""
    """The switch without which it has no meaning."""

    @property
    def choices(self) -> tuple[str, ...]:
        """What it may be, where that is a closed set."""
        if self.kind is bool:
            return ("off", "on")
        return tuple(self.kind) if issubclass(self.kind, StrEnum) else ()

    def read(self, text: str) -> Scalar:
        """Read a value as it is written on a command line; raise ValueError where it is none."""
        if self.choices:
            if text not in self.choices:
                raise ValueError(f"expected one of {', '.join(self.choices)}, got {text!r}")
            return text == "on" if self.kind is bool else text
        kinds = {int: "a whole number", float: "a number", str: "whole numbers such as -1,0,1"}
        try:
            return ",".join(str(int(part)) for part in text.split(",")) if self.kind is str else self.kind(text)
        except ValueError:
            raise ValueError(f"expected {kinds[self.kind]}, got {text!r}") from None

    def write(self, value: Scalar) -> str:
        """Write a value as `read` reads it."""
        return ("off", "on")[value] if isinstance(value, bool) else str(value)

    def label(self, value: Scalar) -> str:
        """Name a value in a label: ``T=100``, ``vectorised``, ``seed=7``."""
        if issubclass(self.kind, StrEnum) and self.name != "walk_axis":
            return str(value)
        return f"{self.symbol or self.name}={self.write(value)}"


def _declared(kind: type[Any], path: tuple[str, ...] = ()) -> list[Parameter]:
    parameters: list[Parameter] = []
    hints = get_type_hints(kind)
    for entry in fields(kind):
        here, hint = (*path, entry.name), hints[entry.name]
        if hint is PosePriors:
            parameters += _declared(PosePriors, here)
            continue
        default: Any = entry.default
        value_kind = hint
        if isinstance(default, StrEnum):
            default = str(default)
        if hint == HmmSpec | None:
            default, value_kind = False, bool
        elif hint == tuple[int, ...] | None:
            default, value_kind = "", str
        declared: dict[str, Any] = {"name": entry.name, **entry.metadata}
        parameters.append(Parameter(path=here, kind=value_kind, default=default, **declared))
        if value_kind is bool and entry.name == "hmm":
            parameters += _declared(HmmSpec, here)
    return parameters


PARAMETERS: dict[str, Parameter] = {parameter.name: parameter for parameter in _declared(PoseSpec)}
"""Every parameter of the pose model by its name, in the order in which they are shown."""


def read_pose(parameters: Mapping[str, Scalar]) -> PoseSpec:
    """Return the pose model that has these parameters, the others as by default.

    Raises SpecError where there is no such parameter, a value is out of its range, or one needs a switch that is off.
    """
    values: dict[tuple[str, ...], Any] = {}
    for name, value in parameters.items():
        parameter = PARAMETERS.get(name)
        if parameter is None:
            raise SpecError(name, f"the pose model has no such parameter. It has: {', '.join(PARAMETERS)}")
        if parameter.needs and not parameters.get(parameter.needs, PARAMETERS[parameter.needs].default):
            raise SpecError(name, f"needs {parameter.needs}")
        values[parameter.path] = _typed(parameter, value)

    def part(kind: type[Any], *path: str) -> Any:
        return kind(**{key[-1]: value for key, value in values.items() if key[:-1] == path})

    hmm = part(HmmSpec, "hmm") if values.pop(("hmm",), False) else None
    given = {key[0]: value for key, value in values.items() if len(key) == 1}
    return PoseSpec(**given, hmm=hmm, priors=part(PosePriors, "priors"))


def _typed(parameter: Parameter, value: Scalar) -> Any:
    try:
        if parameter.name == "parents":
            return tuple(int(part) for part in str(value).split(",")) if value != "" else None
        if parameter.choices and parameter.kind is not bool:
            return parameter.kind(value)
    except ValueError as error:
        raise SpecError(parameter.name, str(error)) from None
    if parameter.kind is bool and not isinstance(value, bool):
        raise SpecError(parameter.name, f"expected true or false, got {value!r}")
    return value


def write_pose(spec: PoseSpec) -> dict[str, Scalar]:
    """Return the parameters of a pose model that aren't as by default; `read_pose` reads them."""
    values = {name: _value(parameter, spec) for name, parameter in PARAMETERS.items()}
    return {name: value for name, value in values.items() if value is not None and value != PARAMETERS[name].default}


def _value(parameter: Parameter, spec: PoseSpec) -> Scalar | None:
    value: Any = spec
    for name in parameter.path:
        value = getattr(value, name, None)
    if parameter.name == "hmm":
        return value is not None
    if parameter.name == "parents":
        return "" if value is None else ",".join(str(parent) for parent in value)
    if isinstance(value, StrEnum):
        return str(value)
    return float(value) if parameter.kind is float and value is not None else value
