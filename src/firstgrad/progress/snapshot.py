"""What is known about a compile at one moment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from firstgrad.observe.events import Stage, UnitKind

if TYPE_CHECKING:
    from firstgrad.progress.history import ExpectedTime


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What one look at a stack told.

    Attributes
    ----------
    stage : Stage
        What the thread is doing.
    pass_name, pass_number, pass_total : str, int, int
        The rewrite pass, the how manieth (from 1) of how many; 0 where not known.
    nodes : int
        Nodes of the graph being rewritten; 0 where not known.
    node_number, node_total : int
        The node being linked or converted (from 1), of how many; 0 where not known.
    unit : str
        Name of what is being compiled, or the operation being linked; '' where not known.
    unit_kind : UnitKind, optional
        What is being compiled at this moment; none where nothing is.
    package : str
        The package being imported.
    backend : str
        ``c``, ``numba`` or ``jax`` where the stack shows it.
    reads_cache : bool
        Something is being loaded from a disk cache.
    read : tuple of (str, bool)
        Readers of the table that were asked, and whether they found what they read.
    """

    stage: Stage = Stage.OTHER
    pass_name: str = ""
    pass_number: int = 0
    pass_total: int = 0
    nodes: int = 0
    node_number: int = 0
    node_total: int = 0
    unit: str = ""
    unit_kind: UnitKind | None = None
    package: str = ""
    backend: str = ""
    reads_cache: bool = False
    read: tuple[tuple[str, bool], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Units:
    """How many units of a kind were compiled, and how many came from a cache (none: not told)."""

    kind: UnitKind
    compiled: int
    from_cache: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """What a display shows of one thread.

    Attributes
    ----------
    title : str
        What the user calls it.
    look : Look
        The last look at its stack.
    stage_seconds, elapsed_seconds : float
        In this stage, and since the start.
    units : tuple of Units
        Compiled since the start, in this process.
    is_cache_seen : bool
        Whether anything was loaded from a disk cache.
    rss_bytes : int, optional
        Resident memory of the process and its children; none where the system does not tell.
    processes : int
        How many processes that are.
    expected : ExpectedTime, optional
        Remaining time, where former runs tell.
    thread_id : int
        Tells threads of the same title apart.
    """

    title: str
    look: Look
    stage_seconds: float
    elapsed_seconds: float
    units: tuple[Units, ...] = ()
    is_cache_seen: bool = False
    rss_bytes: int | None = None
    processes: int = 1
    expected: ExpectedTime | None = None
    thread_id: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What was seen from start to end.

    Attributes
    ----------
    seconds : float
        Until sampling began, or the end.
    stage_seconds : tuple of (Stage, float)
        In order of first appearance; they add up to the time between the first and the last look.
    looks : tuple of (Stage, int)
        How many looks found each.
    units : tuple of Units
        Compiled, in this process.
    peak_rss_bytes : int, optional
        The largest that was seen.
    longest_gap_seconds : float
        Between two looks: a compiler that holds the interpreter's lock stops every thread.
    cpu_seconds : float
        Processor time of the watching thread, display included.
    """

    seconds: float = 0.0
    stage_seconds: tuple[tuple[Stage, float], ...] = ()
    looks: tuple[tuple[Stage, int], ...] = ()
    units: tuple[Units, ...] = ()
    peak_rss_bytes: int | None = None
    longest_gap_seconds: float = 0.0
    cpu_seconds: float = 0.0
