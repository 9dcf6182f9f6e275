"""The trace of a script: every compile in it and in the processes that it started, with who asked for it."""

from __future__ import annotations

import json
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from firstgrad.codec import from_json
from firstgrad.errors import FirstgradError
from firstgrad.observe.compiles import CompileKind, Purpose, TracedCompile
from firstgrad.observe.events import CodeLine, SourceFile, Stage, TimeSpan
from firstgrad.record import SCHEMA_VERSION, Environment
from firstgrad.tracing.recorder import PARTS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


@dataclass(frozen=True, slots=True, kw_only=True)
class TracedProcess:
    """A process of the script; its index in `ScriptTrace.processes` is what compiles, stages and draws name."""

    pid: int
    parent: int | None  # index of the process that started it; none for the script's own
    how: str  # "main", "fork", "spawn", "forkserver", "subprocess" or "notebook"
    command: str  # as it was started
    began_seconds: float  # since the trace's start
    ended_seconds: float | None  # none where it was killed or left by `os._exit`: what it did until then is there
    peak_rss_bytes: int | None = None  # highest resident memory that was seen, with the compilers it started


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessStage:
    """What a process did beside compiling: imports, building a model, sampling."""

    process: int
    span: TimeSpan  # its name is one of `firstgrad.observe.events.Stage`; since the trace's start
    note: str = ""  # the module that is imported, or the sampler
    line: CodeLine | None = None  # the user's line that asked for it


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawsBegan:
    """A sampler had compiled what it needs, and began to draw."""

    process: int
    at_seconds: float  # since the trace's start
    sampler: str  # "pymc", "nutpie", "numpyro", "blackjax", "smc"
    line: CodeLine | None = None  # the user's line that asked for it


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptTrace:
    """Every compile that a script made."""

    trace_id: str
    started_at: str  # UTC, ISO 8601
    command: str  # of the script; '' in a notebook
    exit_code: int | None  # of the script, minus the signal that ended it; none in a notebook
    wall_seconds: float
    cpu_seconds: float  # of all processes, finished compilers included
    environment: Environment | None = None
    processes: tuple[TracedProcess, ...] = ()
    compiles: tuple[TracedCompile, ...] = ()  # by process and number
    stages: tuple[ProcessStage, ...] = ()
    draws_began: tuple[DrawsBegan, ...] = ()
    sources: tuple[SourceFile, ...] = ()  # those that asked for something
    constant_limit_bytes: int | None = None  # of the largest constant that PyTensor's cache of Numba takes; as it says
    unavailable: tuple[str, ...] = ()  # what could not be seen here, each with the reason
    schema_version: int = SCHEMA_VERSION


# --- the parts that processes wrote, put together -------------------------------------------------------------------

_EDGE_SECONDS = 0.001


@dataclass(slots=True)
class _Part:
    """What one process wrote."""

    pid: int
    parent: int
    how: str
    command: str
    began: float
    ended: float | None = None
    compiles: dict[int, TracedCompile] = field(default_factory=dict)
    calls: dict[tuple[int, int], tuple[int, float]] = field(default_factory=dict)  # by process id and number
    stages: list[tuple[TimeSpan, str, CodeLine | None]] = field(default_factory=list)
    draws: list[tuple[str, float, CodeLine | None]] = field(default_factory=list)
    sources: dict[str, str] = field(default_factory=dict)
    unavailable: dict[str, None] = field(default_factory=dict)
    constant_limit: int | None = None

    def take(self, kind: str, news: Mapping[str, Any]) -> None:
        """Take one line."""
        match kind:
            case "compile":
                compiled = from_json(json.dumps(news["compiled"]), TracedCompile)
                self.compiles[compiled.number] = compiled
            case "calls":
                self.calls[news["process"], news["number"]] = news["calls"], news["seconds"]
            case "stage":
                span = from_json(json.dumps(news["span"]), TimeSpan)
                self.stages.append((span, news["note"], _line(news["line"])))
            case "draws":
                self.draws.append((news["sampler"], news["at"], _line(news["line"])))
            case "source":
                self.sources[news["file"]] = news["text"]
            case "unavailable":
                self.unavailable[news["reason"]] = None
            case "limit":
                self.constant_limit = news["size"]
            case "end":
                self.ended = news["at"]

    @property
    def is_empty(self) -> bool:
        """Whether nothing happened there that is worth telling."""
        return not (self.compiles or self.calls or self.stages or self.draws or self.how == "main")


def _line(plain: Any) -> CodeLine | None:
    return None if plain is None else from_json(json.dumps(plain), CodeLine)


def read_parts(folder: Path) -> list[_Part]:
    """Read what each process wrote, in the order in which they began; a line that isn't whole is left out."""
    parts: list[_Part] = []
    for path in folder.glob(PARTS):
        part: _Part | None = None
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            kind, _, text = line.partition(" ")
            with suppress(ValueError, KeyError, TypeError, FirstgradError):  # its writer was killed amid it
                news = json.loads(text)
                if kind == "process":
                    part = _Part(**news)
                    parts.append(part)
                elif part is not None:
                    part.take(kind, news)
    return sorted(parts, key=lambda part: part.began)


def merge_parts(folder: Path, memory: Mapping[int, Sequence[tuple[float, int]]], **facts: Any) -> ScriptTrace:
    """Put the parts together.

    Parameters
    ----------
    folder : Path
        Where the parts are.
    memory : mapping of int to sequence of (float, int)
        By process id: resident bytes, with the compilers that it started, when they changed.
    **facts
        What no part tells, as `ScriptTrace` has it.
    """
    parts = _those_that_matter(read_parts(folder))
    index = {part.pid: place for place, part in enumerate(parts)}  # of a number used twice, the later process
    calls: dict[tuple[int, int], tuple[int, float]] = defaultdict(lambda: (0, 0.0))
    for part in parts:
        for key, (count, seconds) in part.calls.items():
            calls[key] = calls[key][0] + count, calls[key][1] + seconds
    compiles = []
    for place, part in enumerate(parts):
        for compiled in part.compiles.values():
            seen = replace(_with_memory(compiled, memory.get(part.pid, ())), process=place)
            compiles.append(_with_calls(seen, calls.get((part.pid, compiled.number)), part))
    compiles = _with_purposes(compiles)
    stages = tuple(
        ProcessStage(process=place, span=span, note=note, line=line)
        for place, part in enumerate(parts)
        for span, note, line in part.stages
    )
    trace = ScriptTrace(
        **facts,
        processes=tuple(
            TracedProcess(
                pid=part.pid,
                parent=None if place == 0 else index.get(part.parent, 0),
                how=part.how,
                command=part.command,
                began_seconds=part.began,
                ended_seconds=part.ended,
                peak_rss_bytes=max((rss for _, rss in memory.get(part.pid, ())), default=None),
            )
            for place, part in enumerate(parts)
        ),
        compiles=tuple(sorted(compiles, key=lambda compiled: (compiled.process, compiled.number))),
        stages=stages,
        sources=_read_sources(parts, compiles, stages),
        constant_limit_bytes=next((part.constant_limit for part in parts if part.constant_limit is not None), None),
        unavailable=tuple(dict.fromkeys(reason for part in parts for reason in part.unavailable)),
    )
    return replace(trace, draws_began=_find_draws(parts, trace))


def _those_that_matter(parts: list[_Part]) -> list[_Part]:
    """Leave out processes that did nothing, such as multiprocessing's own helpers, but not who started others."""
    parents = {part.parent for part in parts if not part.is_empty}
    return [part for part in parts if not part.is_empty or part.pid in parents]


def _with_memory(compiled: TracedCompile, points: Sequence[tuple[float, int]]) -> TracedCompile:
    """Add the peak that was seen from outside; the kernel's own mark is exact where it rose, but without compilers."""
    seen = [
        rss
        for span in compiled.phases
        for rss in _within(points, span.began_seconds, span.began_seconds + span.wall_seconds)
    ]
    known = [one for one in (compiled.peak_rss_bytes, compiled.rss_before_bytes, *seen) if one is not None]
    return replace(compiled, peak_rss_bytes=max(known)) if seen or compiled.peak_rss_bytes else compiled


def _within(points: Sequence[tuple[float, int]], began: float, ended: float) -> Iterable[int]:
    """List what was seen between two times, and what was seen last before: points are told when they change."""
    last: int | None = None
    for at, rss in points:
        if at > ended:
            break
        if at >= began:
            yield rss
        else:
            last = rss
    if last is not None:
        yield last


def _with_calls(compiled: TracedCompile, counted: tuple[int, float] | None, part: _Part) -> TracedCompile:
    """Add how often it was called; nobody sees calls of machine code, nor of JAX's functions."""
    if compiled.kind is not CompileKind.PYTENSOR_FUNCTION or compiled.failure:
        return compiled
    if counted is None:
        if part.ended is None:  # what it had counted in its last second is lost
            return compiled
        was_called = any(span.name == "first_call" for span in compiled.phases)
        # Never called from Python: others take its machine code, if anybody.
        return replace(compiled, calls=0, call_seconds=0.0) if was_called or compiled.backend != "numba" else compiled
    return replace(compiled, calls=counted[0], call_seconds=counted[1])


def _with_purposes(compiles: list[TracedCompile]) -> list[TracedCompile]:
    """Take the purpose of an equal graph where the stack told none: functions that were sent to another process."""
    told = [compiled for compiled in compiles if compiled.graph_digest and compiled.purpose is not Purpose.OTHER]
    known = {compiled.graph_digest: compiled.purpose for compiled in told}
    return [
        replace(one, purpose=known.get(one.graph_digest, Purpose.OTHER)) if one.purpose is Purpose.OTHER else one
        for one in compiles
    ]


def _find_draws(parts: list[_Part], trace: ScriptTrace) -> tuple[DrawsBegan, ...]:
    """Say when draws began: what a sampler compiles at its first evaluation comes after its loop has begun.

    A process whose chains draw in children draws nothing itself.
    """
    draws: list[DrawsBegan] = []
    for place, part in enumerate(parts):
        stages = [stage.span for stage in trace.stages if stage.process == place and stage.span.name == Stage.SAMPLE]
        for sampler, at, line in part.draws:
            ended = min(
                (span.began_seconds + span.wall_seconds for span in stages if span.began_seconds >= at - _EDGE_SECONDS),
                default=trace.wall_seconds,
            )
            children = [
                child for child, known in enumerate(trace.processes) if known.parent == place and child != place
            ]
            if any(at <= began <= ended for child in children for _, began, _ in parts[child].draws):
                continue
            compiled = [
                span.began_seconds + span.wall_seconds
                for compiled in trace.compiles
                if compiled.process == place and compiled.purpose is Purpose.GRADIENT
                for span in compiled.phases
                if at <= span.began_seconds < ended
            ]
            at_seconds = min(max([at, *compiled]), ended)
            draws.append(DrawsBegan(process=place, at_seconds=at_seconds, sampler=sampler, line=line))
    return tuple(draws)


def _read_sources(
    parts: list[_Part], compiles: Iterable[TracedCompile], stages: Iterable[ProcessStage]
) -> tuple[SourceFile, ...]:
    """Read the user's files that asked for something."""
    told = {file: text for part in parts for file, text in part.sources.items()}
    lines = [*(compiled.asked_by for compiled in compiles), *(stage.line for stage in stages)]
    for file in dict.fromkeys(line.file for line in lines if line is not None):
        if file not in told:
            with suppress(OSError):
                told[file] = Path(file).read_text(encoding="utf-8", errors="replace")
    return tuple(SourceFile(file=file, text=text) for file, text in told.items())
