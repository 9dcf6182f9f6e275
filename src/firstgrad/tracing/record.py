"""The trace of a script: every compile in it and in the processes that it started, with who asked for it."""

from __future__ import annotations

from dataclasses import dataclass

from firstgrad.observe.compiles import TracedCompile
from firstgrad.observe.events import CodeLine, SourceFile, TimeSpan
from firstgrad.record import SCHEMA_VERSION, Environment


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
