"""Records as parts of a result: what was measured, what was checked, why it failed."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

from firstgrad.case import BackendName
from firstgrad.columns import METRICS
from firstgrad.doubts import ADVICE
from firstgrad.estimates import estimate_median
from firstgrad.phase import Phase
from firstgrad.record import OtherWay, Status, Verdict
from firstgrad.show.result import (
    BLANK,
    Facts,
    Heading,
    Items,
    Span,
    Style,
    Table,
    TableRow,
    Text,
    Verbatim,
    left,
    right,
)
from firstgrad.units import format_bytes, format_count, format_seconds

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from firstgrad.case import Scenario
    from firstgrad.record import (
        CacheUse,
        DrawCheck,
        Environment,
        Failure,
        FirstDraw,
        GroupFiniteness,
        OnDevice,
        Origin,
        Record,
        Slope,
        WrongDerivative,
    )
    from firstgrad.show.result import Part

_PASSES_SHOWN = 3
_MISMATCHES_SHOWN = 8
_NAMES_SHOWN = 8
_STDERR_SHOWN = 15
_MOST_OF_IT = 0.5


def record_parts(record: Record) -> Iterator[Part]:
    """Yield one record's phases, memory, evaluation, caches, verdict and doubts."""
    yield from _title_parts(record)
    if record.phases:
        yield _phase_table(record)
    yield Facts(tuple(_facts(record)))
    yield from failure_parts(record)
    yield Items([f"doubt: {ADVICE[doubt]}" for doubt in record.doubts], Style.DOUBT)
    yield BLANK


def _title_parts(record: Record) -> Iterator[Part]:
    """Yield the case, and how far a script was run for its model."""
    yield Heading(str(record.case))
    yield from [Text(record.model_note)] * bool(record.model_note)


def records_parts(records: Sequence[Record]) -> Iterator[Part]:
    """Yield each sample of a case, and where there are several their medians."""
    for record in records:
        yield from record_parts(record)
    if len(records) > 1 and (table := samples_table(records)).rows:
        yield table


def failure_parts(record: Record) -> Iterator[Part]:
    """Yield why a sample failed; nothing where it didn't."""
    if record.failure is not None:
        yield from why_parts(str(record.status), record.failure)


def why_parts(how: str, failure: Failure) -> Iterator[Part]:
    """Yield how something ended and why, with the last lines of its standard error."""
    yield Text((f"{how}: ", Span(f"{failure.kind}: {failure.message}", is_verbatim=True)), Style.BAD)
    if failure.stderr_tail:
        yield Verbatim(failure.stderr_tail[-_STDERR_SHOWN:])


def samples_table(records: Sequence[Record]) -> Table:
    """Return the medians over several samples of one case, with their intervals."""
    good = [record for record in records if record.status in (Status.OK, Status.MISMATCH)]
    timed: dict[str, list[float | None]] = {
        _what(records[0]): [record.window_seconds for record in good],
        **{
            str(phase): [spent.wall_seconds if (spent := record.phase(phase)) else None for record in good]
            for phase in Phase
            if phase is not Phase.EVALUATE
        },
        # One number a sample: the calls of one process are no independent samples of the case.
        "evaluation": [statistics.median(calls) for record in good if (calls := record.evaluation_seconds)],
        "peak memory": [float(record.memory.peak_rss_bytes) for record in good if record.memory],
    }
    rows = []
    for name, numbers in timed.items():
        write = format_bytes if name == "peak memory" else format_seconds
        if values := [number for number in numbers if number is not None]:
            one = estimate_median(values)
            rows.append((name, write(one.value), f"{write(one.low)} to {write(one.high)} ({one.confidence:.0%})"))
    title = f"{len(records)} samples: median [interval]"
    return Table(title=title, columns=(*left("metric"), *right("median", "interval")), rows=rows)


def _what(record: Record) -> str:
    return "time to first draw" if record.case.is_draw else "time to first gradient"


def check_parts(record: Record) -> Iterator[Part]:
    """Yield the verdict, the groups that are not finite and why, and what other ways say."""
    check = record.check
    yield from _title_parts(record)
    failed = [other for other in check.others if other.failure]
    if failed:
        reasons = "\n".join(f"  {other.backend}: {other.failure}" for other in failed)
        yield Text(f"checked with {record.case.backend}, since others cannot:\n{reasons}")
    seconds = check.rewriting_seconds
    added = f" (its terms evaluated without a compiler; to rewrite them took {format_seconds(seconds)})" * bool(seconds)
    yield Text(f"log-density at the start point: {check.logp!r}{added}")
    yield Text(verdict_text(record))
    yield from not_finite_parts(check.finiteness)
    yield from (Text(_origin_text(origin)) for origin in check.origins)
    yield from (Text(_other_text(other, record)) for other in check.others if not other.failure)


def not_finite_parts(finiteness: Sequence[GroupFiniteness]) -> Iterator[Part]:
    """Yield the groups of a gradient that are not finite; nothing where all are."""
    bad = [group for group in finiteness if group.nan + group.infinite]
    if not bad:
        return
    rows = [
        TableRow((group.group, str(group.values), str(group.nan), str(group.infinite)), ends_section=group is bad[-1])
        for group in bad
    ]
    totals = (str(sum(getattr(group, count) for group in bad)) for count in ("values", "nan", "infinite"))
    rows.append(TableRow((f"{len(bad)} of {len(finiteness)} groups", *totals), Style.BOLD))
    columns = (*left("group"), *right("values", "NaN", "infinite"))
    yield Table(title="gradient values that are not finite", columns=columns, rows=rows)


def _origin_text(origin: Origin) -> str:
    """Say where values that aren't finite are made, in which line, and what to write instead."""
    lines = [f"{_where(origin)} made here: {origin.fact}"]
    if origin.line:
        lines.append(f"  {origin.line}")
    if origin.variables:
        at = f", element {list(origin.at)}" if origin.at else ""
        lines.append(f"  computed from {_listed(origin.variables)}{at}")
    if origin.instead:
        lines.append(f"  instead: {origin.instead}")
    return "\n".join(lines)


def _where(origin: Origin) -> str:
    places, others = _listed(origin.places), origin.values - len(origin.places)
    more = f" and {format_count(others, 'more value')}" if others > 0 else ""
    are = "is" if origin.values == 1 else "are"
    return f"{'gradient by ' if origin.is_gradient else 'log-density of '}{places}{more} {are}"


def _derivative_text(derivative: WrongDerivative) -> str:
    variables = f" (computed from {_listed(derivative.variables)})" if derivative.variables else ""
    if derivative.expected is None or derivative.got is None:
        text = f"the derivative of {derivative.operation} can't be right at {derivative.input}{variables}"
    else:
        text = (
            f"the derivative of {derivative.operation} by its {derivative.input}{variables} is wrong: along a random "
            f"direction {derivative.got:.6g}, by finite differences {derivative.expected:.6g}"
        )
    return "".join((text, f"\n    {derivative.line}" * bool(derivative.line), _instead(derivative.instead)))


def _instead(instead: str) -> str:
    return f"\n    instead: {instead}" if instead else ""


_OWN_DERIVATIVE = "JAX's own derivative (jax_direct; numpyro, blackjax, and nutpie with gradient_backend='jax')"


def _other_text(other: OtherWay, record: Record) -> str:
    """Say what another way to the gradient says, and which one is right."""
    taken = OtherWay(
        backend=record.case.backend,
        not_finite=tuple(group.group for group in record.check.finiteness if group.nan + group.infinite),
        slope=record.check.slope,
    )
    own = BackendName.JAX_DIRECT
    names = {
        way.backend: _OWN_DERIVATIVE if way.backend == own else f"PyTensor's gradient ({way.backend})"
        for way in (taken, other)
    }
    name = names[other.backend]
    if other.not_finite:
        text = f"{name} is NOT FINITE in {_listed(other.not_finite)}"
    elif other.slope is None or other.slope.skipped:
        text = f"{name} is finite"
    else:
        text = f"{name} {'DIFFERS from' if other.slope.differs else 'agrees with'} finite differences"
        text += f" (slope {other.slope.got:.9g})" if other.slope.differs else ""
    right = [way for way in (taken, other) if way.is_right]
    if len(right) == 1:
        text += f"; {names[right[0].backend]} is right: take that"
        # What is said of the way that was taken stands above already.
        text += "".join(f"\n{_origin_text(origin)}" for origin in other.origins)
    elif not right:
        text += "; neither can be trusted here"
    return text


def verdict_text(record: Record) -> str:
    """Say what the check found, in a line or more."""
    check = record.check
    text = {
        Verdict.AGREES: f"agrees: log-density and gradient equal the oracle's at {check.points} points",
        Verdict.DISAGREES: "DISAGREES with the oracle",
        Verdict.NO_ORACLE: "no oracle for this model; finiteness was checked",
        Verdict.DREW: _drew_text(record),
        Verdict.UNCHECKED: "",
    }[check.verdict]
    lines = [text]
    lines += [
        f"  {mismatch.group}{list(mismatch.index)}: expected {mismatch.expected:.12g}, got {mismatch.got:.12g} "
        f"({mismatch.n_different} values differ)"
        for mismatch in check.mismatches[:_MISMATCHES_SHOWN]
    ]
    if len(check.mismatches) > _MISMATCHES_SHOWN:
        lines.append(f"  and {len(check.mismatches) - _MISMATCHES_SHOWN} more groups")
    values = sum(group.values for group in check.finiteness)
    bad = [group.group for group in check.finiteness if group.nan + group.infinite]
    if bad:
        lines.append(
            f"  {check.n_not_finite} of {values} gradient values are not finite, in {len(bad)} groups: {_listed(bad)}"
        )
    elif values:
        lines[0] += f"; all {values} gradient values are finite"
    if check.logp_not_finite:
        lines.append(f"  terms of the log-density that are not finite: {_listed(check.logp_not_finite)}")
    if check.slope is not None:
        lines.append(f"  {_slope_text(check.slope)}")
        lines += [
            f"  in {one.group}: {one.got:.9g}, by finite differences {one.expected:.9g}" for one in check.slope.groups
        ]
        lines += [f"  {_derivative_text(derivative)}" for derivative in check.slope.derivatives]
    if check.held:
        lines.append(f"  discrete, held at their start values: {_listed(check.held)}")
    return "\n".join(lines)


def _drew_text(record: Record) -> str:
    """Say what was looked at of the first draws."""
    draws, chains = record.check.draws, format_count(record.case.chains, "chain")
    if draws is None:
        return ""
    finite = f"NOT FINITE: {_listed(draws.not_finite)}" if draws.not_finite else "every value and log-density is finite"
    moved = "" if draws.moved is None else f"; {draws.moved} of {record.case.chains} moved in {draws.draws} draws"
    diverging = f"; {draws.diverging} of {record.case.chains} had a diverging draw" if draws.diverging else ""
    return f"{chains} drew: {finite}{moved}{diverging}; no oracle for draws"


def _listed(names: Sequence[str]) -> str:
    others = len(names) - _NAMES_SHOWN
    return ", ".join(names[:_NAMES_SHOWN]) + (f" and {others} more" if others > 0 else "")


def _slope_text(slope: Slope) -> str:
    if slope.skipped:
        return f"gradient not compared with finite differences: {slope.skipped}"
    numbers = f"slope along a random direction {slope.got:.9g}, by finite differences {slope.expected:.9g}"
    verdict = "DIFFERS from" if slope.differs else "agrees with"
    return f"gradient {verdict} finite differences of the log-density ({numbers}, allowed {slope.allowed:.1g})"


def _phase_table(record: Record) -> Table:
    whole, counted, phases = record.window_seconds, record.window_phases, record.whole_phases
    last = next((phase.phase for phase in reversed(phases) if phase.phase in counted), None)
    begins = (Phase.IMPORT, Phase.BUILD) if record.case.is_draw else (Phase.IMPORT,)
    rows = []
    for phase in phases:
        share = phase.wall_seconds / whole if whole and phase.phase in counted else None
        cells = (
            str(phase.phase),
            format_seconds(phase.wall_seconds),
            "" if share is None else f"{share:.1%}",
            format_seconds(phase.cpu_seconds),
            "" if phase.peak_rss_bytes is None else format_bytes(phase.peak_rss_bytes),
        )
        style = Style.BOLD if share is not None and share > _MOST_OF_IT else Style.PLAIN
        rows.append(TableRow(cells, style, ends_section=phase.phase in (*begins, last)))
    if whole is not None:
        cpu = record.window_cpu_seconds or 0.0
        unaccounted = record.unaccounted_seconds or 0.0
        rows.append(TableRow(("unaccounted", format_seconds(unaccounted), f"{unaccounted / whole:.1%}", "", "")))
        peak = format_bytes(record.memory.peak_rss_bytes) if record.memory else ""
        total = (_what(record), format_seconds(whole), "100%", format_seconds(cpu), peak)
        rows.append(TableRow(total, Style.BOLD))
    return Table(columns=(*left("phase"), *right("wall", "share", "CPU", "peak memory")), rows=rows)


def _facts(record: Record) -> Iterator[tuple[str, str]]:
    if record.draw is not None:
        yield from _draw_facts(record.draw, record.check.draws)
    if record.evaluation_seconds:
        one = estimate_median(record.evaluation_seconds)
        interval = f"[{format_seconds(one.low)}, {format_seconds(one.high)}]"
        yield "evaluation", f"{format_seconds(one.value)} a call {interval}, {one.samples} calls"
    yield from _memory_facts(record)
    if record.initial_point_seconds:
        yield "start point", f"{format_seconds(record.initial_point_seconds)}, not part of the above"
    if record.counts is not None:
        counts = record.counts
        nodes = f"{counts.nodes_before} nodes before rewriting, {counts.nodes_after} after, "
        nodes = "" if record.case.is_draw else nodes
        yield (
            "counts",
            f"{counts.groups} groups, {counts.values} values, {nodes}{counts.compiled_units} compiled units",
        )
    yield from _work_facts(record)
    passes = sorted(record.rewrite_passes, key=lambda one: -one.wall_seconds)[:_PASSES_SHOWN]
    if passes:
        yield "slowest rewrite passes", ", ".join(f"{one.name} {format_seconds(one.wall_seconds)}" for one in passes)
    yield from _places(record.environment)
    if record.caches is not None:
        yield "scenario", describe_caches(record.case.scenario, record.caches)
        yield from _cache_facts(record.caches)
    if record.check.verdict is not Verdict.UNCHECKED:
        yield "verdict", verdict_text(record)


def _work_facts(record: Record) -> Iterator[tuple[str, str]]:
    if record.work is not None:
        numbers = ((metric.name, record.work.number(metric.name)) for metric in METRICS)
        counted = [f"{name} {number:,}" for name, number in numbers if number is not None and name != "python_blocks"]
        if counted:
            yield "work", ", ".join(counted)
    if record.instructions is not None:
        yield "instructions", f"{record.instructions:,} in user mode, to the first gradient"


def _memory_facts(record: Record) -> Iterator[tuple[str, str]]:
    if record.on_device is not None:
        yield from _device_facts(record.on_device)
    if record.memory is not None and record.memory.peak_rss_bytes:
        memory = record.memory
        children = f", of it child processes (compilers) up to {format_bytes(memory.children_peak_rss_bytes)}"
        retained = f"; retained {format_bytes(memory.retained_bytes)}" if memory.retained_bytes is not None else ""
        peak = format_bytes(memory.peak_rss_bytes)
        yield "memory", f"peak {peak}{children if memory.children_peak_rss_bytes else ''}{retained}"


def _device_facts(used: OnDevice) -> Iterator[tuple[str, str]]:
    if used.left_seconds:
        left, fetched, sent = (
            format_seconds(statistics.median(calls))
            for calls in (used.left_seconds, used.fetched_seconds, used.sent_seconds)
        )
        yield "on the device", f"{left} a call whose result is left there"
        to_numpy = f"{format_bytes(used.fetched_bytes)} to NumPy in {fetched}"
        yield "transfers", f"a point of {format_bytes(used.sent_bytes)} to the device in {sent}, a result of {to_numpy}"
    if used.peak_bytes is None:
        yield "device memory", "not told by JAX"
        return
    kept = f"; retained {format_bytes(used.kept_bytes)}" if used.kept_bytes is not None else ""
    limit = f" of {format_bytes(used.limit_bytes)}" if used.limit_bytes else ""
    yield "device memory", f"peak {format_bytes(used.peak_bytes)}{limit}{kept}"


def describe_caches(scenario: Scenario, caches: CacheUse) -> str:
    """Describe the state of the caches, and what proves it."""
    proof = "proven" if caches.is_proven else f"NOT proven ({caches.contradiction})"
    return (
        f"{scenario}, {proof}: {caches.entries_before} cache entries before, {caches.entries_read} read, "
        f"{caches.entries_written} written ({format_bytes(caches.bytes_written)})"
    )


def _cache_facts(caches: CacheUse) -> Iterator[tuple[str, str]]:
    if caches.own:
        yield "firstgrad's cache", caches.own
    for one in caches.never_kept:
        units = f"{_listed(one.names)} ({one.purpose}, {format_count(one.units, 'unit')})"
        yield "no cache keeps", f"{units}, {format_seconds(one.seconds)}: {one.reason}"


def _draw_facts(draw: FirstDraw, check: DrawCheck | None) -> Iterator[tuple[str, str]]:
    yield "sampler", f"{draw.sampler}: {draw.reason}" if draw.reason else str(draw.sampler)
    if check is not None and check.gradient:
        yield "gradient", check.gradient
    if len(draw.seconds) > 1:
        yield "first draws", ", ".join(format_seconds(seconds) for seconds in draw.seconds)
    yield from (("not told", reason) for reason in draw.unavailable)


def _places(environment: Environment) -> Iterator[tuple[str, str]]:
    versions = dict(environment.versions)
    for clone in environment.clones:
        yield clone.name, f"{versions[clone.name]} from {clone.folder}: {clone.state}"
    if environment.device not in ("", "cpu"):
        yield "device", environment.device
