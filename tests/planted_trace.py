"""Traces of scripts with known numbers: one clean, one with each kind of needless work, one that is hostile."""

from __future__ import annotations

import itertools

from builders import MIB, make_environment
from firstgrad.observe.compiles import CacheCounts, CompileKind, Purpose, TracedCompile
from firstgrad.observe.events import CodeLine, CompiledUnit, SourceFile, SpanKind, TimeSpan, UnitKind
from firstgrad.phase import Phase
from firstgrad.tracing.record import DrawsBegan, ProcessStage, ScriptTrace, TracedProcess

SCRIPT = "/home/somebody/script.py"
HOSTILE = '<script>alert("owned")</script><img src=x onerror=alert(1)> `|_*[x](y) \x1b[31m \u202e'
LIMIT = 10**6


def line(number, *, file=SCRIPT, text="idata = pm.sample()", function="<module>"):
    """A line of the script."""
    return CodeLine(file=file, line=number, function=function, text=text)


def unit(name, own, *, kind=UnitKind.JITTED_FUNCTION, **fields):
    """A compiled unit."""
    known = {"phase": Phase.FIRST_CALL, "wall_seconds": own}
    return CompiledUnit(**{"kind": kind, "name": name, "own_seconds": own, **known, **fields})


def compiled(number, at=None, seconds=1.0, *, began=0.0, graph="", phases=None, **fields):
    """A compile of the line `at`, by `pymc.sample`, which began at `began`."""
    names = phases or {"rewrite": 0.25, "link": 0.25, "first_call": 0.5}
    parts, now = [], began
    for name, share in names.items():
        parts.append(TimeSpan(kind=SpanKind.PHASE, name=name, began_seconds=now, wall_seconds=share * seconds))
        now += share * seconds
    known = {
        "kind": CompileKind.PYTENSOR_FUNCTION,
        "purpose": Purpose.GRADIENT,
        "backend": "numba",
        "asked_by": None if at is None else line(at),
        "library_calls": ("pymc.sample",),
        "graph_digest": graph,
        "structure_digest": graph.partition("/")[0],
        "wall_seconds": seconds,
        "cpu_seconds": seconds,
        "phases": tuple(parts),
        "began_seconds": began,
    }
    return TracedCompile(number=number, **known | fields)


def trace(*compiles, wall_seconds=None, **fields):
    """A trace of these compiles."""
    ended = max((each.began_seconds + each.wall_seconds for each in compiles), default=0.0)
    wall = ended + 1.0 if wall_seconds is None else wall_seconds
    known = {
        "trace_id": "a1b2c3d4",
        "started_at": "2026-11-27T03:00:00+00:00",
        "command": "script.py --draws 100",
        "exit_code": 0,
        "wall_seconds": wall,
        "cpu_seconds": wall,
        "environment": make_environment(versions=(("pymc", "6.4.0"), ("pytensor", "3.3.8"))),
        "processes": (
            TracedProcess(pid=100, parent=None, how="main", command="script.py", began_seconds=0.0, ended_seconds=wall),
        ),
        "compiles": compiles,
        "sources": (SourceFile(file=SCRIPT, text="\n".join(f"line_{number} = {number}" for number in range(1, 61))),),
        "constant_limit_bytes": LIMIT,
    }
    return ScriptTrace(**known | fields)


KEPT = CacheCounts(written=20)


def sampled(at, *, began, call, first=1, data="", scale=1.0):
    """What one `pm.sample` with nutpie compiles: start points, gradient, values, and two wrappers."""
    numbers = itertools.count(first)
    nutpie = {"library_calls": ("pymc.sample", "nutpie.compile_pymc_model"), "call": call}
    wrapper = {
        "kind": CompileKind.NUMBA_WRAPPER,
        "purpose": Purpose.WRAPPER,
        "phases": {"compile": 1.0},
        **nutpie,
    }
    never = CacheCounts(read=10, written=10, never_kept=1, never_kept_seconds=2.5 * scale)
    return (
        compiled(
            next(numbers),
            at,
            0.5 * scale,
            began=began,
            graph="start",
            purpose=Purpose.START_POINT,
            backend="python",
            **nutpie,
        ),
        compiled(next(numbers), at, 2.0 * scale, began=began + 0.5 * scale, graph=f"gradient{data}", **nutpie),
        compiled(
            next(numbers), at, 1.0 * scale, began=began + 2.5 * scale, graph="expand", purpose=Purpose.EXPAND, **nutpie
        ),
        compiled(next(numbers), at, 6.0 * scale, began=began + 3.5 * scale, cache=never, **wrapper),
        compiled(next(numbers), at, 3.0 * scale, began=began + 9.5 * scale, cache=never, **wrapper),
    )


def clean():
    """A script that does nothing twice, and keeps all it compiled."""
    whole = {"cache": KEPT, "call": 1}
    return trace(
        compiled(1, 12, 0.2, began=1.0, graph="start", purpose=Purpose.START_POINT, backend="python", call=1),
        compiled(2, 12, 8.0, began=1.5, graph="gradient", units=(unit("whole_graph", 3.0), unit("gemm", 2.0)), **whole),
        compiled(
            3,
            14,
            1.0,
            began=12.0,
            graph="predictive",
            purpose=Purpose.PREDICTIVE,
            cache=KEPT,
            call=2,
            library_calls=("pymc.sample_posterior_predictive",),
        ),
        draws_began=(DrawsBegan(process=0, at_seconds=10.0, sampler="pymc", line=line(12)),),
        stages=(
            ProcessStage(
                process=0, span=TimeSpan(kind=SpanKind.STEP, name="import", began_seconds=0.0, wall_seconds=0.9)
            ),
            ProcessStage(
                process=0, span=TimeSpan(kind=SpanKind.STEP, name="sample", began_seconds=10.0, wall_seconds=1.5)
            ),
        ),
    )


def twice():
    """The same model, sampled by two lines."""
    return trace(
        *sampled(12, began=1.0, call=1),
        *sampled(15, began=15.0, call=2, first=6, scale=0.5),
        draws_began=(
            DrawsBegan(process=0, at_seconds=14.0, sampler="nutpie", line=line(12)),
            DrawsBegan(process=0, at_seconds=21.5, sampler="nutpie", line=line(15)),
        ),
    )


def loop():
    """A loop over three data sets, each a model of its own."""
    calls = (
        sampled(20, began=1.0 + 15.0 * number, call=number + 1, first=1 + 5 * number, data=f"/{number}")
        for number in range(3)
    )
    return trace(*itertools.chain.from_iterable(calls))


def large():
    """Two children, memory that rises, a failure, units, and texts that would like to run."""
    units = tuple(unit(f"{HOSTILE} {number}", 2.0 / number, op="Elemwise", within="") for number in range(1, 8))
    spans = tuple(
        TimeSpan(kind=SpanKind.UNIT, name=each.name, began_seconds=2.0 + number, wall_seconds=each.own_seconds)
        for number, each in enumerate(units)
    )
    hostile = line(3, text=HOSTILE, file=f"/home/{HOSTILE}/x.py", function=HOSTILE)
    memory = {"rss_before_bytes": 300 * MIB, "peak_rss_bytes": 2000 * MIB, "kept_bytes": 900 * MIB}
    return trace(
        compiled(
            1,
            None,
            12.0,
            began=1.0,
            graph="a",
            asked_by=hostile,
            units=units,
            unit_spans=spans,
            calls=4000,
            call_seconds=1.25,
            variables=(HOSTILE,),
            **memory,
        ),
        compiled(2, None, 3.0, began=2.0, graph="inner", asked_by=hostile, within=1),
        compiled(3, None, 1.0, began=14.0, asked_by=hostile, failure=f"NotImplementedError: {HOSTILE}"),
        compiled(1, 7, 5.0, began=16.0, graph="a", process=1, thread="chain 0"),
        compiled(1, 7, 5.0, began=16.0, graph="a", process=2, thread=HOSTILE),
        processes=(
            TracedProcess(pid=1, parent=None, how="main", command=HOSTILE, began_seconds=0.0, ended_seconds=30.0),
            TracedProcess(pid=2, parent=0, how="spawn", command=HOSTILE, began_seconds=15.0, ended_seconds=22.0),
            TracedProcess(pid=3, parent=0, how="spawn", command="x", began_seconds=15.0, ended_seconds=None),
        ),
        sources=(SourceFile(file=f"/home/{HOSTILE}/x.py", text=f"import x\n# {HOSTILE}\n{HOSTILE}\n</script>"),),
        command=HOSTILE,
        unavailable=(f"sizes: {HOSTILE}",),
        exit_code=3,
        wall_seconds=30.0,
    )
