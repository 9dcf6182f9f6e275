"""The options of a sweep: comma-separated axes instead of single values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from firstgrad.case import BackendName, Scenario, Target
from firstgrad.cli.options import read_scalar
from firstgrad.errors import SpecError
from firstgrad.spec import Formulation, HmmAlgorithm, Likelihood, Missing, PoseSpec, Skeleton
from firstgrad.units import parse_bytes

if TYPE_CHECKING:
    from collections.abc import Callable
    from enum import StrEnum

    from firstgrad.case import ExternalModel, Scalar
    from firstgrad.sweep.grid import Grid, OmittedModel, PoseAxes, Tier

AXES, SAMPLING = "Axes (values with commas; the first of each is the base)", "The sweep"
MACHINES = "Many machines"


def _axis(name: str, text: str) -> Any:
    return typer.Option(name, metavar="A,B,...", help=text, rich_help_panel=AXES)


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepOptions:
    """What is swept. Axes left at none keep the tier's values, or the pose model's default without a tier."""

    model: Annotated[
        str,
        typer.Argument(help="pose, or your own: path/file.py:function or package.module:function.", metavar="[MODEL]"),
    ] = "pose"
    tier: Annotated[
        str | None,
        typer.Option("--tier", metavar="quick|standard|full", help="A named grid; axes given beside it replace its."),
    ] = None
    timesteps: Annotated[str | None, _axis("--timesteps", "Timesteps T [100].")] = None
    directions: Annotated[str | None, _axis("--directions", "Directions K [5].")] = None
    cameras: Annotated[str | None, _axis("--cameras", "Cameras C [3].")] = None
    hmm: Annotated[str | None, _axis("--hmm", "off, on [off].")] = None
    states: Annotated[str | None, _axis("--states", "Hidden states S [2]; where the HMM is on.")] = None
    hmm_algorithm: Annotated[str | None, _axis("--hmm-algorithm", "scan, tree, unrolled [scan].")] = None
    formulation: Annotated[str | None, _axis("--formulation", "per_joint, vectorised [per_joint].")] = None
    likelihood: Annotated[str | None, _axis("--likelihood", "mixture, gaussian [mixture].")] = None
    missing: Annotated[str | None, _axis("--missing", "safe, naive [safe].")] = None
    skeleton: Annotated[
        str | None, typer.Option("--skeleton", help="chain, star or binary [chain].", rich_help_panel=AXES)
    ] = None
    seed: Annotated[int | None, typer.Option("--seed", help="Of the generated data [42].", rich_help_panel=AXES)] = None
    param: Annotated[
        list[str] | None,
        typer.Option("--param", metavar="NAME=A,B,...", help="An axis of your own model; may be repeated."),
    ] = None
    backend: Annotated[str | None, _axis("--backend", "c, numba, jax [numba].")] = None
    scenario: Annotated[str | None, _axis("--scenario", "cold, warm, hot [cold].")] = None
    target: Annotated[str | None, _axis("--target", "dlogp, logp_dlogp [dlogp].")] = None
    one_at_a_time: Annotated[
        bool | None,
        typer.Option(
            "--one-at-a-time/--all-combinations",
            help="Of T, K, C and S vary one, with the others at their base: all that growth laws need.",
            rich_help_panel=AXES,
        ),
    ] = None
    samples: Annotated[
        int | None, typer.Option("--samples", min=1, help="Measured processes a case [1].", rich_help_panel=SAMPLING)
    ] = None
    evaluations: Annotated[
        int, typer.Option("--evaluations", min=0, help="Timed steady-state calls.", rich_help_panel=SAMPLING)
    ] = 200
    time_limit: Annotated[
        float,
        typer.Option("--time-limit", help="Seconds after which a sample is stopped.", rich_help_panel=SAMPLING),
    ] = 3600.0
    memory_limit: Annotated[
        str | None,
        typer.Option("--memory-limit", help="Of a sample's process tree, such as 4GiB.", rich_help_panel=SAMPLING),
    ] = None

    def to_grid(self) -> tuple[Grid, int]:
        """Make the grid that these options ask for, and say how many samples a case.

        Raises
        ------
        SpecError
            Naming the option that doesn't fit.
        """
        from firstgrad.sweep.grid import make_grid

        tier = self._tier()
        models, omitted = self._models(tier)
        try:
            memory = None if self.memory_limit is None else parse_bytes(self.memory_limit)
        except SpecError as error:
            raise SpecError("--memory-limit", error.problem) from None
        grid = make_grid(
            models,
            backends=_members("--backend", self.backend, BackendName)
            or (tier.backends if tier else (BackendName.NUMBA,)),
            scenarios=_members("--scenario", self.scenario, Scenario) or (tier.scenarios if tier else (Scenario.COLD,)),
            targets=_members("--target", self.target, Target) or (Target.DLOGP,),
            omitted=omitted,
            evaluations=self.evaluations,
            time_limit_seconds=self.time_limit,
            memory_limit_bytes=memory,
        )
        return grid, self.samples or (tier.samples if tier else 1)

    def _tier(self) -> Tier | None:
        from firstgrad.sweep.grid import TIERS, TierName

        if self.tier is None:
            return None
        (name,) = _members("--tier", self.tier, TierName)[:1] or (None,)
        if self.model != "pose":
            raise SpecError("--tier", "is a grid of the pose model; give your own model's axes with --param")
        return TIERS[name] if name else None

    def _models(
        self, tier: Tier | None
    ) -> tuple[tuple[PoseSpec, ...] | tuple[ExternalModel, ...], tuple[OmittedModel, ...]]:
        from firstgrad.sweep.grid import external_models, pose_models

        if self.model == "pose":
            if self.param:
                raise SpecError("--param", "is for your own model; the pose model has axes of its own")
            one_at_a_time = self.one_at_a_time
            if one_at_a_time is None:
                one_at_a_time = tier.one_at_a_time if tier else False
            return pose_models(self._pose_axes(tier), one_at_a_time=one_at_a_time)
        given = ("timesteps", "directions", "cameras", "hmm", "states", "hmm_algorithm", "formulation", "likelihood")
        for name in (*given, "missing", "skeleton", "seed", "one_at_a_time"):
            if getattr(self, name) is not None:
                option = f"--{name.replace('_', '-')}"
                raise SpecError(option, "belongs to the pose model; give your own model's axes with --param")
        return external_models(self.model, _parameter_axes(self.param or [])), ()

    def _pose_axes(self, tier: Tier | None) -> PoseAxes:
        from dataclasses import replace

        from firstgrad.sweep.grid import PoseAxes

        given: dict[str, Any] = {
            name: _counts(f"--{name}", getattr(self, name)) for name in ("timesteps", "directions", "cameras", "states")
        }
        given["hmm"] = _switches("--hmm", self.hmm)
        for name, kind in (
            ("hmm_algorithm", HmmAlgorithm),
            ("formulation", Formulation),
            ("likelihood", Likelihood),
            ("missing", Missing),
        ):
            given[name] = _members(f"--{name.replace('_', '-')}", getattr(self, name), kind)
        axes = replace(tier.axes if tier else PoseAxes(), **{name: values for name, values in given.items() if values})
        if True not in axes.hmm and (self.states is not None or self.hmm_algorithm is not None):
            raise SpecError("--states, --hmm-algorithm", "need --hmm on, or --hmm off,on")
        base: dict[str, Any] = {}
        if self.skeleton is not None:
            (base["skeleton"],) = _members("--skeleton", self.skeleton, Skeleton)
        if self.seed is not None:
            base["seed"] = self.seed
        return replace(axes, base=replace(PoseSpec(), **base))


def _values[T](option: str, text: str | None, read: Callable[[str], T]) -> tuple[T, ...]:
    if text is None:
        return ()
    values = [read(part.strip()) for part in text.split(",")]
    if len(set(values)) < len(values):
        raise SpecError(option, f"a value is given twice in {text!r}")
    return tuple(values)


def _counts(option: str, text: str | None) -> tuple[int, ...]:
    def read(part: str) -> int:
        if not part.isdecimal() or int(part) < 1:
            raise SpecError(option, f"expected whole numbers such as 10,30,100, got {part!r}")
        return int(part)

    return _values(option, text, read)


def _switches(option: str, text: str | None) -> tuple[bool, ...]:
    def read(part: str) -> bool:
        if part not in ("off", "on"):
            raise SpecError(option, f"expected off, on, or both with a comma, got {part!r}")
        return part == "on"

    return _values(option, text, read)


def _members[T: StrEnum](option: str, text: str | None, kind: type[T]) -> tuple[T, ...]:
    def read(part: str) -> T:
        try:
            return kind(part)
        except ValueError:
            raise SpecError(option, f"expected some of {', '.join(kind)}, got {part!r}") from None

    return _values(option, text, read)


def _parameter_axes(given: list[str]) -> tuple[tuple[str, tuple[Scalar, ...]], ...]:
    found: dict[str, tuple[Scalar, ...]] = {}
    for text in given:
        name, equals, values = text.partition("=")
        if not (equals and name.isidentifier()):
            raise SpecError("--param", f"expected NAME=A,B,..., got {text!r}")
        if name in found:
            raise SpecError("--param", f"{name!r} is given twice")
        if "," in values and not all(part.strip() for part in values.split(",")):
            raise SpecError("--param", f"a value is empty in {text!r}")
        found[name] = _values("--param", values, read_scalar)
    return tuple(sorted(found.items()))
