"""Options of ``firstgrad compare`` that are about measuring its sides."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Annotated

import typer

from firstgrad.errors import SpecError

if TYPE_CHECKING:
    from firstgrad.cli.options import CaseOptions, ModelOptions

SIDES = "Measuring both sides"
DEFAULT_ROUNDS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class DuelOptions:
    """Whether, how often and how long both sides are measured."""

    measure: Annotated[
        bool,
        typer.Option(
            "--measure", help="Measure both sides now, in turns; BASE and HEAD are commits.", rich_help_panel=SIDES
        ),
    ] = False
    samples: Annotated[
        int | None,
        typer.Option(
            "--samples", min=1, metavar="ROUNDS", help="Rounds, a sample of each side [10].", rich_help_panel=SIDES
        ),
    ] = None
    until_decided: Annotated[
        bool,
        typer.Option("--until-decided", help="Measure on until every verdict is certain.", rich_help_panel=SIDES),
    ] = False
    time_budget: Annotated[
        str | None,
        typer.Option("--time-budget", metavar="30m", help="Begin no round that ends later.", rich_help_panel=SIDES),
    ] = None
    order_seed: Annotated[
        int, typer.Option("--order-seed", help="Of the order within a round.", rich_help_panel=SIDES)
    ] = 0

    def plan(self) -> tuple[int, tuple[int, ...]]:
        """Plan how many rounds there are at most, and after which of them to look whether it is decided.

        Returns
        -------
        tuple of (int, tuple of int)
            Without ``--until-decided`` one look, after the last round.
        """
        from firstgrad.analysis.looks import plan_looks

        if not self.until_decided:
            rounds = self.samples or DEFAULT_ROUNDS
            return rounds, (rounds,)
        planned = plan_looks()
        if self.samples is not None:  # a round too few for the next look is of use all the same
            planned = (*(look for look in planned if look < self.samples), self.samples)
        return planned[-1], planned


def refuse_unused(model: ModelOptions, case: CaseOptions, duel: DuelOptions) -> None:
    """Refuse options that only measuring has a use for: a stored comparison would ignore them.

    Raises
    ------
    SpecError
        Naming the first of them.
    """
    for options in (model, case, duel):
        for each in fields(options):
            if getattr(options, each.name) != each.default:
                raise SpecError(
                    "MODEL" if each.name == "model" else f"--{each.name.replace('_', '-')}",
                    "is for sides that are measured now. Both labels or commits are in the store already? Then leave "
                    "it out; else add --measure",
                )
