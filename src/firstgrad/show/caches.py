"""What a second process finds in compile caches, and bundles of them, for people."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from firstgrad.bundles import key_of, variables_for, whole_seconds
from firstgrad.observe.compiles import Purpose
from firstgrad.observe.numba_functions import NUMBA_REFUSED
from firstgrad.observe.units import NO_ENTRY
from firstgrad.show.result import BLANK, Heading, Items, Result, Span, Style, Table, TableColumn, Text, left, right
from firstgrad.show.words import shown
from firstgrad.units import format_bytes, format_count, format_seconds

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from firstgrad.bundles import BundledCase, CaseUse, Manifest, Packed, Place, Verified
    from firstgrad.case import Case
    from firstgrad.record import NeverKept
    from firstgrad.show.result import Part

MACHINE_CODE = "A bundle is machine code that your processes will run: unpack only what you trust"
RUN = "This ran the bundle's machine code and the models that it names, with your rights: verify only what you trust"
UNIT = "A unit is a piece of machine code in a file of its own: a function of Numba, a module of C, a program of JAX"
ELSEWHERE = (
    "None of it is found on another processor, with another release of Python, PyMC, PyTensor, Numba or JAX, or with "
    "other options (PYTENSOR_FLAGS, XLA_FLAGS, NUMBA_OPT). firstgrad's own functions also need as many cores, and the "
    "same installation of PyMC and PyTensor"
)
_MOST_NAMES = 6


def explained_result(uses: Sequence[CaseUse], *, good: int = 0, failed: int = 3) -> Result:
    """Make what is shown of what second processes found; the numbers are the exit codes."""
    parts = tuple(part for use in uses for part in _explained(use))
    return Result(parts=parts, document=list(uses), exit_code=failed if any(use.failure for use in uses) else good)


def _explained(use: CaseUse) -> Iterator[Part]:
    yield Heading(_name(use.case))
    second = use.second
    if use.failure or second is None or second.caches is None or use.first.caches is None:
        yield Text(f"no numbers: {shown(use.failure)}", Style.BAD)
        yield BLANK
        return
    first, caches = use.first.caches, second.caches
    goal = "first draw" if use.case.is_draw else "first gradient"
    yield Table(
        columns=left("process") + right(f"to the {goal}", "CPU of it", "units loaded", "units compiled and kept"),
        rows=[
            (name, format_seconds(whole_seconds(record)), format_seconds(_cpu_seconds(record)), *map(str, counts))
            for name, record, counts in (
                ("the first, with empty caches", use.first, (0, first.entries_written)),
                ("the second, with what the first one left", second, (caches.entries_read, caches.entries_written)),
            )
        ],
    )
    yield Text(UNIT, Style.DIM)
    if caches.own:
        yield Text(f"firstgrad's own function: {caches.own}")
    units = second.counts.compiled_units if second.counts else 0
    if not (use.again or caches.entries_written or units):
        sooner = whole_seconds(use.first) - whole_seconds(second)
        inside = " Few are loaded, since a unit holds those that it calls." * (
            caches.entries_read < first.entries_written
        )
        yield Text(
            f"The second process compiled nothing, and had its {goal} {format_seconds(max(sooner, 0.0))} sooner (one "
            f"run of each, on this machine as busy as it was).{inside}",
            Style.GOOD,
        )
    else:
        yield Text("The second process compiled again, and so will every later one:", Style.DOUBT)
        yield Items(
            [*map(_again, use.again)] or [f"{format_count(caches.entries_written or units, 'unit')}"], Style.DOUBT
        )
    yield Text(ELSEWHERE, Style.DIM)
    yield BLANK


def _again(one: NeverKept) -> str:
    """Say what was compiled again, why, and what to do."""
    names, more = ", ".join(one.names[:_MOST_NAMES]), one.units - len(one.names[:_MOST_NAMES])
    which = f"{names} and {more} more" if more > 0 else names
    begin = f"{format_count(one.units, 'unit')} ({which}), {format_seconds(one.seconds)}"
    begin += f", {one.purpose}" if one.purpose else ""
    if one.reason == NO_ENTRY:
        return (
            f"{begin}: what the first process kept doesn't fit, so something in the model differs from process to "
            "process. Give random data in the model's file a seed"
        )
    if one.purpose == Purpose.WRAPPER:
        return f'{begin}: {one.reason}. `pm.sample(nuts_sampler="pymc")` and `firstgrad.sample()` need no such wrapper'
    constant = '. Where an array of more than 1 MB stands in the model, write pm.Data("name", array)'
    return f"{begin}: {one.reason}{constant * (one.reason == NUMBA_REFUSED)}"


def _cpu_seconds(record: object) -> float:
    names = ("time_to_first_gradient_cpu_seconds", "time_to_first_draw_cpu_seconds")
    return next((value for name in names if (value := getattr(record, name))), 0.0)


def packed_result(packed: Packed, *, good: int = 0, failed: int = 3) -> Result:
    """Make what is shown of a bundle that was made."""
    manifest = packed.manifest
    parts: list[Part] = [
        Heading((Span(packed.file, is_verbatim=True), f": {_size(manifest)}")),
        _cases_table(manifest.cases),
    ]
    if packed.failed:
        parts.append(Text("Left out, since they could not be compiled:", Style.BAD))
        parts.append(Items([f"{_name(use.case).text}: {shown(use.failure)}" for use in packed.failed], Style.BAD))
    parts.append(Text(f"Prove it in fresh processes: firstgrad cache verify {shlex.quote(packed.file)}"))
    return Result(parts=tuple(parts), document=packed, exit_code=failed if packed.failed else good)


def unpacked_result(manifest: Manifest, folder: Path) -> Result:
    """Make what is shown of a bundle that was unpacked: what to set so that it is used."""
    variables = variables_for(folder)
    lines = [f"export {name}={shlex.quote(value)}" for name, value in variables.items()]
    return Result(
        parts=(
            Heading((Span(str(folder), is_verbatim=True), f": {_size(manifest)}")),
            _cases_table(manifest.cases),
            Text(MACHINE_CODE, Style.DOUBT),
            Text("To use it:"),
            Items(lines),
        ),
        document={"folder": str(folder), "variables": variables, "manifest": manifest},
    )


def key_result(place: Place) -> Result:
    """Make what is shown of a place: one line, for a cache of folders to take as its key."""
    return Result(parts=(Text(key_of(place)),), document={"key": key_of(place), "place": place})


def verified_result(answers: Sequence[Verified], *, good: int = 0, different: int = 1) -> Result:
    """Make what is shown of what fresh processes took from a bundle."""
    rows = []
    for one in answers:
        use = one.record.caches
        same = "not compared" if not one.bundled.answer_digest else "identical" if one.is_same else "different"
        read, written = (str(use.entries_read), str(use.entries_written)) if use else ("", "")
        times = (format_seconds(one.bundled.first_seconds), format_seconds(whole_seconds(one.record)))
        end = Span(shown(one.problem), Style.BAD) if one.problem else Span("proven", Style.GOOD)
        rows.append((_name(one.bundled.case), read, written, same, *times, end))
    columns = (TableColumn("case", is_kept=True), *right("read", "compiled"), *left("results"))
    columns += (*right("without", "with it"), *left("", is_folded=True))
    bad = sum(bool(one.problem) for one in answers)
    heading = f"{bad} of {format_count(len(answers), 'case')} not as promised" if bad else "as promised"
    return Result(
        parts=(Heading(heading), Table(columns=columns, rows=rows), Text(RUN, Style.DIM)),
        document=list(answers),
        exit_code=different if bad else good,
    )


def _name(case: Case) -> Span:
    """Write what was compiled; in which state the caches were is each table's own matter."""
    return Span(", ".join((shown(str(case.model)), case.backend, case.target)), is_verbatim=True)


def _size(manifest: Manifest) -> str:
    return f"{format_count(manifest.units, 'compiled unit')}, {format_bytes(manifest.size_bytes)}"


def _cases_table(cases: Sequence[BundledCase]) -> Table:
    return Table(
        columns=(
            TableColumn("case", is_kept=True),
            *right("to the first result without", "with it", "units found", "compiled anew"),
        ),
        rows=[
            (
                _name(one.case),
                format_seconds(one.first_seconds),
                format_seconds(one.second_seconds),
                str(one.units_read),
                str(one.units_written),
            )
            for one in cases
        ],
    )
