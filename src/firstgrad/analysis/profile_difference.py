"""What grew between two profiles: a base, and a contender that may have grown.

Each profile is a single sample, made with instruments on. So seconds only count here where they differ by much more
than two runs of one compile do (`firstgrad.analysis.profile_change` has the thresholds); counts always do.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from firstgrad.analysis.profile_change import Change, ChangeKind, make_change
from firstgrad.analysis.profile_notes import find_notes
from firstgrad.analysis.unit_groups import group_units
from firstgrad.columns import Unit
from firstgrad.errors import ComparisonError
from firstgrad.profile import Profile
from firstgrad.record import Phase

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from firstgrad.profile import Rewriter
    from firstgrad.record import RewritePass

_TOTALS = (
    ("time_to_first_gradient", "wall_seconds", Unit.SECONDS, "time_to_first_gradient_seconds"),
    ("time_to_first_gradient", "cpu_seconds", Unit.SECONDS, "time_to_first_gradient_cpu_seconds"),
    ("garbage_collection", "wall_seconds", Unit.SECONDS, "gc_seconds"),
)
_COUNTS = (
    ("groups", "groups"),
    ("values", "values"),
    ("nodes", "nodes_before"),
    ("nodes", "nodes_after"),
    ("compiled_units", "compiled_units"),
)
_MEMORY = (
    ("peak", "peak_rss_bytes"),
    ("peak of the children", "children_peak_rss_bytes"),
    ("retained", "retained_bytes"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileDifference:
    """Two profiles and what changed from one to the other.

    Attributes
    ----------
    base, contender : Profile
        Whole.
    notes : tuple of str
        What differs in their conditions, and what could not be compared.
    changes : tuple of Change
        Every number that isn't equal on both sides; of kind ``total`` the equal ones too, where they aren't zero. By
        kind and metric, the largest absolute difference first.
    """

    base: Profile
    contender: Profile
    notes: tuple[str, ...]
    changes: tuple[Change, ...]

    def of_kind(self, kind: ChangeKind, *, noise: bool = False) -> tuple[Change, ...]:
        """Choose the changes of a kind, the largest first; those within noise only where asked for."""
        return tuple(each for each in self.changes if each.kind is kind and (noise or not each.is_noise))


def find_difference(base: Profile, contender: Profile) -> ProfileDifference:
    """Compare two profiles.

    Parameters
    ----------
    base, contender : Profile
        Of any two cases. Units are matched by normalised name and operation, and only where backends are the same.

    Raises
    ------
    ComparisonError
        Where one of them failed before its end: what it lacks would look like what got cheaper.
    """
    for side, profile in (("base", base), ("contender", contender)):
        failure = profile.record.failure
        if failure is not None:
            raise ComparisonError(
                f"the {side} ({profile.record.case}) failed: {failure.kind}: {failure.message}. Its numbers stop "
                "there and can't be compared: profile a case that ends well"
            )
    found = [
        *_totals(base, contender),
        *_phases(base, contender),
        *_passes(base, contender),
        *_rewriters(base, contender),
        *_node_types(base, contender),
        *_units(base, contender),
        *_memory(base, contender),
    ]
    order = {key: number for number, key in enumerate(dict.fromkeys((each.kind, each.metric) for each in found))}
    told = [each for each in found if each.base != each.contender or (each.kind is ChangeKind.TOTAL and each.contender)]
    return ProfileDifference(
        base=base,
        contender=contender,
        notes=find_notes(base, contender),
        changes=tuple(sorted(told, key=lambda each: (order[each.kind, each.metric], -abs(each.difference), each.name))),
    )


def _matched(
    kind: ChangeKind, metric: str, unit: Unit, base: Mapping[str, float], contender: Mapping[str, float]
) -> Iterator[Change]:
    """Match by name; a table that one side lacks altogether was not seen there, and tells nothing."""
    if base and contender:
        for name in dict.fromkeys((*contender, *base)):
            yield make_change(kind, name, metric, unit, base.get(name), contender.get(name))


def _added(pairs: Iterable[tuple[str, float]]) -> dict[str, float]:
    """Add up what has the same name."""
    found: dict[str, float] = {}
    for name, value in pairs:
        found[name] = found.get(name, 0.0) + value
    return found


def _totals(base: Profile, contender: Profile) -> Iterator[Change]:
    for name, metric, unit, field in _TOTALS:
        one, other = (getattr(each.record, field) for each in (base, contender))
        yield make_change(ChangeKind.TOTAL, name, metric, unit, one, other)
    for name, field in _COUNTS:
        one, other = (
            None if each.record.counts is None else float(getattr(each.record.counts, field))
            for each in (base, contender)
        )
        yield make_change(ChangeKind.TOTAL, name, field, Unit.COUNT, one, other)


def _phases(base: Profile, contender: Profile) -> Iterator[Change]:
    for metric in ("wall_seconds", "cpu_seconds"):
        sides = (
            # The length of `evaluate` is how many calls were asked for.
            {str(one.phase): getattr(one, metric) for one in each.record.phases if one.phase is not Phase.EVALUATE}
            for each in (base, contender)
        )
        yield from _matched(ChangeKind.PHASE, metric, Unit.SECONDS, *sides)


def _passes(base: Profile, contender: Profile) -> Iterator[Change]:
    both = [each.record.rewrite_passes for each in (base, contender)]
    seconds = (_added((one.name, one.wall_seconds) for one in passes) for passes in both)
    yield from _matched(ChangeKind.PASS, "wall_seconds", Unit.SECONDS, *seconds)
    added = (_added((one.name, each) for one in passes if (each := _nodes_added(one)) is not None) for passes in both)
    yield from _matched(ChangeKind.PASS, "nodes_added", Unit.COUNT, *added)


def _nodes_added(one: RewritePass) -> float | None:
    """Tell what a pass itself did to the graph: its size after it tells of all passes before it, too."""
    if one.nodes_before is None or one.nodes_after is None:
        return None
    return float(one.nodes_after - one.nodes_before)


def _rewriters(base: Profile, contender: Profile) -> Iterator[Change]:
    both = [each.attribution.rewriters for each in (base, contender)]
    for metric, unit in (("wall_seconds", Unit.SECONDS), ("applied", Unit.COUNT)):
        sides = (_added((_in_pass(one), float(getattr(one, metric))) for one in rewriters) for rewriters in both)
        yield from _matched(ChangeKind.REWRITER, metric, unit, *sides)


def _in_pass(one: Rewriter) -> str:
    return one.name if one.name == one.pass_name else f"{one.pass_name}: {one.name}"


def _node_types(base: Profile, contender: Profile) -> Iterator[Change]:
    for metric in ("before", "after"):
        sides = (
            _added((one.name, float(getattr(one, metric))) for one in each.attribution.node_types)
            for each in (base, contender)
        )
        yield from _matched(ChangeKind.NODE_TYPE, metric, Unit.COUNT, *sides)


def _units(base: Profile, contender: Profile) -> Iterator[Change]:
    if base.record.case.backend is not contender.record.case.backend:
        return
    ours, theirs = base.attribution.units, contender.attribution.units
    both = [group_units(ours, theirs), group_units(theirs, ours)]
    for metric, unit in (("own_seconds", Unit.SECONDS), ("units", Unit.COUNT), ("code_bytes", Unit.BYTES)):
        sides = (
            {name: float(size) for name, one in groups.items() if (size := getattr(one, metric)) is not None}
            for groups in both
        )
        yield from _matched(ChangeKind.UNIT, metric, unit, *sides)


def _memory(base: Profile, contender: Profile) -> Iterator[Change]:
    for name, field in _MEMORY:
        one, other = (getattr(each.record.memory, field, None) for each in (base, contender))
        if one is not None and other is not None:
            yield make_change(ChangeKind.MEMORY, name, "bytes", Unit.BYTES, float(one), float(other))
    sides = (
        {
            f"peak in {one.phase}": float(one.peak_rss_bytes)
            for one in each.record.phases
            if one.peak_rss_bytes is not None
        }
        for each in (base, contender)
    )
    yield from _matched(ChangeKind.MEMORY, "bytes", Unit.BYTES, *sides)
