"""Say in a few sentences what was compiled: when draws began, what took long, and what to type to be sooner.

A function of the compiles alone, so that a script's trace and a live display end in the same words. What is code stands
between back ticks. Nothing is said about what was not seen, and nothing at all where there is nothing to say.
"""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING

from firstgrad.grouping import summed
from firstgrad.tracing.redundant import PURPOSES, count_same, find_redundant, make_placer, name_call, short_name
from firstgrad.units import clean_line, format_bytes, format_count, format_seconds

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from firstgrad.observe.compiles import TracedCompile
    from firstgrad.tracing.record import DrawsBegan, ScriptTrace
    from firstgrad.tracing.redundant import Placer, RedundantWork

_SPAWNED = ("spawn", "forkserver")
_MUCH_MEMORY = 500 * 2**20
_MOST_PURPOSES, _LEAST_SHARE = 3, 0.05
_LONGEST_FAILURE = 200


def trace_sentences(trace: ScriptTrace) -> list[str]:
    """Say what a script compiled, and what it could do without."""
    return tell_compiles(
        trace.compiles, draws_began=trace.draws_began, wall_seconds=trace.wall_seconds, redundant=redundant_of(trace)
    )


def redundant_of(trace: ScriptTrace) -> tuple[RedundantWork, ...]:
    """Find the needless work of a script."""
    versions = dict(trace.environment.versions) if trace.environment else {}
    spawned = {number for number, one in enumerate(trace.processes) if one.how in _SPAWNED}
    return find_redundant(
        trace.compiles, constant_limit=trace.constant_limit_bytes, pymc=versions.get("pymc", ""), spawned=spawned
    )


def sentences_html(sentences: Sequence[str]) -> str:
    """Write sentences as a list for a notebook: what stands between back ticks as code, all else as it is."""
    lines = (re.sub(r"`([^`]*)`", r"<code>\1</code>", html.escape(sentence)) for sentence in sentences)
    return f"<ul>{''.join(f'<li>{line}</li>' for line in lines)}</ul>" if sentences else ""


def tell_compiles(
    compiles: Sequence[TracedCompile],
    *,
    draws_began: Sequence[DrawsBegan] = (),
    wall_seconds: float | None = None,
    redundant: Sequence[RedundantWork],
) -> list[str]:
    """Say how long compiling took, on what, and what to type to be sooner.

    Parameters
    ----------
    compiles : sequence of TracedCompile
        All that were made.
    draws_began : sequence of DrawsBegan
        When samplers began to draw, as far as that was seen.
    wall_seconds : float, optional
        Of the whole script.
    redundant : sequence of RedundantWork
        What is needless (`find_redundant`).
    """
    tops = [compiled for compiled in compiles if compiled.within is None]
    if not tops:
        return []
    place = make_placer(compiles)
    return [
        *_tell_time(tops, draws_began, wall_seconds, place),
        *_tell_purposes(tops),
        *_tell_caches(compiles),
        *_tell_memory(tops, place),
        *_tell_failures(tops, place),
        *(work.sentence for work in redundant),
    ]


def _tell_time(
    tops: Sequence[TracedCompile],
    draws_began: Sequence[DrawsBegan],
    wall_seconds: float | None,
    place: Placer,
) -> Iterator[str]:
    own = [compiled for compiled in tops if compiled.process == 0]
    began = sorted(draws_began, key=lambda draws: draws.at_seconds)
    if began:
        first, at = began[0], began[0].at_seconds
        there = [compiled for compiled in tops if compiled.process in {0, first.process}]
        before = [compiled for compiled in there if compiled.began_seconds < at]
        # What a spawned process runs is a line of Python's own.
        line = None if first.line is None or (first.process and first.line.file == "<string>") else first.line
        by = ", ".join(filter(None, (first.sampler, place(line) if line else "")))
        yield (
            f"Draws began after {format_seconds(at)} ({by}): {format_seconds(_seconds_before(before, at))} of it were "
            f"{format_count(len(before), 'compile')}{_same(before)}."
        )
        after = [compiled for compiled in own if compiled.began_seconds >= at]
        if after:
            calls = dict.fromkeys(filter(None, map(name_call, after)))
            by = f" ({', '.join(f'`{call}`' for call in calls)})" if calls else ""
            yield (
                f"{format_count(len(after), 'further compile')}{by} took {format_seconds(_seconds(after))} after draws "
                f"had begun{_same(own) if not _same(before) else ''}."
            )
    elif own:
        whole = f" of the {format_seconds(wall_seconds)} that the script ran" if wall_seconds else ""
        yield f"{format_count(len(own), 'compile')} took {format_seconds(_seconds(own))}{whole}{_same(own)}."
    others = [compiled for compiled in tops if compiled.process != 0]
    if others:
        number = len({compiled.process for compiled in others})
        processes = "Another process" if number == 1 else f"{number:,} other processes"
        yield f"{processes} made {format_count(len(others), 'compile')}, {format_seconds(_seconds(others))}."


def _same(compiles: Sequence[TracedCompile]) -> str:
    same = count_same(compiles)
    return "" if not same else f"; {same} of them {'is' if same == 1 else 'are'} of a graph compiled before"


def _seconds(compiles: Iterable[TracedCompile]) -> float:
    return sum(compiled.wall_seconds for compiled in compiles)


def _seconds_before(compiles: Iterable[TracedCompile], at: float) -> float:
    """Add up what was done by then: a first call may come later."""
    total = 0.0
    for compiled in compiles:
        if compiled.phases:
            total += sum(min(span.wall_seconds, max(at - span.began_seconds, 0.0)) for span in compiled.phases)
        else:
            total += min(compiled.wall_seconds, at - compiled.began_seconds)
    return total


def _tell_purposes(tops: Sequence[TracedCompile]) -> Iterator[str]:
    """Say what the seconds were for, where there is more than one answer."""
    seconds = summed((compiled.purpose, compiled.wall_seconds) for compiled in tops)
    whole = sum(seconds.values())
    slowest = sorted(seconds.items(), key=lambda item: -item[1])[:_MOST_PURPOSES]
    told = [f"{PURPOSES[purpose]} {format_seconds(took)}" for purpose, took in slowest if took >= _LEAST_SHARE * whole]
    if len(seconds) > 1:
        yield f"By purpose: {', '.join(told)}."


def _tell_caches(compiles: Sequence[TracedCompile]) -> Iterator[str]:
    """Say what caches had, and why not, where a reason was told and is in no finding."""
    read = sum(compiled.cache.read for compiled in compiles)
    written = sum(compiled.cache.written for compiled in compiles)
    never = sum(compiled.cache.never_kept for compiled in compiles)
    if read or written or never:
        missed = sum(compiled.cache.missed for compiled in compiles)
        had = f"{format_count(read, 'unit')} came from caches"
        kept = f"{missed:,} had to be compiled, of which caches keep {f'{written:,}' if written else 'none'} for later"
        yield f"{had}; {kept}." if missed else f"{had}, and none had to be compiled."


def _tell_memory(tops: Sequence[TracedCompile], place: Placer) -> Iterator[str]:
    seen = [
        (compiled.peak_rss_bytes - compiled.rss_before_bytes, compiled)
        for compiled in tops
        if compiled.peak_rss_bytes is not None and compiled.rss_before_bytes is not None
    ]
    if not seen:
        return
    rise, highest = max(seen, key=lambda item: item[0])
    if rise >= _MUCH_MEMORY and highest.peak_rss_bytes is not None:
        yield (
            f"Memory rose most, by {format_bytes(rise)} to {format_bytes(highest.peak_rss_bytes)}, in the compile of "
            f"{PURPOSES[highest.purpose]} in {place(highest.asked_by)}."
        )


def _tell_failures(tops: Sequence[TracedCompile], place: Placer) -> Iterator[str]:
    for compiled in tops:
        if compiled.failure:
            call = f" (`{short_name(compiled.library_calls[0])}`)" if compiled.library_calls else ""
            why = clean_line(compiled.failure)[:_LONGEST_FAILURE].replace("`", "'")
            yield f"A compile in {place(compiled.asked_by)}{call} ended without a function: {why}."
