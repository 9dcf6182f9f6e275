"""Profiles with known numbers: where their time went is chosen, not measured."""

from __future__ import annotations

from dataclasses import replace

import builders
from builders import MIB, make_case, make_environment, make_record
from firstgrad.case import BackendName
from firstgrad.observe.events import (
    Attribution,
    CacheMiss,
    CompiledUnit,
    ImportTime,
    NodeTypeCount,
    RewriterTime,
    SpanKind,
    TimeSpan,
    UnitKind,
)
from firstgrad.phase import Phase
from firstgrad.profiling import AllocationSite, Profile
from firstgrad.record import CacheUse, Check, Counts, Failure, RewritePass, Status, Verdict

PHASES = {
    Phase.IMPORT: 2.0,
    Phase.BUILD: 0.2,
    Phase.LOGP_GRAPH: 0.3,
    Phase.GRAD_GRAPH: 0.5,
    Phase.REWRITE: 3.0,
    Phase.LINK: 1.0,
    Phase.FIRST_CALL: 5.0,
    Phase.EVALUATE: 0.1,
}
DIGEST = "0a1b2c3d4e5f60718293a4b5c6d7e8f9"


def planted_unit(number, own_seconds, *, op="Elemwise", **fields):
    """A jitted function of the first call."""
    known = {
        "kind": UnitKind.JITTED_FUNCTION,
        "name": f"kernel_{number}",
        "phase": Phase.FIRST_CALL,
        "own_seconds": own_seconds,
        "wall_seconds": own_seconds,
        "op": op,
        "nodes": 2,
        "sources": ("raw_u_3", "root", "rho", "sigma"),
        "code_bytes": 4096,
    }
    return CompiledUnit(**known | fields)


def planted_rewriter(name, wall_seconds, applied):
    """A rewriter of the pass `fusion`."""
    return RewriterTime(name=name, pass_name="fusion", wall_seconds=wall_seconds, applied=applied)  # noqa: S106 - no password


def planted_spans(phases):
    """Phases one after the other; in `rewrite` two passes, in the first call a unit within a unit."""
    spans, began = [], 0.0
    for phase, seconds in phases.items():
        spans.append(TimeSpan(kind=SpanKind.PHASE, name=str(phase), began_seconds=began, wall_seconds=seconds))
        if phase is Phase.REWRITE:
            spans.append(TimeSpan(kind=SpanKind.PASS, name="fusion", began_seconds=began + 0.1, wall_seconds=2.0))
            spans.append(TimeSpan(kind=SpanKind.PASS, name="inplace", began_seconds=began + 2.1, wall_seconds=0.5))
        if phase is Phase.FIRST_CALL:
            spans.append(TimeSpan(kind=SpanKind.UNIT, name="kernel_0", began_seconds=began, wall_seconds=4.0))
            spans.append(TimeSpan(kind=SpanKind.UNIT, name="kernel_1", began_seconds=began + 1.0, wall_seconds=1.0))
        began += seconds
    return tuple(spans)


def planted_record(record_id="a1b2c3d4", *, phases=PHASES, backend=BackendName.FAKE, **fields):
    """A record whose phases follow each other."""
    records = builders.phases(phases)
    known = {
        "record_id": record_id,
        "case": make_case(backend=backend),
        "environment": make_environment(),
        "phases": tuple(replace(each, peak_rss_bytes=round((100 + 40 * each.began_seconds) * MIB)) for each in records),
        "time_to_first_gradient_seconds": 10.0,
        "time_to_first_gradient_cpu_seconds": 10.0,
        "rewrite_passes": (
            RewritePass(name="fusion", wall_seconds=2.0, nodes_before=900, nodes_after=500),
            RewritePass(name="inplace", wall_seconds=0.5, nodes_before=500, nodes_after=500),
            RewritePass(name="look", wall_seconds=0.0001, nodes_before=500, nodes_after=500),
        ),
        "counts": Counts(groups=4, values=30, nodes_before=900, nodes_after=500, compiled_units=2),
        "evaluation_seconds": (0.001,) * 3,
        "memory": builders.memory(
            500,
            children_peak_rss_bytes=0,
            retained_bytes=90 * MIB,
            timeline=[(at, 100 + 40 * at) for at in range(11)],
        ),
        "caches": CacheUse(entries_before=0, entries_read=0, entries_written=2, bytes_written=9000),
        "check": Check(verdict=Verdict.AGREES, points=2),
    }
    return make_record(**known | fields)


def planted_profile(record_id="a1b2c3d4", *, units=None, attribution=None, allocations=(), **fields):
    """A whole profile: two units explain 90 % of the first call."""
    record = planted_record(record_id, **fields)
    known = {
        "rewriters": (
            planted_rewriter("local_add", 1.5, 40),
            planted_rewriter("local_mul", 0.25, 7),
        ),
        "node_types": (
            NodeTypeCount(name="Elemwise", before=600, after=200),
            NodeTypeCount(name="Composite", before=0, after=80),
            NodeTypeCount(name="Dot", before=5, after=5),
        ),
        "units": (planted_unit(0, 3.5), planted_unit(1, 1.0, op="Dot", from_cache=True)) if units is None else units,
        "imports": (
            ImportTime(name="pytensor", own_seconds=1.2, wall_seconds=1.5),
            ImportTime(name="numpy", own_seconds=0.3, wall_seconds=0.3),
        ),
        "cache_misses": (
            CacheMiss(name="kernel_0", reason="no entry"),
            CacheMiss(name="kernel_7", reason="no entry"),
            CacheMiss(name="kernel_9", reason="a lambda is in it"),
        ),
        "spans": planted_spans(PHASES),
        "unavailable": ("memory of the GPU: there is none",),
    }
    return Profile(record=record, attribution=Attribution(**known | (attribution or {})), allocations=allocations)


def planted_sites():
    """Who held memory at the peak."""
    return (
        AllocationSite(
            function="compile", file="numba/core/compiler.py", line=12, size_bytes=80 * MIB, allocations=900
        ),
        AllocationSite(function="mmap", file="libLLVM.so", line=0, size_bytes=20 * MIB, allocations=4),
    )


def grown_profile(record_id="e5f60718"):
    """The same case with known changes.

    The first call is 2 s longer, for a unit of its own and one that is 1.2 s slower; `fusion` 1 s; `link` 40 ms. There
    are 40 nodes more, of them 30 Elemwise; 100 MiB more at the peak, 1 MiB more retained.
    """
    base = planted_profile(record_id)
    phases = PHASES | {Phase.FIRST_CALL: 7.0, Phase.REWRITE: 4.0, Phase.LINK: 1.04}
    record = planted_record(
        record_id,
        phases=phases,
        time_to_first_gradient_seconds=13.04,
        time_to_first_gradient_cpu_seconds=13.04,
        rewrite_passes=(
            RewritePass(name="fusion", wall_seconds=3.0, nodes_before=940, nodes_after=540),
            RewritePass(name="inplace", wall_seconds=0.52, nodes_before=540, nodes_after=540),
            RewritePass(name="look", wall_seconds=0.0001, nodes_before=540, nodes_after=543),
        ),
        counts=Counts(groups=4, values=30, nodes_before=940, nodes_after=540, compiled_units=3),
        memory=replace(base.record.memory, peak_rss_bytes=600 * MIB, retained_bytes=91 * MIB),
    )
    attribution = replace(
        base.attribution,
        rewriters=(
            planted_rewriter("local_add", 1.52, 41),
            planted_rewriter("local_mul", 1.2, 7),
        ),
        node_types=(
            NodeTypeCount(name="Elemwise", before=630, after=230),
            NodeTypeCount(name="Composite", before=10, after=90),
            NodeTypeCount(name="Dot", before=5, after=5),
        ),
        units=(
            planted_unit(12, 4.7, code_bytes=5000),
            planted_unit(13, 1.0, op="Dot"),
            planted_unit(14, 0.8, op="Sum"),
        ),
    )
    return Profile(record=record, attribution=attribution)


def failed_profile(record_id="f0f0f0f0", **fields):
    """A profile of a case that failed while linking."""
    record = planted_record(
        record_id,
        phases={Phase.IMPORT: 2.0, Phase.BUILD: 0.2},
        status=Status.FAILED,
        failure=Failure(kind="CompileError", message="g++ ended with 1", phase=Phase.LINK, stderr_tail=("oh",)),
        time_to_first_gradient_seconds=None,
        rewrite_passes=(),
        evaluation_seconds=(),
        check=Check(verdict=Verdict.UNCHECKED),
        **fields,
    )
    return Profile(record=record)
