"""Options of ``firstgrad advise``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from firstgrad.analysis.advice_workload import CHAINS, DRAWS, LEAPFROG, TUNE, Workload
from firstgrad.case import BackendName, Target
from firstgrad.errors import SpecError
from firstgrad.units import parse_seconds

if TYPE_CHECKING:
    from collections.abc import Sequence

PLAN, SAMPLES = "What is planned", "The samples"


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkloadOptions:
    """How many gradient evaluations are planned."""

    evaluations: Annotated[
        int | None,
        typer.Option("--evaluations", min=1, help="Gradient evaluations that you plan.", rich_help_panel=PLAN),
    ] = None
    chains: Annotated[
        int | None, typer.Option("--chains", min=1, help=f"Or: chains [{CHAINS}].", rich_help_panel=PLAN)
    ] = None
    tune: Annotated[
        int | None, typer.Option("--tune", min=0, help=f"Tuning draws of each [{TUNE}].", rich_help_panel=PLAN)
    ] = None
    draws: Annotated[
        int | None, typer.Option("--draws", min=0, help=f"Draws of each after tuning [{DRAWS}].", rich_help_panel=PLAN)
    ] = None
    leapfrog: Annotated[
        float | None,
        typer.Option(
            "--leapfrog",
            help=f"Leapfrog steps a draw, on average [{LEAPFROG:g}: the pose model's]; firstgrad sample counts them.",
            rich_help_panel=PLAN,
        ),
    ] = None
    cores: Annotated[
        int | None,
        typer.Option("--cores", min=1, help="Chains at a time [1: one after the other].", rich_help_panel=PLAN),
    ] = None

    def to_workload(self) -> Workload:
        """Make what is planned.

        Raises
        ------
        SpecError
            Naming the options that don't fit together.
        """
        given = {
            name: value
            for name in ("chains", "tune", "draws", "leapfrog", "cores")
            if (value := getattr(self, name)) is not None
        }
        if self.evaluations is None:
            return Workload.of_sampling(**given)
        if given:
            listed = ", ".join(f"--{name}" for name in given)
            raise SpecError(listed, "says what --evaluations says: give one of them")
        return Workload(evaluations=self.evaluations)


@dataclass(frozen=True, slots=True, kw_only=True)
class AdviseOptions(WorkloadOptions):
    """And from which samples."""

    backend: Annotated[
        str | None,
        typer.Option("--backend", metavar="A,B,...", help="Only these [all installed].", rich_help_panel=SAMPLES),
    ] = None
    target: Annotated[
        Target | None,
        typer.Option("--target", help="[dlogp with --evaluations, else logp_dlogp, as NUTS.]", rich_help_panel=SAMPLES),
    ] = None
    samples: Annotated[int, typer.Option("--samples", min=1, help="Of each choice.", rich_help_panel=SAMPLES)] = 3
    no_measure: Annotated[bool, typer.Option("--no-measure", help="Only what is stored.", rich_help_panel=SAMPLES)] = (
        False
    )
    time_budget: Annotated[
        str | None,
        typer.Option("--time-budget", help="For measuring what is missing, such as 30m.", rich_help_panel=SAMPLES),
    ] = None
    time_limit: Annotated[
        float, typer.Option("--time-limit", help="Seconds after which a sample is stopped.", rich_help_panel=SAMPLES)
    ] = 3600.0
    store: Annotated[
        str | None,
        typer.Option("--store", help="File or database URL [.firstgrad/results.sqlite].", rich_help_panel=SAMPLES),
    ] = None
    source: Annotated[
        str | None,
        typer.Option("--from", metavar="FILE.jsonl", help="An export, instead of measuring.", rich_help_panel=SAMPLES),
    ] = None
    output: Annotated[
        str | None, typer.Option("--output", metavar="FILE", help="The chart goes there: .png or .svg.")
    ] = None
    json: Annotated[bool, typer.Option("--json", help="The advice as JSON.")] = False

    def to_backends(self, installed: Sequence[BackendName]) -> tuple[BackendName, ...]:
        """Choose the backends.

        Parameters
        ----------
        installed : sequence of BackendName
            Which can be measured here; with ``--from`` those that are in the export.

        Raises
        ------
        SpecError
            Where a name is no backend's, or nothing is left.
        """
        if self.backend is None:
            if not installed:
                raise SpecError("--backend", "none is available here. See: firstgrad doctor")
            return tuple(installed)
        try:
            return tuple(dict.fromkeys(BackendName(part.strip()) for part in self.backend.split(",")))
        except ValueError:
            raise SpecError("--backend", f"expected some of {', '.join(BackendName)}, got {self.backend!r}") from None

    def check(self) -> None:
        """Refuse what doesn't go together.

        Raises
        ------
        SpecError
            Naming the options.
        """
        if self.source is not None and self.store is not None:
            raise SpecError("--store, --from", "give one of them")
        if self.store == "none":
            raise SpecError("--store", "what is measured is kept, so that the next advice needs no time: give a file")
        self.budget_seconds  # noqa: B018 - refuses what is no duration, before anything is measured
        if self.output is not None and not self.output.endswith((".png", ".svg")):
            raise SpecError("--output", f"expected a file that ends in .png or .svg, got {self.output!r}")

    @property
    def chosen_target(self) -> Target:
        """What is compiled: the gradient for a number of them, value and gradient for a sampling run."""
        return self.target or (Target.DLOGP if self.evaluations is not None else Target.LOGP_DLOGP)

    @property
    def budget_seconds(self) -> float | None:
        """The time budget; none where none was given.

        Raises
        ------
        SpecError
            Where it is no duration.
        """
        if self.time_budget is None:
            return None
        try:
            return parse_seconds(self.time_budget)
        except SpecError as error:
            raise SpecError("--time-budget", str(error)) from error


def installed_backends() -> tuple[BackendName, ...]:
    """List the backends that can be measured here: their package, or the compiler, is there."""
    from firstgrad.measure.environment import backend_version

    return tuple(name for name in BackendName if backend_version(name))
