"""``firstgrad profile``: where the time and the memory of one case go, and what makes two differ."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from firstgrad.cli.options import CaseOptions, ModelOptions, spread
from firstgrad.cli.profile_options import ProfileOptions  # noqa: TC001 - `spread` reads it at run time

if TYPE_CHECKING:
    from pathlib import Path

    from firstgrad.analysis.profile_difference import ProfileDifference
    from firstgrad.case import Case
    from firstgrad.profile import Profile

EPILOG = """\b
Examples:
  firstgrad profile pose --backend jax
      where its time went: phases, passes, rewriters, compiled units, imports
  firstgrad profile mymodel.py:build --allocations --output profile
      with memory by where it was allocated; figures, trace and flame graph in profile/
  firstgrad profile pose --hmm --against --no-hmm
      what the HMM adds: both are profiled, the base (--against) first
  firstgrad profile pose --against "--formulation vectorised --backend c"
      several options in quotes
  firstgrad profile --show 3f2a --against profile/profile.json
      two profiles that are there: one kept, by its record id, and a file

\b
Exit codes: 0 good; 1 the oracle disagrees; 2 wrong use; 3 the profiled case failed.
"""


@spread
def profile(model: ModelOptions, case: CaseOptions, options: ProfileOptions) -> None:
    """Profile one case, in a process with instruments on: what each phase spends its time and memory on."""
    base, contender = _shown(model, case, options) if options.show is not None else _profiled(model, case, options)
    difference = _difference(base, contender)
    if options.json:
        from firstgrad.codec import to_json

        typer.echo(to_json(difference or contender or base))
    else:
        _show(base, contender, difference, options)
    if options.output is not None:
        _write(base, contender, difference, options)
    raise typer.Exit(_exit_code(base, contender))


def _profiled(model: ModelOptions, case: CaseOptions, options: ProfileOptions) -> tuple[Profile | None, Profile | None]:
    """Profile the contender, and before it the base that it is compared with."""
    from firstgrad.cli.against import names_profile, read_base_case

    asked = case.to_case(model.to_model())
    if options.against is None:
        return None, _run(asked, case.label, options, side="")
    if names_profile(options.against):
        base = _kept(options.against)  # before the contender is run: a wrong name costs nothing
    else:
        against = read_base_case(options.against, model, case)
        base = _run(against.case, against.label, options, side="base")
        if base.record.failure is not None:
            typer.echo("firstgrad: the base failed, so the contender was not profiled", err=True)
            return base, None
    return base, _run(asked, case.label, options, side="contender")


def _shown(model: ModelOptions, case: CaseOptions, options: ProfileOptions) -> tuple[Profile | None, Profile | None]:
    """Read the profiles that are asked for."""
    from firstgrad.cli.against import names_profile
    from firstgrad.errors import SpecError

    if model != ModelOptions() or case != CaseOptions():
        raise SpecError("--show", "prints a kept profile and runs nothing: leave out the model and its options")
    options.refuse_with_show()
    if options.against is not None and not names_profile(options.against):
        raise SpecError(
            f"--against {options.against!r}",
            "would have to be profiled, and --show runs nothing. Give a kept profile's record id or its file",
        )
    base = None if options.against is None else _kept(options.against)
    return base, _kept(options.show or "")


def _kept(what: str) -> Profile:
    from firstgrad.store.profiles import find_profile, read_profile

    return read_profile(find_profile(what))


def _run(case: Case, label: str, options: ProfileOptions, *, side: str) -> Profile:
    """Profile with live progress; it is kept, whatever comes of it, before anything else can go wrong."""
    import tempfile
    from contextlib import nullcontext
    from pathlib import Path

    from firstgrad.cli.display import show_progress
    from firstgrad.cli.exit_codes import ExitCode
    from firstgrad.errors import StoreError
    from firstgrad.measure import profiling
    from firstgrad.store.profiles import keep_profile, require_folder

    if options.keep:
        require_folder()  # it may run for an hour: what cannot be kept is said before
    title = f"profile of the {side}, {case}" if side else f"profile, {case}"
    folder = nullcontext() if options.output or not options.allocations else tempfile.TemporaryDirectory()
    try:
        with folder as made, show_progress(title) as display:
            place = _folder(options.output, side) if options.output else Path(made) if made else None
            found = profiling.profile_case(
                case, label=label, on_event=display, allocations=place if options.allocations else None
            )
    except KeyboardInterrupt:
        typer.echo("firstgrad: interrupted, and no profile made", err=True)
        raise typer.Exit(ExitCode.INTERRUPTED) from None
    if options.keep:
        try:
            typer.echo(f"kept: {keep_profile(found)}", err=True)
        except StoreError as error:  # shown at least
            typer.echo(f"firstgrad: not kept: {error}", err=True)
    return found


def _difference(base: Profile | None, contender: Profile | None) -> ProfileDifference | None:
    from firstgrad.analysis.profile_difference import find_difference
    from firstgrad.errors import ComparisonError

    if base is None or contender is None:
        return None
    try:
        return find_difference(base, contender)
    except ComparisonError as error:
        typer.echo(f"firstgrad: not compared: {error}", err=True)
        return None


def _show(
    base: Profile | None, contender: Profile | None, difference: ProfileDifference | None, options: ProfileOptions
) -> None:
    from rich.text import Text

    from firstgrad.cli.console import make_console
    from firstgrad.cli.profile_difference_table import show_profile_difference
    from firstgrad.cli.profile_table import show_profile
    from firstgrad.show.records import record_parts
    from firstgrad.show.result import print_parts

    console = make_console()
    for side, each in (("base", base), ("contender", contender)):
        if each is not None:
            if base is not None:
                console.print(Text(f"{side} {each.record.record_id[:8]}", style="bold reverse"))
            if difference is None:
                show_profile(console, each, top=options.top)
            else:  # two whole ones would bury what changed; --show prints each
                print_parts(console, record_parts(each.record))
    if difference is not None:
        show_profile_difference(console, difference, top=options.top)


def _write(
    base: Profile | None, contender: Profile | None, difference: ProfileDifference | None, options: ProfileOptions
) -> None:
    from firstgrad.cli.profile_files import write_difference_files, write_profile_files

    for side, each in (("base", base), ("contender", contender)):
        if each is not None:
            folder = _folder(options.output or "", side)
            write_profile_files(each, folder, trace_format=options.trace_format, top=options.top)
    if difference is not None:
        write_difference_files(difference, _folder(options.output or "", ""))
    typer.echo(f"written: {options.output}", err=True)


def _folder(output: str, side: str) -> Path:
    """Where a side's files go: the base has a folder of its own within."""
    from pathlib import Path

    return Path(output) / "base" if side == "base" else Path(output)


def _exit_code(base: Profile | None, contender: Profile | None) -> int:
    from firstgrad.cli.measure import exit_code

    return exit_code([each.record for each in (base, contender) if each is not None])
