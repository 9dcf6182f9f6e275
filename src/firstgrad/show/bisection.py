"""What a bisection found, for people: the revision, what changed with it, what is not sure, and what to paste."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from firstgrad.bisecting.run import PREDICATES, Outcome
from firstgrad.columns import METRICS, Unit
from firstgrad.show.comparison import comparison_parts
from firstgrad.show.result import (
    BLANK,
    Form,
    Heading,
    Items,
    Only,
    Result,
    Span,
    Style,
    Table,
    Text,
    Verbatim,
    left,
    render,
    right,
)
from firstgrad.units import format_bytes, format_count

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from firstgrad.bisecting.history import Revision
    from firstgrad.bisecting.run import Bisection, Moved, MovedPart
    from firstgrad.show.result import Inline, Part

_MOST_PARTS = 12
_IN_PARAGRAPH = 4
_PARENTS = 2
_TITLES = {metric.name: metric for metric in METRICS}


def bisection_parts(bisection: Bisection, command: str = "") -> Iterator[Part]:
    """Yield all that is shown of a bisection; `command` is what was typed."""
    if bisection.found is None:
        yield from _nothing(bisection)
        return
    yield Only(Form.MARKDOWN, (Heading(f"firstgrad bisect: {bisection.found.short}"), Text(_paragraph(bisection))))
    yield Only(Form.TERMINAL, _terminal_opening(bisection, bisection.found))
    if bisection.moved:
        yield BLANK
        yield _moved_table(bisection.moved, "exact counts, before and with it")
    if bisection.parts:
        yield BLANK
        yield _parts_table(bisection.parts)
    if bisection.check is not None:
        yield BLANK
        yield from comparison_parts(bisection.check, show_all=True)
    yield BLANK
    yield _tested_table(bisection)
    yield Only(Form.TERMINAL, (BLANK, Items(list(_notes(bisection)), Style.DOUBT)))
    if command:
        yield Only(Form.MARKDOWN, (Verbatim([command]),))
    pasted = render(Result(parts=[Text(_paragraph(bisection))]), Form.MARKDOWN).strip()
    lines: list[Part] = [Heading("to paste"), Verbatim([pasted, *([f"`{command}`"] * bool(command))], is_to_paste=True)]
    yield Only(Form.TERMINAL, (BLANK, *lines))


def _nothing(bisection: Bisection) -> Iterator[Part]:
    if bisection.outcome is Outcome.NOT_MEASURED:
        yield Text(("an end can't be measured: ", _code(bisection.reason)), Style.BAD)
        return
    yield Heading(("GOOD and BAD don't differ: ", _code(str(bisection.good)), " and ", _code(str(bisection.bad))))
    yield Text(bisection.reason)
    if bisection.ends:
        yield _moved_table(bisection.ends, "what differs between GOOD and BAD (--metric NAME)")
    if bisection.seconds is not None:
        yield from comparison_parts(bisection.seconds, show_all=True)


def _terminal_opening(bisection: Bisection, found: Revision) -> Sequence[Part]:
    is_one = bisection.outcome is Outcome.FOUND
    what = "release" if found.requirement else "commit"
    head = f"{found.name}" if is_one else f"one of {format_count(len(bisection.between) + 1, what)} up to {found.name}"
    parts: list[Part] = [Heading(head)]
    if found.subject:
        parts.append(Text(f"  {found.subject}"))
        parts.append(Text(f"  {found.author}, {found.date}", Style.DIM))
    parts.append(Text((f"{_title(bisection.by)}: ", Span(_change(bisection), Style.BOLD))))
    return parts


# --- words --------------------------------------------------------------------------------------------------------


def _paragraph(bisection: Bisection) -> tuple[str | Span, ...]:
    """Say it in a few sentences."""
    found, before = bisection.found, bisection.before
    if found is None or before is None:
        return ()
    what = "release" if found.requirement else "commit"
    where: list[str | Span] = [f"with {bisection.name} {what} ", _code(found.name)]
    if bisection.between:
        where = [
            f"with one of the {len(bisection.between) + 1} {what}s of {bisection.name} after ",
            _code(before.short),
            " up to ",
        ]
        where.append(_code(found.name))
    if found.subject:
        where += [" (", _code(found.subject), f", {found.author}, {found.date})"]
    words: list[str | Span] = [_code(str(bisection.case)), ": "]
    words += [f"{_title(bisection.by)} changed from {_change(bisection)} ", *where, "."]
    moved = [one for one in bisection.moved if one.metric != bisection.by][:_IN_PARAGRAPH]
    if moved:
        words.append(" Also: " + "; ".join(f"{_title(one.metric)} {_from_to(one)}" for one in moved) + ".")
    # What has no name of its own ("(itself)", "(others)") tells nobody anything here; the table has it.
    for part in [one for one in bisection.parts if not one.name.startswith("(")][:_IN_PARAGRAPH]:
        words += [f" {part.by.capitalize()} ", _code(part.name), f": {part.count} {part.before:,} to {part.after:,}."]
    words.append(" " + " ".join(f"{note[0].upper()}{note[1:]}." for note in _notes(bisection)))
    return tuple(words)


def _change(bisection: Bisection) -> str:
    """Write the change of what was bisected by."""
    if bisection.by in PREDICATES:
        return f"not {bisection.by} to {bisection.by}" + (f" ({bisection.failure})" if bisection.failure else "")
    if bisection.seconds is not None:
        ratio = None
        if bisection.check is not None:
            ratios = (one.ratio for case in bisection.check.cases for one in case.metrics if one.metric == bisection.by)
            ratio = next(ratios, None)
        return "as on GOOD to as on BAD" + (
            f" (ratio {ratio.value:.3f} [{ratio.low:.3f}, {ratio.high:.3f}])" if ratio else ""
        )
    before, after = bisection.number_before or 0.0, bisection.number_after or 0.0
    return f"{_number(bisection.by, before)} to {_number(bisection.by, after)}{_percent(before, after)}"


def _notes(bisection: Bisection) -> Iterator[str]:
    """Yield what the reader has to know beside the numbers, each without a full stop."""
    what = "releases" if bisection.good.requirement else "commits"
    line = f"{bisection.revisions:,} {what} from {bisection.good.short} to {bisection.bad.short}"
    left_out = f", but for {bisection.left_out:,} without any change of the package" if bisection.left_out else ""
    steps = format_count(bisection.steps, "step")
    yield (
        f"found among {line} (first parents{left_out}) in {steps}"
        if not bisection.good.requirement
        else (f"found among {line} in {steps}")
    )
    if bisection.share is not None and not math.isclose(bisection.share, 1.0, rel_tol=0.005):
        yield f"that is {bisection.share:.0%} of the whole change from GOOD to BAD"
    if bisection.others:
        told = "; ".join(
            f"after {one.after.short} up to {one.up_to.short}: {_number(bisection.by, one.number_before)} to "
            f"{_number(bisection.by, one.number_after)}"
            for one in bisection.others[:_IN_PARAGRAPH]
        )
        yield f"it is one of {len(bisection.others) + 1} changes that were seen; the others: {told}"
    if bisection.by not in PREDICATES and bisection.seconds is None:
        yield (
            "it is the earliest change that was seen; later ones may be larger"
            if bisection.is_first
            else "no two measured revisions differ by more; a change that is undone between two of them is not seen"
        )
    else:
        yield "where it comes and goes several times, this is one of the places"
    skipped = [one for one in bisection.tested if one.reason]
    if skipped:
        first = skipped[0]
        yield f"{len(skipped)} could not be measured and were skipped, such as {first.revision.short}: {first.reason}"
    if bisection.between:
        yield "those between could not be measured, so it may be any of them"
    if bisection.beside and bisection.found is not None:
        told = ", ".join(f"{name} ({before} to {after})" for name, before, after in _other_packages(bisection))
        if told:
            yield f"not the same on both: {told}. It may be their change"
    if bisection.alike:
        yield "measured with " + ", ".join(f"{name} {version}" for name, version in bisection.alike)
    if bisection.found is not None and len(bisection.found.parents) >= _PARENTS:
        one, other, *_ = bisection.found.parents
        yield f"it is a merge; within it: firstgrad bisect $(git merge-base {one[:10]} {other[:10]}) {other[:10]}"


def _other_packages(bisection: Bisection) -> Iterator[tuple[str, str, str]]:
    own = bisection.good.requirement.partition("==")[0]
    for name, before, after in bisection.beside:
        if name != own and not (before.startswith(("git ", "changes ")) or after.startswith(("git ", "changes "))):
            yield name, before, after


def _title(name: str) -> str:
    return _TITLES[name].title if name in _TITLES else f"the sample's state ({name})"


def _number(name: str, number: float) -> str:
    if name in _TITLES and _TITLES[name].unit is Unit.BYTES and not _TITLES[name].is_exact:
        return format_bytes(number)
    return f"{number:,.15g}"


def _percent(before: float, after: float) -> str:
    return f" ({(after - before) / before:+.1%})" if before else ""


def _from_to(moved: Moved) -> str:
    percent = _percent(moved.before, moved.after)
    return f"{_number(moved.metric, moved.before)} to {_number(moved.metric, moved.after)}{percent}"


def _code(text: str) -> Span:
    return Span(text, is_verbatim=True)


# --- tables -------------------------------------------------------------------------------------------------------


def _moved_table(moved: Sequence[Moved], title: str) -> Table:
    rows: list[Sequence[Inline]] = [
        (
            one.metric,
            _number(one.metric, one.before),
            _number(one.metric, one.after),
            _percent(one.before, one.after).strip(" ()"),
        )
        for one in moved
    ]
    return Table(columns=(*left("metric"), *right("before", "after", "change")), rows=rows, title=title)


def _parts_table(parts: Sequence[MovedPart]) -> Table:
    rows: list[Sequence[Inline]] = [
        (part.count, part.by, _code(part.name), f"{part.before:,}", f"{part.after:,}", f"{part.after - part.before:+,}")
        for part in parts[:_MOST_PARTS]
    ]
    more = f", the largest {_MOST_PARTS} of {len(parts)}" if len(parts) > _MOST_PARTS else ""
    columns = (*left("count", "by", "name"), *right("before", "after", "change"))
    return Table(columns=columns, rows=rows, title=f"where it changed{more}")


def _tested_table(bisection: Bisection) -> Table:
    is_state = bisection.by in PREDICATES or bisection.seconds is not None
    rows: list[Sequence[Inline]] = []
    for one in bisection.tested:
        number = "" if one.number is None else _number(bisection.by, one.number)
        if is_state and one.number is not None:
            number = "as BAD" if one.number else "as GOOD"
        rows.append((str(one.place), one.revision.short, _code(one.revision.subject), number, one.reason))
    columns = (*right("place"), *left("revision", "subject"), *right(bisection.by))
    return Table(columns=(*columns, *left("skipped", is_folded=True)), rows=rows, title="what was measured")
