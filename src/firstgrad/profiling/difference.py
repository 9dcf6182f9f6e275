"""What grew between two profiles: a base, and a head that may have grown.

Each profile is a single sample, made with instruments on. So seconds only count here where they differ by much more
than two runs of one compile do; counts always do.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from firstgrad.columns import Unit, first_metric
from firstgrad.comparing.sides import find_differences
from firstgrad.errors import ComparisonError
from firstgrad.grouping import summed
from firstgrad.phase import Phase
from firstgrad.profiling import Profile
from firstgrad.profiling.units import PLACEHOLDER, code_bytes_of, normalise_name
from firstgrad.record import Doubt

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from firstgrad.case import Case
    from firstgrad.observe.events import CompiledUnit

LEAST_SECONDS = 0.05
"""Smaller differences of seconds are noise: each profile is a single sample, taken with instruments on."""
LEAST_SECONDS_FACTOR = 1.10
"""The same as a factor of the smaller side: identical compiles differ by 10% and more from run to run."""
LEAST_BYTES = 5 * 2**20  # smaller differences of resident memory are noise
LEAST_BYTES_FACTOR = 1.02
"""The same as a factor; peaks of identical compiles differ by less than 0.1%, what is retained by more."""

_COUNTS = (
    ("groups", "groups"),
    ("values", "values"),
    ("nodes", "nodes_before"),
    ("nodes", "nodes_after"),
    ("compiled_units", "compiled_units"),
)
_MEMORY = {
    "peak": "peak_rss_bytes",
    "peak of the children": "children_peak_rss_bytes",
    "retained": "retained_bytes",
}


class ChangeKind(StrEnum):
    """Of what a number is."""

    TOTAL = "total"
    PHASE = "phase"
    PASS = "pass"  # noqa: S105 - a rewrite pass
    REWRITER = "rewriter"
    NODE_TYPE = "node_type"
    UNIT = "unit"
    MEMORY = "memory"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileChange:
    """One number, in the base and in the head."""

    kind: ChangeKind
    name: str  # of which: a phase, a pass, a type of operation
    metric: str  # which number of it, such as ``wall_seconds``, ``applied``, ``after``
    unit: Unit
    base: float | None
    head: float | None  # none, as of the base, where that side has no such thing; then it counts as zero
    difference: float  # the head's less the base's
    ratio: float | None  # the head's by the base's; none where either is zero, or not there
    is_noise: bool
    """Whether two runs of one and the same compile may well differ by as much. Never for counts that differ."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileDifference:
    """Two profiles and what changed from one to the other."""

    base: Profile
    head: Profile
    notes: tuple[str, ...]  # what differs in their conditions, and what could not be compared
    changes: tuple[ProfileChange, ...]
    """Every number that isn't equal on both sides; of kind ``total`` the equal ones too, where they aren't zero. By
    kind and metric, the largest absolute difference first."""

    def of_kind(self, kind: ChangeKind, *, noise: bool = False) -> tuple[ProfileChange, ...]:
        """Choose the changes of a kind, the largest first; those within noise only where asked for."""
        return tuple(change for change in self.changes if change.kind is kind and (noise or not change.is_noise))


def find_difference(base: Profile, head: Profile) -> ProfileDifference:
    """Compare two profiles of any two cases. Units are matched by normalised name and operation.

    Raises `ComparisonError` where one of them failed before its end: what it lacks would look like what got cheaper.
    """
    for side, profile in (("base", base), ("head", head)):
        failure = profile.record.failure
        if failure is not None:
            raise ComparisonError(
                f"the {side} ({profile.record.case}) failed: {failure.kind}: {failure.message}. Its numbers stop "
                "there and can't be compared: profile a case that ends well"
            )
    changes = [
        make_change(kind, name, metric, unit, one.get(name), other.get(name))
        for (kind, metric, unit, one), (_, _, _, other) in zip(_tables(base, head), _tables(head, base), strict=True)
        # A table that one side lacks altogether was not seen there, and tells nothing.
        if kind is ChangeKind.TOTAL or (one and other)
        for name in dict.fromkeys((*other, *one))
    ]
    order = {key: number for number, key in enumerate(dict.fromkeys((one.kind, one.metric) for one in changes))}
    shown = [one for one in changes if one.base != one.head or (one.kind is ChangeKind.TOTAL and one.head)]
    return ProfileDifference(
        base=base,
        head=head,
        notes=(*_compared(base, head), *_conditions(base, head), *_one_sided(base, head)),
        changes=tuple(sorted(shown, key=lambda one: (order[one.kind, one.metric], -abs(one.difference), one.name))),
    )


def make_change(
    kind: ChangeKind, name: str, metric: str, unit: Unit, base: float | None, head: float | None
) -> ProfileChange:
    """Make a change of two numbers.

    Noise by these rules: seconds that differ by less than `LEAST_SECONDS`, or by less than `LEAST_SECONDS_FACTOR`;
    resident memory likewise; sizes of code and counts only where they are equal.
    """
    before, after = base or 0.0, head or 0.0
    small, large = sorted((before, after))
    is_noise = small == large
    if unit is Unit.SECONDS:
        is_noise = is_noise or large - small < LEAST_SECONDS or large < LEAST_SECONDS_FACTOR * small
    elif unit is Unit.BYTES and kind is not ChangeKind.UNIT:
        is_noise = is_noise or large - small < LEAST_BYTES or large < LEAST_BYTES_FACTOR * small
    return ProfileChange(
        kind=kind,
        name=name,
        metric=metric,
        unit=unit,
        base=base,
        head=head,
        difference=after - before,
        ratio=after / before if before > 0 and after > 0 else None,
        is_noise=is_noise,
    )


def _tables(profile: Profile, other: Profile) -> Iterator[tuple[ChangeKind, str, Unit, Mapping[str, float]]]:
    """Yield a profile's numbers by name, table by table; the same tables for the other one."""
    record, attribution = profile.record, profile.attribution
    counts, first = record.counts, first_metric(record.case.target).name
    for name, metric, unit, value in (
        (first, "wall_seconds", Unit.SECONDS, record.window_seconds),
        (first, "cpu_seconds", Unit.SECONDS, record.window_cpu_seconds),
        ("garbage_collection", "wall_seconds", Unit.SECONDS, record.gc_seconds),
        *((name, metric, Unit.COUNT, getattr(counts, metric, None)) for name, metric in _COUNTS),
    ):
        yield ChangeKind.TOTAL, metric, unit, _known({name: value})
    for metric in ("wall_seconds", "cpu_seconds"):
        # The length of `evaluate` is how many calls were asked for.
        phases = {
            str(one.phase): getattr(one, metric) for one in record.whole_phases if one.phase is not Phase.EVALUATE
        }
        yield ChangeKind.PHASE, metric, Unit.SECONDS, phases
    passes = record.rewrite_passes
    yield ChangeKind.PASS, "wall_seconds", Unit.SECONDS, summed((one.name, one.wall_seconds) for one in passes)
    # What a pass itself did to the graph: its size after it tells of all passes before it, too.
    nodes = [(one.name, one.nodes_before, one.nodes_after) for one in passes]
    added = summed((name, after - before) for name, before, after in nodes if before is not None and after is not None)
    yield ChangeKind.PASS, "nodes_added", Unit.COUNT, added
    rewriters = [
        (one.name if one.name == one.pass_name else f"{one.pass_name}: {one.name}", one)
        for one in attribution.rewriters
    ]
    for metric, unit in (("wall_seconds", Unit.SECONDS), ("applied", Unit.COUNT)):
        yield ChangeKind.REWRITER, metric, unit, summed((name, getattr(one, metric)) for name, one in rewriters)
    for metric in ("before", "after"):
        types = summed((one.name, getattr(one, metric)) for one in attribution.node_types)
        yield ChangeKind.NODE_TYPE, metric, Unit.COUNT, types
    groups = group_units(attribution.units, other.attribution.units) if _have_one_backend(profile, other) else {}
    seconds = {name: sum(unit.own_seconds for unit in units) for name, units in groups.items()}
    sizes = _known({name: code_bytes_of(units) for name, units in groups.items()})
    yield ChangeKind.UNIT, "own_seconds", Unit.SECONDS, seconds
    yield ChangeKind.UNIT, "units", Unit.COUNT, {name: float(len(units)) for name, units in groups.items()}
    yield ChangeKind.UNIT, "code_bytes", Unit.BYTES, sizes
    own, theirs = _memory(profile), _memory(other)
    yield ChangeKind.MEMORY, "bytes", Unit.BYTES, {name: size for name, size in own.items() if name in theirs}
    peaks = {f"peak in {one.phase}": one.peak_rss_bytes for one in record.whole_phases}
    yield ChangeKind.MEMORY, "bytes", Unit.BYTES, _known(peaks)


def _memory(profile: Profile) -> dict[str, float]:
    return _known({name: getattr(profile.record.memory, metric, None) for name, metric in _MEMORY.items()})


def _known(numbers: Mapping[str, float | None]) -> dict[str, float]:
    return {name: float(number) for name, number in numbers.items() if number is not None}


def group_units(
    units: Iterable[CompiledUnit], beside: Iterable[CompiledUnit] = ()
) -> dict[str, tuple[CompiledUnit, ...]]:
    """Put units together by name, numbered where those `beside` are (``stage_#``), and operation, in their order."""
    numbered = {normalise_name(unit.name) for unit in beside}
    groups: dict[str, tuple[CompiledUnit, ...]] = {}
    for unit in units:
        name = normalise_name(unit.name)
        if f"{name}_{PLACEHOLDER}" in numbered:
            name = f"{name}_{PLACEHOLDER}"
        key = f"{name} {unit.op}" if unit.op and unit.op != name else name
        groups[key] = (*groups.get(key, ()), unit)
    return groups


def _have_one_backend(one: Profile, other: Profile) -> bool:
    return one.record.case.backend is other.record.case.backend


def _compared(base: Profile, head: Profile) -> Iterator[str]:
    """Say what is compared; warnings begin with "warning:", here and below."""
    sides = _sides(base.record.case, head.record.case)
    differing = {name: pair for name, pair in sides.items() if len(set(pair)) > 1}
    for name, (one, other) in differing.items():
        yield f"compared: {name}: {one} (base) with {other} (head)"
    if not differing:
        yield "both are of one case: what differs is chance, or a change of what is installed or measured"
    if len(differing) > 1:
        yield f"warning: {', '.join(differing)} differ at once: no change below can be put down to one of them"
    if "backend" in differing:
        yield "units are not matched: each backend compiles units of its own kind"


def _sides(base: Case, head: Case) -> dict[str, tuple[str, str]]:
    models = str(base.model), str(head.model)
    if models[0] == models[1] and base.model != head.model:  # told apart by what the short line leaves out
        values = base.model.values, head.model.values
        hidden = [name for name in {**values[0], **values[1]} if values[0].get(name) != values[1].get(name)]
        own, other = (", ".join(f"{name}={side[name]!r}" for name in hidden if name in side) for side in values)
        models = f"{models[0]} {own}", f"{models[1]} {other}"
    return {
        "model": models,
        "backend": (base.backend, head.backend),
        "target": (base.target, head.target),
        "scenario": (base.scenario, head.scenario),
    }


def _conditions(base: Profile, head: Profile) -> Iterator[str]:
    differences = find_differences([((base.record,), (head.record,))])
    for one in differences:
        yield f"warning: {one.field} is {one.base} in the base and {one.head} in the head"
    for side, profile in (("base", base), ("head", head)):
        if Doubt.HIGH_LOAD in profile.record.doubts:
            yield f"warning: the machine was busy before the {side}: compare counts, not seconds"
    if any(one.field.startswith("host.") for one in differences):
        yield "warning: the hosts are not the same machine: compare counts, not seconds"


def _one_sided(base: Profile, head: Profile) -> Iterator[str]:
    """Name the tables that only one side has."""
    both = (base, head)
    tables = {
        "passes": [bool(one.record.rewrite_passes) for one in both],
        "rewriters": [bool(one.attribution.rewriters) for one in both],
        "types of operations": [bool(one.attribution.node_types) for one in both],
    }
    if _have_one_backend(base, head):
        tables["units"] = [bool(one.attribution.units) for one in both]
    for name, (has_base, has_head) in tables.items():
        if has_base != has_head:
            yield f"{name} are known of the {'base' if has_base else 'head'} alone: not compared"
