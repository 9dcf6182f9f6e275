"""Find what a script compiled needlessly: the lines, the seconds, and what to type instead.

Nothing is said that was not seen, and nothing is advised that was not tried on the releases that have it
(`tests/process/test_redundant_scripts.py`): where no remedy is known, there is no finding.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import PurePath
from typing import TYPE_CHECKING

from firstgrad.grouping import grouped, summed
from firstgrad.observe.compiles import CompileKind, CompilePhase, Purpose
from firstgrad.observe.events import CodeLine, UnitKind
from firstgrad.units import clean_line, format_bytes, format_count, format_seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Iterator, Sequence

    from firstgrad.observe.compiles import TracedCompile

LEAST_SECONDS = 0.1
"""Less is nobody's trouble, and no finding."""
FREEZE_SINCE = (6, 4)
"""PyMC's first release with ``freeze_model``."""

PURPOSES = {
    Purpose.START_POINT: "start points",
    Purpose.LOGP: "log-density",
    Purpose.GRADIENT: "gradient",
    Purpose.EXPAND: "values that draws keep",
    Purpose.PREDICTIVE: "predictive draws",
    Purpose.LOG_LIKELIHOOD: "log-likelihood",
    Purpose.SMC: "SMC",
    Purpose.WRAPPER: "nutpie's wrapper",
    Purpose.OTHER: "other",
}
"""Purposes as people read them."""


type Placer = Callable[[CodeLine | None], str]


class RedundantKind(StrEnum):
    """Why work was needless."""

    SAME_GRAPH = "same_graph"  # compiled before, in the same process
    OTHER_CONSTANTS = "other_constants"  # the same line compiled it before, with other values of constants
    LARGE_CONSTANT = "large_constant"  # no cache takes the function, since one of its constants is too large
    C_COMPILER = "c_compiler"  # a C compiler for start points, where all else is compiled otherwise
    NEVER_KEPT = "never_kept"  # no cache takes it: each process compiles it again
    SENT = "sent"  # a process that another one spawned links and compiles the functions that it was sent


@dataclass(frozen=True, slots=True, kw_only=True)
class RedundantWork:
    """Work that the script could do without."""

    kind: RedundantKind
    seconds: float  # that the remedy saves: of this run, or of the next one where `kind` is about caches
    compiles: tuple[tuple[int, int], ...]  # process and number of those that are needless
    lines: tuple[CodeLine, ...]  # of the user's: first the one that compiled it first, then those that did it again
    fact: str  # a sentence without its full stop; code stands between back ticks
    remedy: str  # what to type, in the same way

    @property
    def sentence(self) -> str:
        """Fact and remedy."""
        fact = f"L{self.fact[1:]}" if self.fact.startswith("line ") else self.fact
        return f"{fact}. {self.remedy}."


_SAMPLE, _COMPILE_NUTPIE = "pymc.sample", "nutpie.compile_pymc_model"
# What a frozen model keeps, tried on PyMC 6.4; log-likelihood, SMC, find_MAP and fit compile again all the same.
_KEPT_BY_FROZEN = frozenset({Purpose.START_POINT, Purpose.LOGP, Purpose.GRADIENT, Purpose.PREDICTIVE})
_FROZEN_CALLS = ("pymc.sample", "pymc.sample_prior_predictive", "pymc.sample_posterior_predictive")
_OWN_FUNCTIONS = re.compile(r"pytensor\.function|pymc\.compile|pymc\.(Base)?Model\.(compile_|logp_dlogp_function)")
_MODEL = re.compile(r"pymc\.(Base|Frozen)?Model\.")

_NUTPIE_ONCE = (
    "Compile once, `compiled = nutpie.compile_pymc_model(model{options})`, and draw each time with "
    "`nutpie.sample(compiled)`; for other values of a `pm.Data`, `nutpie.sample(compiled.with_data(name=values))`"
)
_NUTPIE_DATA = (
    "Make what changes a `pm.Data`, compile once, `compiled = nutpie.compile_pymc_model(model{options})`, and draw "
    "with `nutpie.sample(compiled.with_data(name=values))` in the loop"
)
_FREEZE = (
    "A frozen model keeps its functions: `frozen = pm.model.transform.freeze_model(model)` once, then `with frozen:`"
)
_FREEZE_DATA = (
    "Make the data that change a `pm.Data` and freeze the model once, "
    "`frozen = pm.model.transform.freeze_model(model)`; "
    '`with frozen: pm.set_data({{"name": values}})` in the loop (not for data that a free variable depends on)'
)
_HOLD = "Keep the function that the first call returned, and call that one again"
_HOLD_DATA = "Make what changes an input of the function, or a `pm.Data`, and compile it once"


def find_redundant(
    compiles: Iterable[TracedCompile],
    *,
    constant_limit: int | None = None,
    pymc: str = "",
    spawned: Container[int] = (),
) -> tuple[RedundantWork, ...]:
    """Find the needless work among compiles of one or several processes, the slowest first.

    Parameters
    ----------
    compiles : iterable of TracedCompile
        All that were made.
    constant_limit : int, optional
        Bytes of the largest constant that Numba's cache takes; left out: none is known.
    pymc : str
        Release of PyMC: what it does not have is not advised. Unknown where empty; then it is taken for a new one.
    spawned : container of int
        Processes that began with nothing of their parents', by ``spawn`` or ``forkserver``.
    """
    known = sorted(compiles, key=lambda compiled: (compiled.process, compiled.began_seconds, compiled.number))
    place = make_placer(known)
    repeats = list(_repeats([compiled for compiled in known if compiled.within is None], place, pymc))
    needless = {key for work in repeats for key in work.compiles}
    others = [compiled for compiled in known if _key(compiled) not in needless]
    found = [
        *repeats,
        *_sent([compiled for compiled in others if compiled.process in spawned]),
        *_c_compiler(others, place),
        *_never_kept(others, place, constant_limit),
    ]
    return tuple(sorted((work for work in found if work.seconds >= LEAST_SECONDS), key=lambda work: -work.seconds))


def count_same(compiles: Iterable[TracedCompile]) -> int:
    """Count the compiles of a graph that another call in the same process had compiled before, for the same backend."""
    firsts: dict[object, TracedCompile] = {}
    number = 0
    for compiled in compiles:
        if compiled.within is None and compiled.graph_digest and not compiled.failure and not _is_copy(compiled):
            first = firsts.setdefault(_graph(compiled), compiled)
            number += first is not compiled and not _is_one_call(first, compiled)
    return number


def make_placer(compiles: Iterable[TracedCompile]) -> Placer:
    """Make the function that says where: ``line 12``, or ``model.py:12`` where several files asked for compiles."""
    several = len({compiled.asked_by.file for compiled in compiles if compiled.asked_by is not None}) > 1

    def place(line: CodeLine | None) -> str:
        if line is None:
            return "a library"
        return f"{clean_line(PurePath(line.file).name)}:{line.line}" if several else f"line {line.line}"

    return place


def name_call(compiled: TracedCompile) -> str:
    """Name the user's call, as users write it: ``pm.sample``; '' where no public function was called."""
    return short_name(compiled.library_calls[0]) if compiled.library_calls else ""


def short_name(call: str) -> str:
    """Write a public function as users do: ``pm.sample`` for ``pymc.sample``, ``model.compile_fn``."""
    return clean_line(_MODEL.sub("model.", call) if _MODEL.match(call) else re.sub(r"^pymc\.", "pm.", call))


def _key(compiled: TracedCompile) -> tuple[int, int]:
    return compiled.process, compiled.number


def _graph(compiled: TracedCompile) -> tuple[object, ...]:
    return compiled.process, compiled.kind, compiled.backend, compiled.graph_digest


def _root(compiled: TracedCompile) -> str:
    return compiled.library_calls[0] if compiled.library_calls else ""


def _is_nutpie(compiled: TracedCompile) -> bool:
    return compiled.kind is CompileKind.NUMBA_WRAPPER or any(
        call.startswith("nutpie.") for call in compiled.library_calls
    )


def _is_copy(compiled: TracedCompile) -> bool:
    """Whether it is a copy of a function that a frozen model keeps, which costs no rewriting."""
    return compiled.library_calls[-1:] == ("pymc.BaseModel.logp_dlogp_function",)


def _is_one_call(first: TracedCompile, later: TracedCompile) -> bool:
    """Whether one call of a library made both: then it is the library that repeats itself."""
    return bool(first.call) and first.call == later.call


def _where(compiled: TracedCompile, place: Placer) -> str:
    call = name_call(compiled)
    return f"{place(compiled.asked_by)} (`{call}`)" if call else place(compiled.asked_by)


# Compiled again: the same graph, or the same but for the values of its constants


def _repeats(tops: Sequence[TracedCompile], place: Placer, pymc: str) -> Iterator[RedundantWork]:
    firsts: dict[object, TracedCompile] = {}
    again: list[tuple[TracedCompile, TracedCompile, bool]] = []  # the first, the later one, equal constants?
    for compiled in (compiled for compiled in tops if not compiled.failure and not _is_copy(compiled)):
        graph = _graph(compiled) if compiled.graph_digest else None
        line = compiled.asked_by
        shape = (
            (*_graph(compiled)[:-1], compiled.structure_digest, line.file, line.line, _root(compiled))
            if compiled.structure_digest and line is not None
            else None
        )
        first = firsts.get(graph) or firsts.get(shape)
        if first is not None and not _is_one_call(first, compiled):
            again.append((first, compiled, first.graph_digest == compiled.graph_digest))
        for key in (graph, shape):
            if key is not None:
                firsts.setdefault(key, compiled)
    again += _wrappers_of(again, tops)
    buckets = grouped(
        ((first.process, _root(first), line.file, line.line, _root(later)), (first, later, is_same))
        for first, later, is_same in again
        if (line := first.asked_by) is not None and later.asked_by is not None
    )
    yield from filter(None, (_repeated_work(bucket, place, pymc) for bucket in buckets.values()))


def _wrappers_of(
    again: Sequence[tuple[TracedCompile, TracedCompile, bool]], tops: Sequence[TracedCompile]
) -> list[tuple[TracedCompile, TracedCompile, bool]]:
    """Add what has no graph of its own, and was made around functions that were compiled again: nutpie's wrappers."""
    known = {_key(later) for _, later, _ in again}
    calls = {
        (later.process, later.call): (first, is_same)
        for first, later, is_same in again
        if later.call and later.purpose in {Purpose.GRADIENT, Purpose.LOGP}
    }
    return [
        (calls[call][0], compiled, calls[call][1])
        for compiled in tops
        if compiled.kind is CompileKind.NUMBA_WRAPPER
        and _key(compiled) not in known
        and (call := (compiled.process, compiled.call)) in calls
    ]


def _repeated_work(
    bucket: Sequence[tuple[TracedCompile, TracedCompile, bool]], place: Placer, pymc: str
) -> RedundantWork | None:
    first = bucket[0][0]
    is_other = any(not is_same for _, _, is_same in bucket)
    laters = [later for _, later, _ in bucket]
    remedy, saved = _remedy([first, *laters], is_other=is_other, pymc=pymc)
    saved = [compiled for compiled in saved if compiled is not first]
    # Start points alone: whoever compares backends or samplers compiles these again, and nothing else.
    if not remedy or all(compiled.purpose is Purpose.START_POINT for compiled in saved):
        return None
    seconds = sum(compiled.wall_seconds for compiled in saved)
    lines = _lines((first, *saved))
    calls = len({compiled.call or -compiled.number for compiled in saved})
    functions = format_count(len(saved), "function")
    took = format_seconds(seconds)
    if len({(line.file, line.line) for line in lines}) == 1:
        what = "the same but for the values of constants" if is_other else "the same graphs"
        fact = (
            f"{_where(first, place)} was called {calls + 1} times and compiled {what} each time: {functions}, {took} "
            "after the first call"
        )
    else:
        later_lines = " and ".join(dict.fromkeys(_where(compiled, place) for compiled in saved if compiled.asked_by))
        what = "that but for the values of constants " if is_other else "that "
        fact = f"{later_lines} compiled {functions} again {what}{place(first.asked_by)} had compiled: {took}"
    return RedundantWork(
        kind=RedundantKind.OTHER_CONSTANTS if is_other else RedundantKind.SAME_GRAPH,
        seconds=seconds,
        compiles=tuple(map(_key, saved)),
        lines=lines,
        fact=fact,
        remedy=remedy,
    )


def _remedy(compiles: Sequence[TracedCompile], *, is_other: bool, pymc: str) -> tuple[str, Sequence[TracedCompile]]:
    """Say what to type, and which compiles that saves; '' where nothing is known to help."""
    roots = {_root(compiled) for compiled in compiles}
    if all(map(_is_nutpie, compiles)) and roots <= {_SAMPLE, _COMPILE_NUTPIE}:
        is_jax = any(compiled.backend == "jax" for compiled in compiles)
        # By itself nutpie's JAX way makes constants of all data.
        options = ', backend="jax", freeze_model=False' if is_jax else ""
        return (_NUTPIE_DATA if is_other else _NUTPIE_ONCE).format(options=options), compiles
    if any(map(_is_nutpie, compiles)):
        return "", ()
    if all(map(_OWN_FUNCTIONS.match, roots)):
        return _HOLD_DATA if is_other else _HOLD, compiles
    if roots <= set(_FROZEN_CALLS) and _can_freeze(pymc):
        kept = [compiled for compiled in compiles if compiled.purpose in _KEPT_BY_FROZEN and not _is_frozen(compiled)]
        return _FREEZE_DATA.format() if is_other else _FREEZE, kept
    return "", ()


def _is_frozen(compiled: TracedCompile) -> bool:
    return any(call.startswith("pymc.FrozenModel.") for call in compiled.library_calls)


def _can_freeze(pymc: str) -> bool:
    numbers = tuple(int(part) for part in pymc.split(".")[:2] if part.isdigit())
    return not numbers or numbers >= FREEZE_SINCE


def _sent(compiles: Sequence[TracedCompile]) -> Iterator[RedundantWork]:
    sent = [
        compiled
        for compiled in compiles
        if compiled.kind is CompileKind.PYTENSOR_FUNCTION
        and not compiled.graph_digest
        and not any(span.name == CompilePhase.REWRITE for span in compiled.phases)
    ]
    if not sent:
        return
    seconds = summed((compiled.process, compiled.wall_seconds) for compiled in sent)
    slowest = max(seconds.values())  # they run side by side
    processes = "1 spawned process" if len(seconds) == 1 else f"{len(seconds):,} spawned processes"
    yield RedundantWork(
        kind=RedundantKind.SENT,
        seconds=slowest,
        compiles=tuple(map(_key, sent)),
        lines=(),
        fact=f"{processes} compiled again what had been sent there: {format_seconds(slowest)} in the slowest",
        remedy='Forked ones have them already: `pm.sample(mp_ctx="fork")`, on Linux and where nothing of JAX was used '
        "before; nutpie draws all chains in one process",
    )


# What a C compiler did, and what no cache keeps


def _c_compiler(compiles: Sequence[TracedCompile], place: Placer) -> Iterator[RedundantWork]:
    is_needed = any(
        unit.kind is UnitKind.C_MODULE
        for compiled in compiles
        if compiled.purpose is not Purpose.START_POINT
        for unit in compiled.units
    )
    started = [
        compiled
        for compiled in compiles
        if compiled.purpose is Purpose.START_POINT and any(unit.compiler_seconds for unit in compiled.units)
    ]
    if is_needed or not started:
        return
    seconds = sum(unit.compiler_seconds for compiled in started for unit in compiled.units)
    took = f"{format_seconds(seconds)} are the C compiler's"
    yield RedundantWork(
        kind=RedundantKind.C_COMPILER,
        seconds=seconds,
        compiles=tuple(map(_key, started)),
        lines=_lines(started),
        fact=f"{took}, for start points in {_places(started, place)}; nothing else needs it",
        remedy="`PYTENSOR_FLAGS=cxx=` before `python` does without; a cache that is kept has it from the second run on",
    )


def _never_kept(compiles: Sequence[TracedCompile], place: Placer, limit: int | None) -> Iterator[RedundantWork]:
    unkept = [compiled for compiled in compiles if compiled.cache.never_kept]
    wrappers = [compiled for compiled in unkept if compiled.kind is CompileKind.NUMBA_WRAPPER]
    functions = [compiled for compiled in unkept if compiled.kind is not CompileKind.NUMBA_WRAPPER]
    jax = [compiled for compiled in functions if compiled.backend == "jax"]
    large = [one for one in functions if one.backend == "numba" and limit and one.largest_constant_bytes > limit]
    size = format_bytes(max((compiled.largest_constant_bytes for compiled in large), default=0))
    # Of the others it is known why not, and not what to type: sentences on the caches tell it.
    for kind, several, what, remedy in (
        (
            RedundantKind.NEVER_KEPT,
            wrappers,
            f"nutpie's {format_count(len(wrappers), 'wrapper')} in {_places(wrappers, place)}",
            'A cache keeps the functions of `pm.sample(nuts_sampler="pymc")`, and `backend="jax"` may compile sooner. '
            "Which of them has all draws first, `firstgrad advise` measures",
        ),
        (
            RedundantKind.NEVER_KEPT,
            jax,
            f"{format_count(len(jax), 'function')} of JAX in {_places(jax, place)}",
            "Give JAX a cache: `JAX_COMPILATION_CACHE_DIR=~/.cache/jax JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS=0` "
            "before `python`",
        ),
        (
            RedundantKind.LARGE_CONSTANT,
            large,
            f"{format_count(len(large), 'function')} in {_places(large, place)} with a constant of {size}, more than "
            f"the {limit or 0:,} bytes that Numba's cache takes",
            'Write `pm.Data("name", values)` where the array stands now',
        ),
    ):
        if several:
            seconds = sum(compiled.cache.never_kept_seconds for compiled in several)
            yield RedundantWork(
                kind=kind,
                seconds=seconds,
                compiles=tuple(map(_key, several)),
                lines=_lines(several),
                fact=f"{format_seconds(seconds)} are compiled in every process, since no cache keeps them: {what}",
                remedy=remedy,
            )


def _places(compiles: Iterable[TracedCompile], place: Placer) -> str:
    return " and ".join(dict.fromkeys(_where(compiled, place) for compiled in compiles))


def _lines(compiles: Iterable[TracedCompile]) -> tuple[CodeLine, ...]:
    return tuple(dict.fromkeys(compiled.asked_by for compiled in compiles if compiled.asked_by is not None))
