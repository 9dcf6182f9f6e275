"""``firstgrad profile``: where the time and the memory of one case go, and what makes two differ."""

from __future__ import annotations

import functools
import shlex
from contextlib import suppress
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Annotated

import typer

from firstgrad.cli.console import ExitCode, OutputOptions, note, say, show, shown
from firstgrad.cli.options import CaseOptions, ModelOptions, declare, spread
from firstgrad.errors import SpecError
from firstgrad.profiling.trace import TraceFormat

if TYPE_CHECKING:
    from pathlib import Path

    from firstgrad.case import Case
    from firstgrad.profiling import Profile
    from firstgrad.profiling.difference import ProfileDifference

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
Exit codes: 0 good; 1 the oracle disagrees; 2 wrong use; 3 the profiled case failed; 4 broke off.
"""

PROFILE_FILE, PAGE_FILE = "profile.json", "profile.html"
_ENDING = ".json"
_HINT_ON_EXTRA = ". A path with spaces needs quotes within: --against \"'my models/old.py:build'\""


_option = functools.partial(declare, panel="The profile")


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileOptions:
    """What is shown, compared and kept."""

    top: Annotated[int, _option("--top", min=1, text="How many lines each table has at most.")] = 10
    against: Annotated[
        str | None,
        _option(
            "--against",
            metavar="WHAT",
            text="The base to compare with: options ('--no-hmm'), a model with options, a kept profile's record id, "
            "or a profile's file.",
        ),
    ] = None
    show: Annotated[
        str | None, _option("--show", metavar="RECORD|FILE", text="Print this kept profile; profile nothing.")
    ] = None
    allocations: Annotated[
        bool, _option("--allocations", text="Run once more under memray, to see what held memory.")
    ] = False
    output: Annotated[
        str | None,
        _option("--output", metavar="FOLDER", text="Write figures, the trace, the profile and a flame graph."),
    ] = None
    trace_format: Annotated[
        TraceFormat,
        _option("--trace-format", text="Format of the trace: for speedscope.app, or for Perfetto and Chrome."),
    ] = TraceFormat.SPEEDSCOPE
    keep: Annotated[bool, _option("--keep/--no-keep", text="Keep it in .firstgrad/profiles.")] = True

    def folder(self, side: str) -> Path:
        """Where a side's files go: the base has a folder of its own within."""
        from pathlib import Path

        return Path(self.output or "") / "base" if side == "base" else Path(self.output or "")


@spread
def profile(model: ModelOptions, case: CaseOptions, options: ProfileOptions, output: OutputOptions) -> None:
    """Profile one case, in a process with instruments on: what each phase spends its time and memory on."""
    from firstgrad.cli.measure import exit_code
    from firstgrad.show.profiles import compared_parts
    from firstgrad.show.result import Result

    output.refuse_both()
    make = _shown if options.show is not None else _profiled
    base, head = make(model, case, options)
    difference = _difference(base, head) if base is not None and head is not None else None
    result = Result(
        parts=list(compared_parts(base, head, difference, top=options.top)),
        document=difference or head or base,
        exit_code=exit_code([one.record for one in (base, head) if one is not None]),
    )
    show(result, output)
    if options.output is not None:
        _write_files(base, head, difference, options)
    raise typer.Exit(result.exit_code)


def _profiled(model: ModelOptions, case: CaseOptions, options: ProfileOptions) -> tuple[Profile | None, Profile | None]:
    """Profile the head, and before it the base that it is compared with."""
    from firstgrad.measuring.environment import check_devices
    from firstgrad.sources import check_reference

    asked = case.to_case(model.to_model())
    check_reference(asked.model.reference)
    check_devices([asked])
    if options.against is None:
        return None, _run(asked, case.label, options, side="")
    if names_profile(options.against):
        base = _kept(options.against)  # before the head is run: a wrong name costs nothing
    else:
        against, label = read_base_case(options.against, model, case)
        check_reference(against.model.reference)
        check_devices([against])
        base = _run(against, label, options, side="base")
        if base.record.failure is not None:
            say("firstgrad: the base failed, so the head was not profiled")
            return base, None
    return base, _run(asked, case.label, options, side="head")


def _shown(model: ModelOptions, case: CaseOptions, options: ProfileOptions) -> tuple[Profile | None, Profile | None]:
    """Read the profiles that are asked for."""
    own = {one.name for one in ModelOptions.last_parameters()}
    asked = own | {"model", "param", *(one.name for one in fields(case))}
    if model.typed & asked:
        raise SpecError("--show", "prints a kept profile and runs nothing: leave out the model and its options")
    if options.allocations:
        raise SpecError("--allocations", "nothing runs with --show: profile again with --allocations")
    if not options.keep:
        raise SpecError("--no-keep", "nothing is made with --show, and nothing is ever removed")
    if options.against is not None and not names_profile(options.against):
        raise SpecError(
            f"--against {options.against!r}",
            "would have to be profiled, and --show runs nothing. Give a kept profile's record id or its file",
        )
    base = None if options.against is None else _kept(options.against)
    return base, _kept(options.show or "")


def names_profile(text: str) -> bool:
    """Whether ``--against`` names a profile that is there, by its file or the beginning of its record id.

    In this order: options begin with a dash; a file's name, or what ends in ``.json`` without options, is a profile's
    file; what begins with ``pose``, or has a colon, is a model; anything else is the beginning of a record id.
    """
    from firstgrad.model import POSE
    from firstgrad.store.kept import names_file

    if text.startswith("-"):
        return False
    if names_file(text):
        return True
    first = text.split(maxsplit=1)[:1]
    is_model = first == [POSE] or ":" in text or text.partition(" ")[0].endswith(".py")
    # `old.py:build --param data=x.json` is a model with options, not a file.
    return bool(first) and (not is_model or (text.endswith(_ENDING) and " -" not in text))


def read_base_case(text: str, model: ModelOptions, case: CaseOptions) -> tuple[Case, str]:
    """Make the case that ``--against`` asks for, with its label; options of the head are its defaults."""
    from firstgrad.cli.options import replace_options

    field = f"--against {text!r}"
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise SpecError(field, f"cannot be read ({error}). Are the quotes in pairs?") from None
    if not words:
        raise SpecError("--against", "is empty. Give options, a model, a kept profile's record id, or its file")
    asked_model, asked = replace_options(
        words, model, case, where=f"--against {shlex.join(words)!r}", hint_on_extra=_HINT_ON_EXTRA
    )
    try:
        base = asked.to_case(asked_model.to_model())
    except SpecError as error:
        raise SpecError(field, str(error)) from error
    if base == case.to_case(model.to_model()):
        raise SpecError(
            field,
            "is the head itself, since options that it doesn't name are taken over. Name what differs, such as "
            "--against '--formulation vectorised'; or, to see by how much two runs of one case differ, profile it "
            "twice and compare what was kept, by record id",
        )
    return base, asked.label


def _kept(what: str) -> Profile:
    from firstgrad.profiling.make import PROFILES

    return PROFILES.read(PROFILES.find(what))


def _run(case: Case, label: str, options: ProfileOptions, *, side: str) -> Profile:
    """Profile with live progress; it is kept, whatever comes of it, before anything else can go wrong."""
    import tempfile
    from pathlib import Path

    from firstgrad.errors import StoreError
    from firstgrad.profiling import make
    from firstgrad.show.display import show_progress

    if options.keep:
        make.PROFILES.require_folder()  # it may run for an hour: what cannot be kept is said before
    title = f"profile of the {side}, {case}" if side else f"profile, {case}"
    try:
        with tempfile.TemporaryDirectory() as made, shown(show_progress(title)) as display:
            place = options.folder(side) if options.output else Path(made)
            done = make.profile_case(
                case, label=label, on_event=display, allocations=place if options.allocations else None
            )
    except KeyboardInterrupt:
        say("firstgrad: interrupted, and no profile made")
        raise typer.Exit(ExitCode.INTERRUPTED) from None
    if options.keep:
        try:
            note(f"kept: {make.PROFILES.keep(done)}")
        except StoreError as error:  # shown at least
            say(f"firstgrad: not kept: {error}")
    return done


def _difference(base: Profile, head: Profile) -> ProfileDifference | None:
    from firstgrad.errors import ComparisonError
    from firstgrad.profiling.difference import find_difference

    try:
        return find_difference(base, head)
    except ComparisonError as error:
        say(f"firstgrad: not compared: {error}")
        return None


def _write_files(
    base: Profile | None, head: Profile | None, difference: ProfileDifference | None, options: ProfileOptions
) -> None:
    """Write both and their difference, figures where there is something to draw; earlier files are replaced."""
    from firstgrad.codec import to_json
    from firstgrad.profiling.make import PROFILES
    from firstgrad.profiling.trace import write_trace
    from firstgrad.show.bars import difference_picture, profile_picture
    from firstgrad.show.memory import memory_picture
    from firstgrad.show.page import render_page
    from firstgrad.show.profiles import profile_page
    from firstgrad.show.style import save_picture
    from firstgrad.store.files import write_file

    for side, one in (("base", base), ("head", head)):
        if one is None:
            continue
        folder, record = options.folder(side), one.record
        PROFILES.write(one, folder / PROFILE_FILE)
        write_file(folder / PAGE_FILE, render_page(profile_page(one, top=options.top)).encode())
        write_file(folder / options.trace_format.file_name, f"{write_trace(one, options.trace_format)}\n".encode())
        if any(phase.phase in record.window_phases for phase in record.phases):
            save_picture(profile_picture(one, top=options.top), folder)
        if record.memory is not None and record.memory.timeline:
            save_picture(memory_picture(record), folder)
    if difference is not None:
        folder = options.folder("")
        write_file(folder / "difference.json", f"{to_json(difference)}\n".encode())
        with suppress(ValueError):  # nothing to draw, which the table says too
            save_picture(difference_picture(difference), folder)
    note(f"written: {options.output}")
