"""What a table of samples has of each record: every column is declared here, once.

The store's columns, the data frames, metrics of suites and comparisons, exports and figures are made from `COLUMNS`. To
add a metric, measure it and add its `Column`.
"""

from __future__ import annotations

import functools
import json
import statistics
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from firstgrad.case import Counting, Scenario, Target
from firstgrad.codec import to_json
from firstgrad.doubts import why_unusable
from firstgrad.errors import SpecError
from firstgrad.model import Model
from firstgrad.phase import FIRST_DRAW_PHASES, FIRST_GRADIENT_PHASES, Phase
from firstgrad.record import Doubt, Status

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    import pandas as pd

    from firstgrad.pose.spec import Scalar
    from firstgrad.record import Record

type Cell = str | float | int | None


class Unit(StrEnum):
    """What a column's numbers count, or that it has texts; asv scales ``seconds`` and ``bytes`` by itself."""

    SECONDS = "seconds"
    BYTES = "bytes"
    COUNT = "count"
    TEXT = "text"


class Role(StrEnum):
    """What a column is for.

    ``identity``: names the sample. ``axis``: what was measured. ``condition``: what must be equal before numbers may be
    put together. ``limit``: when the sample would have been stopped. ``mark``: what happened, and under which name it
    is kept. ``metric``: what was found.
    """

    IDENTITY = "identity"
    AXIS = "axis"
    CONDITION = "condition"
    LIMIT = "limit"
    MARK = "mark"
    METRIC = "metric"


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column of a samples table."""

    name: str
    """Unique, a Python name."""
    title: str
    """What people read."""
    role: Role
    read: Callable[[Record], Any]
    """Takes a record and returns the cell; none where the record has none."""
    unit: Unit = Unit.TEXT
    """Of its numbers."""
    version: str = "1"
    """Of a metric: changes only when the number's meaning does; numbers of different versions are never compared."""
    targets: frozenset[Target] = frozenset(Target)
    """Of a metric: for which targets there can be one."""
    counting: Counting = Counting.PLAIN
    """Of a metric: what a sample must count to have it."""
    spread: float | None = None
    """Of a metric: by how much 20 identical runs differed at most, on any backend (largest by smallest, less 1); none
    where that wasn't measured, or says nothing, as of seconds. `benchmarks/spread` measures it."""
    cost: float = 0.0
    """Of a metric: what taking it adds to a compile's processor seconds, as a part of them, on the backend where that
    is most."""

    @property
    def is_deterministic(self) -> bool:
        """Whether identical runs give the same number (bytes, instructions: nearly), so that a single sample tells."""
        return self.unit is not Unit.SECONDS

    @property
    def is_exact(self) -> bool:
        """Whether identical runs repeat the number, so that what moves it is a change of the work."""
        return self.spread is not None and self.spread < EXACT_SPREAD


EXACT_SPREAD = 0.001
"""A count whose spread is below is exact."""


_GRADIENTS, _DRAWS = frozenset(Target) - {Target.FIRST_DRAW}, frozenset({Target.FIRST_DRAW})


def _column(
    role: Role,
    name: str,
    read: Callable[[Record], Any],
    title: str = "",
    unit: Unit = Unit.TEXT,
    targets: frozenset[Target] = frozenset(Target),
    **known: Any,
) -> Column:
    title = title or name.replace("_", " ")
    return Column(name=name, title=title, role=role, read=read, unit=unit, targets=targets, **known)


def _spoilt(name: str, read: Callable[[Record], Any], *known: Any) -> Column:
    """Declare a metric that a sample doesn't have where what it counts beside spoils it: seconds, memory."""
    return _metric(name, lambda record: read(record) if record.case.counting is Counting.PLAIN else None, *known)


_SPREAD_OF_CALLS = {Phase.LINK: 0.0011, Phase.FIRST_CALL: 0.0003}  # g++ is waited for; Numba asks what it has seen
_COSTS = {Counting.PLAIN: 0.06, Counting.INSTRUMENTED: 0.22, Counting.SIMULATED: 75.0}


def _work(
    name: str,
    title: str,
    spread: float | None,
    unit: Unit = Unit.COUNT,
    *,
    counting: Counting = Counting.PLAIN,
    **known: Any,
) -> Column:
    """Declare a metric of what `firstgrad.record.Work` counts."""
    known |= {"spread": spread, "counting": counting, "cost": _COSTS[counting]}
    return _metric(name, lambda record: record.work and record.work.number(name), title, unit, **known)


def _targets_of(phase: Phase) -> frozenset[Target]:
    draws, gradients = phase in FIRST_DRAW_PHASES, phase in FIRST_GRADIENT_PHASES
    return frozenset(Target) if draws is gradients or phase is Phase.BUILD else _DRAWS if draws else _GRADIENTS


def _phase(phase: Phase) -> Callable[[Record], float | None]:
    def seconds(record: Record) -> float | None:
        phase_record = record.phase(phase)
        return None if phase_record is None else phase_record.wall_seconds

    return seconds


def _part(part: str, name: str) -> Callable[[Record], float | None]:
    def number(record: Record) -> float | None:
        whole = getattr(record, part)
        return None if whole is None else getattr(whole, name)

    return number


def _never_kept(name: str) -> Callable[[Record], float | None]:
    def number(record: Record) -> float | None:
        if record.caches is None or not record.case.is_draw:
            return None
        return float(sum(getattr(one, name) for one in record.caches.never_kept))

    return number


def _median_on_device(name: str) -> Callable[[Record], float | None]:
    def number(record: Record) -> float | None:
        calls = getattr(record.on_device, name) if record.on_device is not None else ()
        return statistics.median(calls) if calls else None

    return number


def _evaluation_seconds(record: Record) -> float | None:
    return statistics.median(record.evaluation_seconds) if record.evaluation_seconds else None


_FIRST_GRADIENT, _FIRST_DRAW, _PEAK_MEMORY = "time_to_first_gradient", "time_to_first_draw", "peak_memory"
_identity, _axis, _condition, _limit, _mark, _metric = (functools.partial(_column, role) for role in Role)

COLUMNS: tuple[Column, ...] = (
    _identity("record_id", lambda record: record.record_id),
    _identity("started_at", lambda record: record.started_at),
    _identity("case_id", lambda record: record.case.id),
    _identity("question", lambda record: record.case.question),
    _axis("reference", lambda record: record.case.model.reference),
    _axis("parameters", lambda record: to_json(record.case.model.parameters)),
    _axis("model", lambda record: str(record.case.model)),
    _axis("backend", lambda record: str(record.case.backend)),
    _axis("asked_device", lambda record: record.case.device or None, "device asked for"),
    _axis("target", lambda record: str(record.case.target)),
    _axis("scenario", lambda record: str(record.case.scenario)),
    _axis("sampler", lambda record: str(record.case.sampler) if record.case.is_draw else None),
    _axis("gradient_backend", lambda record: record.case.gradient_backend and str(record.case.gradient_backend)),
    _axis("chains", lambda record: record.case.chains if record.case.is_draw else None, unit=Unit.COUNT),
    _condition("conditions", lambda record: record.environment.conditions),
    _condition("host", lambda record: record.environment.host.digest),
    _condition("device", lambda record: record.environment.device or "cpu"),
    _condition("bytecode", lambda record: "no" if record.environment.bytecode is False else "yes"),
    _condition("python", lambda record: record.environment.python),
    _condition("packages", lambda record: to_json(record.environment.packages)),
    _limit("evaluations", lambda record: record.case.evaluations, unit=Unit.COUNT),
    _limit("time_limit_seconds", lambda record: record.case.time_limit_seconds, unit=Unit.SECONDS),
    _limit("memory_limit_bytes", lambda record: record.case.memory_limit_bytes, unit=Unit.BYTES),
    _mark("status", lambda record: str(record.status)),
    _mark("reason", why_unusable, "why its numbers don't count"),
    _mark("verdict", lambda record: str(record.check.verdict)),
    _mark("drew", lambda record: record.draw and str(record.draw.sampler), "sampler that drew"),
    _mark("doubts", lambda record: " ".join(record.doubts)),
    _mark("label", lambda record: record.environment.label),
    _mark("git_commit", lambda record: record.environment.git_commit),
    _mark("source_digest", lambda record: record.environment.source_digest),
    _mark("load_before", lambda record: record.environment.load_before, unit=Unit.COUNT),
    _mark("sample_seconds", lambda record: _sample_seconds(record), unit=Unit.SECONDS),  # noqa: PLW0108 - below
    _spoilt(
        _FIRST_GRADIENT,
        lambda record: record.time_to_first_gradient_seconds,
        "time to first gradient",
        Unit.SECONDS,
        _GRADIENTS,
    ),
    _spoilt(
        "time_to_first_gradient_cpu",
        lambda record: record.time_to_first_gradient_cpu_seconds,
        "CPU time to first gradient",
        Unit.SECONDS,
        _GRADIENTS,
    ),
    _spoilt(_FIRST_DRAW, lambda record: record.time_to_first_draw_seconds, "time to first draw", Unit.SECONDS, _DRAWS),
    _spoilt(
        "time_to_first_draw_cpu",
        lambda record: record.time_to_first_draw_cpu_seconds,
        "CPU time to first draw",
        Unit.SECONDS,
        _DRAWS,
    ),
    _spoilt(
        "seconds_a_draw",
        lambda record: record.draw and record.draw.pace and record.draw.pace.seconds_a_draw,
        "time of a draw after the first",
        Unit.SECONDS,
        _DRAWS,
    ),
    *(
        _spoilt(f"phase_{phase.value}", _phase(phase), f"phase {phase.value}", Unit.SECONDS, _targets_of(phase))
        for phase in Phase
        if phase is not Phase.EVALUATE  # that one's length is how many calls were asked for
    ),
    _spoilt("evaluation", _evaluation_seconds, "evaluation time (median call)", Unit.SECONDS, _GRADIENTS),
    _spoilt(
        "evaluation_on_device",
        _median_on_device("left_seconds"),
        "evaluation, result left on the device",
        Unit.SECONDS,
        _GRADIENTS,
    ),
    _spoilt("to_device", _median_on_device("sent_seconds"), "a point to the device", Unit.SECONDS, _GRADIENTS),
    _spoilt("from_device", _median_on_device("fetched_seconds"), "a result to NumPy", Unit.SECONDS, _GRADIENTS),
    _spoilt(_PEAK_MEMORY, _part("memory", "peak_rss_bytes"), "peak memory, compilers included", Unit.BYTES),
    _spoilt("retained_memory", _part("memory", "retained_bytes"), "retained memory", Unit.BYTES),
    _spoilt("device_peak_memory", _part("on_device", "peak_bytes"), "peak memory of the device", Unit.BYTES),
    _spoilt("device_kept_memory", _part("on_device", "kept_bytes"), "retained memory of the device", Unit.BYTES),
    _metric("nodes_before", _part("counts", "nodes_before"), "graph nodes before rewriting", Unit.COUNT, spread=0.0),
    _metric("nodes", _part("counts", "nodes_after"), "graph nodes after rewriting", Unit.COUNT, spread=0.0),
    _metric("compiled_units", _part("counts", "compiled_units"), "compiled units", Unit.COUNT, spread=0.0),
    _metric("never_kept_units", _never_kept("units"), "units that no cache keeps", Unit.COUNT, _DRAWS),
    _spoilt("never_kept", _never_kept("seconds"), "compile time of what no cache keeps", Unit.SECONDS, _DRAWS),
    _spoilt(
        "instructions", lambda record: record.instructions, "instructions to first gradient, user mode", Unit.COUNT
    ),
    *(
        _work(
            f"calls_{phase.value}",
            f"calls of Python functions in {phase.value}",
            spread=_SPREAD_OF_CALLS.get(phase, 0.0),
            targets=_targets_of(phase),
            counting=Counting.INSTRUMENTED,
        )
        for phase in FIRST_GRADIENT_PHASES
    ),
    _work("rewriters_tried", "rewriters tried on a node", 0.0, counting=Counting.INSTRUMENTED),
    _work("rewriters_applied", "rewriters applied", 0.0),
    _work("c_lines", "lines of C++ that were compiled", 0.0),
    _work("c_bytes", "C++ that was compiled", 0.0, Unit.BYTES),
    _work("llvm_instructions_before", "LLVM instructions before optimising", 0.0),
    _work("llvm_instructions", "LLVM instructions after optimising", 0.0),
    _work("llvm_bytes_before", "LLVM's text before optimising", 0.0003, Unit.BYTES),
    _work("llvm_bytes", "LLVM's text after optimising", 0.0003, Unit.BYTES),
    _work("hlo_operations_before", "operations of StableHLO before XLA's passes", 0.0),
    _work("hlo_operations", "operations of HLO after XLA's passes", 0.0),
    _work("code_bytes", "machine code", 0.0008, Unit.BYTES),
    _work("python_blocks", "blocks of memory that Python keeps", 0.0013),
    _work("simulated_instructions", "instructions, by Valgrind", None, counting=Counting.SIMULATED),
)
"""Every column, in the order in which they are shown."""

METRICS: tuple[Column, ...] = tuple(column for column in COLUMNS if column.role is Role.METRIC)
"""All metrics, in the order in which they are shown."""

AT_LEAST = "_at_least"
"""Ends the name of the column that has a metric's lower bound, where a limit stopped the sample before it was known."""

FRAME_COLUMNS: tuple[str, ...] = (
    *(column.name for column in COLUMNS),
    *(metric.name + AT_LEAST for metric in METRICS),
)
"""Names of what `cells_of` gives: every column, and the metrics' lower bounds."""


def metric_named(name: str) -> Column:
    """Return a metric by its name; raises KeyError where there is none."""
    return {metric.name: metric for metric in METRICS}[name]


def require_metrics(names: Iterable[str], where: str, *others: str) -> None:
    """Raise SpecError, naming `where` it was asked for, for the first name that is no metric, nor one of `others`."""
    known = [metric.name for metric in METRICS]
    if unknown := [name for name in names if name not in (*known, *others)]:
        more = "".join(f", or {other}" for other in others)
        raise SpecError(where, f"there is no {unknown[0]!r}. There are {', '.join(known)}{more}")


def first_metric(target: Target) -> Column:
    """Return the metric that a target is named after: the time to it."""
    return metric_named(_FIRST_DRAW if target is Target.FIRST_DRAW else _FIRST_GRADIENT)


def metrics_of(target: Target) -> tuple[Column, ...]:
    """Return the metrics that there can be of a target, in the order of `METRICS`."""
    return tuple(metric for metric in METRICS if target in metric.targets)


def cells_of(record: Record) -> dict[str, Cell]:
    """Return what a samples table has of a record, by the names of `FRAME_COLUMNS`."""
    known = find_known(record)
    cells: dict[str, Cell] = {column.name: _cell(column, record) for column in COLUMNS}
    return cells | known.numbers | {metric.name + AT_LEAST: known.bounds.get(metric.name) for metric in METRICS}


def _cell(column: Column, record: Record) -> Cell:
    value: Cell = column.read(record)
    if isinstance(value, str):
        return cell_text(value)
    return None if value is None else float(value)


def cell_text(text: str) -> str:
    r"""Write what databases and tables refuse in a text (NUL, halves of surrogate pairs) as ``\x00``, ``\udcff``.

    Such a label comes from a command line that was not UTF-8; the record keeps the original.
    """
    return text.replace("\0", r"\x00").encode("utf-8", "backslashreplace").decode()


def samples_table(samples: Iterable[Record] | Sequence[Mapping[str, Cell]]) -> pd.DataFrame:
    """Return samples as a data frame, a line each, in their order.

    Beside `FRAME_COLUMNS` it has a column for each parameter of a model that is there, those of the pose model with
    their defaults; a parameter that is called like another column is called ``parameter_NAME``. A column of numbers
    has NaN where there is none, so counts are floats, too.

    Parameters
    ----------
    samples : iterable of Record, or sequence of mapping
        Records, or what `cells_of` made of them.
    """
    import pandas as pd

    lines = [sample if isinstance(sample, dict) else cells_of(sample) for sample in samples]  # type: ignore[arg-type]
    numbers = {column.name for column in COLUMNS if column.unit is not Unit.TEXT}
    numbers |= {metric.name + AT_LEAST for metric in METRICS}
    # A column at a time: a table of Python's objects in between would take more than the samples.
    frame = pd.DataFrame(
        {
            name: pd.Series([line.get(name) for line in lines], dtype=float if name in numbers else None)
            for name in FRAME_COLUMNS
        }
    )
    return frame.join(parameters_of(frame))


def parameters_of(samples: pd.DataFrame) -> pd.DataFrame:
    """Return the parameters of the samples' models, a column each; none where a model has no such parameter."""
    import pandas as pd

    pairs = samples[["reference", "parameters"]]
    unique = pairs.drop_duplicates()
    values = [values_of(reference, parameters) for reference, parameters in unique.itertuples(index=False)]
    names = list(dict.fromkeys(name for known in values for name in known))
    keys = pd.MultiIndex.from_frame(unique)
    places = keys.get_indexer(pd.MultiIndex.from_frame(pairs)) if len(unique) else []
    return pd.DataFrame(
        {
            parameter_column(name): pd.Series([known.get(name) for known in values], dtype=object).to_numpy()[places]
            for name in names
        },
        index=samples.index,
    ).infer_objects()


def parameter_column(name: str) -> str:
    """Return the name of a parameter's column."""
    return f"parameter_{name}" if name in FRAME_COLUMNS else name


def values_of(reference: str, parameters: str) -> dict[str, Scalar]:
    """Return a model's parameters by name, as `firstgrad.model.Model.values`, from what a samples table has of it."""
    pairs = tuple((name, value) for name, value in json.loads(parameters))
    values = Model(reference=reference, parameters=pairs).values  # noqa: PD011 - a model's, no data frame's
    return {name: cell_text(value) if isinstance(value, str) else value for name, value in values.items()}


# What is known of a sample that a limit stopped: numbers of what had ended, lower bounds of what had not.

WHILE_FILLING = "while filling the cache: "
"""Begins the failure's message where a ``warm`` sample was never begun: its phases are those of the filling."""


@dataclass(frozen=True, slots=True)
class Known:
    """Numbers and lower bounds by the metric's name, besides what the record itself has."""

    numbers: dict[str, float] = field(default_factory=dict)
    bounds: dict[str, float] = field(default_factory=dict)


def end_seconds(record: Record) -> float | None:
    """Find when the sample was last seen, in seconds of the worker's clock; none where it never was."""
    ends = []
    if record.memory is not None and record.memory.timeline:
        ends.append(record.memory.timeline[-1].at_seconds)
    if record.phases:
        ends.append(record.phases[-1].began_seconds + record.phases[-1].wall_seconds)
    return max(ends, default=None)


def find_known(record: Record) -> Known:
    """Find what is known of a sample that its time or memory limit stopped; empty for all others.

    Processor seconds have no bounds: nobody asked for them when it was stopped. Wall seconds are true to within what
    lies between two phases, some hundredths of a second. Of one that stood still for a while only memory is known.
    """
    failure, end = record.failure, end_seconds(record)
    if record.status not in (Status.TIMEOUT, Status.OUT_OF_MEMORY) or failure is None:
        return Known()
    if record.case.counting is not Counting.PLAIN:
        return Known()
    if failure.message.startswith(WHILE_FILLING):
        return Known()
    known = Known()
    if (bytes_seen := _peak_bytes(record)) is not None:
        known.bounds[_PEAK_MEMORY] = bytes_seen
    if Doubt.SUSPENDED in record.doubts:
        return known
    if record.case.is_draw:
        build = record.phase(Phase.BUILD)
        if record.time_to_first_draw_seconds is None and build is not None and end is not None:
            _keep_positive(known.bounds, _FIRST_DRAW, end - _ended(record, Phase.BUILD))
        return known
    if record.time_to_first_gradient_seconds is None:
        seconds = _first_gradient_seconds(record, end)
        is_over = record.phase(Phase.FIRST_CALL) is not None
        _keep_positive(known.numbers if is_over else known.bounds, _FIRST_GRADIENT, seconds)
    if failure.phase not in (None, Phase.EVALUATE) and record.phase(failure.phase) is None:
        _keep_positive(known.bounds, f"phase_{failure.phase}", _present_seconds(record, failure.phase, end))
    return known


def _keep_positive(known: dict[str, float], name: str, seconds: float | None) -> None:
    if seconds is not None and seconds > 0:  # "at least nothing" is not known of anything
        known[name] = seconds


def _first_gradient_seconds(record: Record, end: float | None) -> float | None:
    """Seconds from the start of `build`, without the search for a start point between it and `logp_graph`."""
    build, logp = record.phase(Phase.BUILD), record.phase(Phase.LOGP_GRAPH)
    present = record.failure.phase if record.failure else None
    if build is None:
        return _present_seconds(record, Phase.BUILD, end) if present is Phase.BUILD else None
    if logp is not None:
        last = _ended(record, Phase.FIRST_CALL) if record.phase(Phase.FIRST_CALL) else end
        return build.wall_seconds + max((last or 0.0) - logp.began_seconds, logp.wall_seconds)
    if present is Phase.LOGP_GRAPH:
        return build.wall_seconds + max(_present_seconds(record, present, end) or 0.0, 0.0)
    return build.wall_seconds


def _present_seconds(record: Record, phase: Phase, end: float | None) -> float | None:
    """Seconds of the phase in which it was stopped; none where it is not known when that began."""
    order = (Phase.IMPORT, *FIRST_GRADIENT_PHASES)
    if phase not in order or end is None:
        return None
    if phase is Phase.IMPORT:
        return end
    if phase is Phase.BUILD and record.case.scenario is Scenario.HOT:
        return None  # the first compile lies between import and it
    if phase is Phase.LOGP_GRAPH and record.case.model.pose is None:
        return None  # the search for a start point does
    before = order[order.index(phase) - 1]
    return end - _ended(record, before) if record.phase(before) is not None else None


def _ended(record: Record, phase: Phase) -> float:
    found = next(each for each in record.phases if each.phase is phase)
    return found.began_seconds + found.wall_seconds


def _peak_bytes(record: Record) -> float | None:
    seen = [record.memory.peak_rss_bytes] if record.memory else []
    if record.failure is not None and record.failure.kind == "MemoryLimit" and record.case.memory_limit_bytes:
        seen.append(record.case.memory_limit_bytes)  # it was over that
    return max(seen, default=None)


def _sample_seconds(record: Record) -> float:
    """How long the whole sample took, import and check included, as far as the record tells."""
    end = end_seconds(record)
    if end is None:
        end = record.case.time_limit_seconds if record.status is Status.TIMEOUT else None
    return end or 0.0
