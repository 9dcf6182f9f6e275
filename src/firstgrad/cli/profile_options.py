"""Options of ``firstgrad profile``: what is shown, compared and kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import typer

from firstgrad.errors import SpecError
from firstgrad.report.trace_format import TraceFormat

PROFILE = "The profile"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileOptions:
    """What is shown, compared and kept."""

    top: Annotated[
        int, typer.Option("--top", min=1, help="How many lines each table has at most.", rich_help_panel=PROFILE)
    ] = 10
    against: Annotated[
        str | None,
        typer.Option(
            "--against",
            metavar="WHAT",
            help="The base to compare with: options ('--no-hmm'), a model with options, a kept profile's record id, "
            "or a profile's file.",
            rich_help_panel=PROFILE,
        ),
    ] = None
    show: Annotated[
        str | None,
        typer.Option(
            "--show", metavar="RECORD|FILE", help="Print this kept profile; profile nothing.", rich_help_panel=PROFILE
        ),
    ] = None
    allocations: Annotated[
        bool,
        typer.Option("--allocations", help="Run once more under memray: who held memory.", rich_help_panel=PROFILE),
    ] = False
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            metavar="FOLDER",
            help="Write figures, the trace, the profile and a flame graph.",
            rich_help_panel=PROFILE,
        ),
    ] = None
    trace_format: Annotated[
        TraceFormat,
        typer.Option(
            "--trace-format", help="Of the trace: speedscope.app, or Perfetto and Chrome.", rich_help_panel=PROFILE
        ),
    ] = TraceFormat.SPEEDSCOPE
    keep: Annotated[
        bool, typer.Option("--keep/--no-keep", help="Keep it in .firstgrad/profiles.", rich_help_panel=PROFILE)
    ] = True
    json: Annotated[
        bool,
        typer.Option("--json", help="The profile, or the difference, as a line of JSON.", rich_help_panel=PROFILE),
    ] = False

    def refuse_with_show(self) -> None:
        """Refuse what a kept profile can't be asked any more.

        Raises
        ------
        SpecError
            Naming the option.
        """
        if self.allocations:
            raise SpecError("--allocations", "nothing runs with --show: profile again with --allocations")
        if not self.keep:
            raise SpecError("--no-keep", "nothing is made with --show, and nothing is ever removed")
