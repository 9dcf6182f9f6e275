"""``firstgrad profile``: where the time and the memory of one case go, and what makes two differ."""

from __future__ import annotations

import functools
import shlex
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Annotated, Any

import typer

from firstgrad.cli.console import ExitCode, OutputOptions, say, show
from firstgrad.cli.options import CaseOptions, ModelOptions, declare, spread
from firstgrad.errors import SpecError
from firstgrad.profile.trace import TraceFormat
from firstgrad.units import format_bytes, format_count, format_seconds

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from firstgrad.case import Case
    from firstgrad.profile import Profile
    from firstgrad.profile.difference import ProfileChange, ProfileDifference
    from firstgrad.profile.units import UnitPattern
    from firstgrad.show.result import Part, Result, Table

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

PROFILE_FILE = "profile.json"
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
    allocations: Annotated[bool, _option("--allocations", text="Run once more under memray: who held memory.")] = False
    output: Annotated[
        str | None,
        _option("--output", metavar="FOLDER", text="Write figures, the trace, the profile and a flame graph."),
    ] = None
    trace_format: Annotated[
        TraceFormat, _option("--trace-format", text="Of the trace: speedscope.app, or Perfetto and Chrome.")
    ] = TraceFormat.SPEEDSCOPE
    keep: Annotated[bool, _option("--keep/--no-keep", text="Keep it in .firstgrad/profiles.")] = True

    def folder(self, side: str) -> Path:
        """Where a side's files go: the base has a folder of its own within."""
        from pathlib import Path

        return Path(self.output or "") / "base" if side == "base" else Path(self.output or "")


@spread
def profile(model: ModelOptions, case: CaseOptions, options: ProfileOptions, output: OutputOptions) -> None:
    """Profile one case, in a process with instruments on: what each phase spends its time and memory on."""
    output.refuse_both()
    make = _shown if options.show is not None else _profiled
    base, head = make(model, case, options)
    difference = _difference(base, head) if base is not None and head is not None else None
    result = make_result(base, head, difference, top=options.top)
    show(result, output)
    if options.output is not None:
        _write_files(base, head, difference, options)
    raise typer.Exit(result.exit_code)


def _profiled(model: ModelOptions, case: CaseOptions, options: ProfileOptions) -> tuple[Profile | None, Profile | None]:
    """Profile the head, and before it the base that it is compared with."""
    from firstgrad.sources import check_reference

    asked = case.to_case(model.to_model())
    check_reference(asked.model.reference)
    if options.against is None:
        return None, _run(asked, case.label, options, side="")
    if names_profile(options.against):
        base = _kept(options.against)  # before the head is run: a wrong name costs nothing
    else:
        against, label = read_base_case(options.against, model, case)
        check_reference(against.model.reference)
        base = _run(against, label, options, side="base")
        if base.record.failure is not None:
            say("firstgrad: the base failed, so the head was not profiled")
            return base, None
    return base, _run(asked, case.label, options, side="head")


def _shown(model: ModelOptions, case: CaseOptions, options: ProfileOptions) -> tuple[Profile | None, Profile | None]:
    """Read the profiles that are asked for."""
    if model != ModelOptions() or case != CaseOptions():
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
    from firstgrad.profile.kept import names_file

    if text.startswith("-"):
        return False
    if names_file(text):
        return True
    first = text.split(maxsplit=1)[:1]
    is_model = first == [POSE] or ":" in text
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
    from firstgrad.profile.kept import find_profile, read_profile

    return read_profile(find_profile(what))


def _run(case: Case, label: str, options: ProfileOptions, *, side: str) -> Profile:
    """Profile with live progress; it is kept, whatever comes of it, before anything else can go wrong."""
    import tempfile
    from pathlib import Path

    from firstgrad.cli.display import show_progress
    from firstgrad.errors import StoreError
    from firstgrad.profile import make
    from firstgrad.profile.kept import keep_profile, require_folder

    if options.keep:
        require_folder()  # it may run for an hour: what cannot be kept is said before
    title = f"profile of the {side}, {case}" if side else f"profile, {case}"
    try:
        with tempfile.TemporaryDirectory() as made, show_progress(title) as display:
            place = options.folder(side) if options.output else Path(made)
            done = make.profile_case(
                case, label=label, on_event=display, allocations=place if options.allocations else None
            )
    except KeyboardInterrupt:
        say("firstgrad: interrupted, and no profile made")
        raise typer.Exit(ExitCode.INTERRUPTED) from None
    if options.keep:
        try:
            say(f"kept: {keep_profile(done)}")
        except StoreError as error:  # shown at least
            say(f"firstgrad: not kept: {error}")
    return done


def _difference(base: Profile, head: Profile) -> ProfileDifference | None:
    from firstgrad.errors import ComparisonError
    from firstgrad.profile.difference import find_difference

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
    from firstgrad.profile.kept import write_profile
    from firstgrad.profile.trace import write_trace
    from firstgrad.record import FIRST_GRADIENT_PHASES
    from firstgrad.show.bars import difference_picture, profile_picture
    from firstgrad.show.memory import memory_picture
    from firstgrad.show.style import save_picture
    from firstgrad.store.files import write_file

    for side, one in (("base", base), ("head", head)):
        if one is None:
            continue
        folder, record = options.folder(side), one.record
        write_profile(one, folder / PROFILE_FILE)
        write_file(folder / options.trace_format.file_name, f"{write_trace(one, options.trace_format)}\n".encode())
        if any(phase.phase in FIRST_GRADIENT_PHASES for phase in record.phases):
            save_picture(profile_picture(one, top=options.top), folder)
        if record.memory is not None and record.memory.timeline:
            save_picture(memory_picture(record), folder)
    if difference is not None:
        folder = options.folder("")
        write_file(folder / "difference.json", f"{to_json(difference)}\n".encode())
        with suppress(ValueError):  # nothing to draw, which the table says too
            save_picture(difference_picture(difference), folder)
    say(f"written: {options.output}")


INSTRUMENTS_NOTE = (
    "Instruments were on: these seconds are not for comparing with those of firstgrad measure. Shares and counts tell."
)
_LONGEST_SOURCE, _SOURCES = 24, 3
_LEAST_SECONDS = 0.0005  # less is shown as nothing at all: passes that only look are many
_TITLES = {
    "total": "in all",
    "phase": "phases",
    "pass": "rewrite passes",
    "rewriter": "single rewriters",
    "node_type": "nodes by type of operation",
    "unit": "compiled units, by name and operation",
    "memory": "memory",
}
_METRICS = {
    "wall_seconds": "wall",
    "cpu_seconds": "CPU",
    "own_seconds": "own",
    "nodes_before": "before rewriting",
    "nodes_after": "after rewriting",
    "nodes_added": "nodes added",
    "before": "before rewriting",
    "after": "after rewriting",
    "code_bytes": "code",
    "bytes": "",
    **dict.fromkeys(("groups", "values", "compiled_units"), ""),  # totals whose name says it all
}


def make_result(
    base: Profile | None, head: Profile | None, difference: ProfileDifference | None = None, *, top: int = 10
) -> Result:
    """Make what is shown of one profile, or of two and what changed; `top` lines a table and metric."""
    from firstgrad.cli.measure import exit_code
    from firstgrad.show.records import record_parts
    from firstgrad.show.result import Result, Style, Text

    parts: list[Part] = []
    for side, one in (("base", base), ("head", head)):
        if one is not None:
            if base is not None:
                parts.append(Text(f"{side} {one.record.record_id[:8]}", Style.BANNER))
            # Two whole ones would bury what changed; --show prints each.
            parts += profile_parts(one, top=top) if difference is None else record_parts(one.record)
    if difference is not None:
        parts += difference_parts(difference, top=top)
    code = exit_code([one.record for one in (base, head) if one is not None])
    return Result(parts=parts, document=difference or head or base, exit_code=code)


def profile_parts(profile: Profile, *, top: int) -> Iterator[Part]:
    """Yield one profile: the record, then where its time and its memory went."""
    from firstgrad.show.records import record_parts
    from firstgrad.show.result import BLANK, Heading, Items, Style, Text

    yield from record_parts(profile.record)
    for title, table in _profile_tables(profile, top):
        yield Heading(title)
        yield table
        yield BLANK
    yield Items(tuple(_sentences(profile, top)))
    yield Items([f"unavailable: {line}" for line in profile.attribution.unavailable], Style.DOUBT)
    yield Text(INSTRUMENTS_NOTE, Style.DIM)
    yield BLANK


def _profile_tables(profile: Profile, top: int) -> Iterator[tuple[str, Table]]:
    from firstgrad.profile.units import merge_patterns

    record, attribution = profile.record, profile.attribution
    passes = sorted(record.rewrite_passes, key=lambda one: -one.wall_seconds)
    rows: list[tuple[str, ...]] = [
        (
            _short(one.name),
            format_seconds(one.wall_seconds),
            _share(one.wall_seconds, record, "rewrite"),
            *("" if nodes is None else f"{nodes:,}" for nodes in (one.nodes_before, one.nodes_after)),
        )
        for one in passes[:top]
    ]
    if shown := sum(one.wall_seconds >= _LEAST_SECONDS for one in passes):
        yield _title("slowest rewrite passes", top, shown), _table("pass", "wall|of rewrite|nodes before|after", rows)
    rewriters = sorted(attribution.rewriters, key=lambda one: (-one.wall_seconds, one.name))
    rows = [
        (_short(one.name), _short(one.pass_name, 32), format_seconds(one.wall_seconds), f"{one.applied:,}")
        for one in rewriters[:top]
    ]
    if shown := sum(one.wall_seconds >= _LEAST_SECONDS or one.applied > 0 for one in rewriters):
        yield _title("slowest single rewriters", top, shown), _table("rewriter|pass", "wall|applied", rows)
    if types := attribution.node_types:
        yield _title("nodes by type of operation", top, len(types)), _node_types(profile, top)
    if patterns := merge_patterns(attribution.units):
        kind, *others = {unit.kind.replace("_", " ") for unit in attribution.units}
        every = "" if others else f", each {'an' if kind[0] in 'aeiox' else 'a'} {kind}"
        table = _units(profile, patterns[:top], is_mixed=bool(others))
        yield _title(f"slowest compiled units{every}", top, len(patterns)), table
    imports = sorted(attribution.imports, key=lambda one: -one.own_seconds)
    if imports:
        rows = [
            (
                _short(one.name),
                *map(format_seconds, (one.own_seconds, one.wall_seconds)),
                _share(one.own_seconds, record, "import"),
            )
            for one in imports[:top]
        ]
        table = _table("package", "own|with what it imports|of import", rows)
        yield _title("slowest imports", top, len(imports)), table
    sites = sorted(profile.allocations, key=lambda site: -site.size_bytes)
    if sites:
        rows = [
            (
                *map(_short, (site.function, f"{site.file}:{site.line}" if site.line else site.file, site.native)),
                format_bytes(site.size_bytes),
                f"{site.allocations:,}",
            )
            for site in sites[:top]
        ]
        table = _table("function|file|native function below it", "alive|allocations", rows)
        yield _title("memory at the peak, by where it was allocated", top, len(sites)), table


def _node_types(profile: Profile, top: int) -> Table:
    from firstgrad.show.result import TableRow

    nodes = sorted(profile.attribution.node_types, key=lambda one: (-max(one.before, one.after), one.name))
    lines = [(_short(one.name), one.before, one.after) for one in nodes[:top]]
    if rest := nodes[top:]:
        others = format_count(len(rest), "other type")
        lines.append((others, sum(one.before for one in rest), sum(one.after for one in rest)))
    rows = [
        TableRow((name, f"{before:,}", f"{after:,}", f"{after - before:+,}"), ends_section=number == top < len(lines))
        for number, (name, before, after) in enumerate(lines, start=1)
    ]
    return _table("type", "before rewriting|after|change", rows)


def _units(profile: Profile, patterns: Sequence[UnitPattern], *, is_mixed: bool) -> Table:
    """Make a line a pattern; on a narrow terminal three columns of names would have a few letters each."""
    from dataclasses import replace

    from firstgrad.profile.units import share_of_phase

    wide, narrow = [], []
    for pattern in patterns:
        unit = pattern.unit
        kind = f"{unit.kind.replace('_', ' ')} " if is_mixed else ""
        times = f" x{pattern.units}" if pattern.units > 1 else ""
        sources = ", ".join(_short(name, _LONGEST_SOURCE) for name in unit.sources[:_SOURCES])
        more = len(unit.sources) - _SOURCES
        names = (
            f"{kind}{_short(unit.name, 36)}{times}{' (from the cache)' if unit.from_cache else ''}",
            _short(unit.op, 32),
            f"{sources} and {more} more" if more > 0 else sources,
        )
        share = share_of_phase(profile, unit)
        shares = ("" if share is None else f"{share:.1%}", str(unit.phase or ""))
        own, nodes = format_seconds(unit.own_seconds), f"{unit.nodes:,}" if unit.nodes else ""
        code = "" if unit.code_bytes is None else format_bytes(unit.code_bytes)
        wide.append((*names, own, *shares, nodes, code))
        lines = tuple(piece for name in filter(None, names) for piece in ("\n  ", name))[1:]
        narrow.append((lines, own, " ".join(shares), nodes, code))
    return replace(
        _table("unit|operation|for", "own|of its phase|phase|nodes|code", wide),
        narrow=_table("unit, operation, for", "own|of its phase|nodes|code", narrow),
    )


def _sentences(profile: Profile, top: int) -> Iterator[str]:
    from firstgrad.profile.units import find_unit_shares

    for share in find_unit_shares(profile, top):
        what = format_count(share.units, share.kind.replace("_", " "))
        cached = f" ({share.from_cache:,} from the cache)" if share.from_cache else ""
        verb = "explains" if share.units == 1 else "explain"
        some = f"; the {share.slowest} slowest {share.slowest_share:.0%}" if share.units > share.slowest else ""
        yield f"{what}{cached} {verb} {share.share:.0%} of {share.phase}{some}"
    missed = Counter[str]()
    for miss in profile.attribution.cache_misses:
        missed[miss.reason] += miss.units
    for reason, count in missed.most_common():
        yield f"caches: {format_count(count, 'unit')} not taken from them, or not kept: {reason}"


def difference_parts(difference: ProfileDifference, *, top: int) -> Iterator[Part]:
    """Yield what is compared and what changed."""
    from firstgrad.profile.difference import LEAST_SECONDS, LEAST_SECONDS_FACTOR, ChangeKind
    from firstgrad.show.result import BLANK, Heading, Style, Text

    yield Heading("What changed")
    for side, one in (("base", difference.base), ("head", difference.head)):
        yield Text(f"{side}  {one.record.record_id[:8]}  {one.record.case}")
    for note in difference.notes:
        yield Text(note, Style.DOUBT if note.startswith("warning") else Style.PLAIN)
    yield BLANK
    for kind in ChangeKind:
        if changes := difference.of_kind(kind, noise=kind is ChangeKind.TOTAL):
            largest = _largest(changes, top)
            rest = len(changes) - len(largest)
            left_out = f" ({format_count(rest, 'smaller change')} left out)" if rest else ""
            yield Heading(f"{_TITLES[kind]}{left_out}")
            yield _changes_table(largest)
            yield BLANK
    if hidden := sum(one.is_noise and one.kind is not ChangeKind.TOTAL for one in difference.changes):
        yield Text(f"{format_count(hidden, 'number')} changed within noise")
    yield Text(
        "Each side is a single sample with instruments on: seconds that differ by less than "
        f"{LEAST_SECONDS_FACTOR - 1:.0%} or {format_seconds(LEAST_SECONDS)} are not listed, and listed ones are hints. "
        "Counts tell. To compare seconds: firstgrad measure --samples, then firstgrad compare.",
        Style.DIM,
    )
    yield BLANK


def _largest(changes: Sequence[ProfileChange], top: int) -> list[ProfileChange]:
    """Take the first of each metric; they come by metric, the largest first."""
    groups = (list(group) for _, group in groupby(changes, key=lambda change: change.metric))
    return [one for group in groups for one in (group if group[0].kind == "total" else group[:top])]


def _changes_table(changes: Sequence[ProfileChange]) -> Table:
    from firstgrad.show.result import Style, Table, TableRow, left, right
    from firstgrad.show.words import write_value

    rows = []
    for number, change in enumerate(changes, start=1):
        is_total = change.kind == "total"
        is_last = number < len(changes) and changes[number].metric != change.metric
        sides = ("none" if side is None else write_value(change.unit, side) for side in (change.base, change.head))
        cells = (
            _short(change.name.replace("_", " ") if is_total else change.name, 64),
            _METRICS.get(change.metric, change.metric),
            *sides,
            f"{'+' if change.difference > 0 else ''}{write_value(change.unit, change.difference)}",
            "" if change.ratio is None else f"x{change.ratio:.3g}",
        )
        style = Style.DIM if change.is_noise else Style.PLAIN
        rows.append(TableRow(cells, style, ends_section=is_last and not is_total))
    return Table(
        columns=(
            *left("what", is_folded=True),
            *left("number"),
            *right("base", "head", "difference", "ratio", is_kept=True),
        ),
        rows=rows,
    )


def _table(names: str, numbers: str, rows: Sequence[Any]) -> Table:
    """Names to the left, numbers aligned to the right."""
    from firstgrad.show.result import Table, left, right

    columns = (*left(*names.split("|"), is_folded=True), *right(*numbers.split("|"), is_kept=True))
    return Table(columns=columns, rows=rows)


def _title(text: str, top: int, every: int) -> str:
    return f"{text} ({top} of {every})" if every > top else text


def _short(name: str, longest: int = 48) -> str:
    from firstgrad.show.words import shorten

    return shorten(name, longest)


def _share(seconds: float, record: Any, phase: str) -> str:
    from firstgrad.record import Phase

    whole = record.phase(Phase(phase))
    return f"{seconds / whole.wall_seconds:.1%}" if whole and whole.wall_seconds else ""
