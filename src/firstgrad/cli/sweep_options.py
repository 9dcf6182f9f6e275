"""The options of a sweep: comma-separated axes instead of single values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from firstgrad.case import BackendName, Scenario, Target
from firstgrad.cli.options import AxesOptions, memory_limit_bytes
from firstgrad.errors import SpecError
from firstgrad.model import POSE

if TYPE_CHECKING:
    from enum import StrEnum

    from firstgrad.sweep.grid import Grid, Tier

AXES, SAMPLING = AxesOptions.panel, "The sweep"
MACHINES = "Many machines"


def _axis(name: str, text: str) -> Any:
    return typer.Option(name, metavar="A,B,...", help=text, rich_help_panel=AXES)


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepOptions:
    """How it is swept."""

    tier: Annotated[
        str | None,
        typer.Option("--tier", metavar="quick|standard|full", help="A named grid; axes given beside it replace its."),
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

    def to_grid(self, model: AxesOptions) -> tuple[Grid, int]:
        """Make the grid that these options ask for, and say how many samples a case.

        Raises
        ------
        SpecError
            Naming the option that doesn't fit.
        """
        from firstgrad.sweep.grid import make_grid, models_of

        tier = self._tier(model)
        one_at_a_time = self.one_at_a_time
        if one_at_a_time is None:
            one_at_a_time = tier.one_at_a_time if tier else False
        axes = {**(tier.axes if tier else {}), **model.axes()}
        models, omitted = models_of(model.model, axes, one_at_a_time=one_at_a_time)
        grid = make_grid(
            models,
            backends=_members("--backend", self.backend, BackendName)
            or (tier.backends if tier else (BackendName.NUMBA,)),
            scenarios=_members("--scenario", self.scenario, Scenario) or (tier.scenarios if tier else (Scenario.COLD,)),
            targets=_members("--target", self.target, Target) or (Target.DLOGP,),
            omitted=omitted,
            evaluations=self.evaluations,
            time_limit_seconds=self.time_limit,
            memory_limit_bytes=memory_limit_bytes(self.memory_limit),
        )
        return grid, self.samples or (tier.samples if tier else 1)

    def _tier(self, model: AxesOptions) -> Tier | None:
        from firstgrad.sweep.grid import TIERS, TierName

        if self.tier is None:
            return None
        (name,) = _members("--tier", self.tier, TierName)[:1] or (None,)
        if model.model != POSE:
            raise SpecError("--tier", "is a grid of the pose model; give your own model's axes with --param")
        return TIERS[name] if name else None


def _members[T: StrEnum](option: str, text: str | None, kind: type[T]) -> tuple[T, ...]:
    if text is None:
        return ()
    parts = [part.strip() for part in text.split(",")]
    if len(set(parts)) < len(parts):
        raise SpecError(option, f"a value is given twice in {text!r}")
    if unknown := [part for part in parts if part not in kind]:
        raise SpecError(option, f"expected some of {', '.join(kind)}, got {unknown[0]!r}")
    return tuple(kind(part) for part in parts)
