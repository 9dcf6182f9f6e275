"""What a reader of two profiles must know before looking at their numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from firstgrad.compare.sides import find_differences
from firstgrad.record import Doubt
from firstgrad.row import axes_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from firstgrad.case import Case
    from firstgrad.model import Model
    from firstgrad.profile import Profile


def find_notes(base: Profile, contender: Profile) -> tuple[str, ...]:
    """Say what is compared, what differs besides, and which tables only one side has.

    Returns
    -------
    tuple of str
        A sentence each. Warnings begin with "warning:".
    """
    return (*_compared(base, contender), *_conditions(base, contender), *_tables(base, contender))


def _compared(base: Profile, contender: Profile) -> Iterator[str]:
    differing = {
        name: sides for name, sides in _sides(base.record.case, contender.record.case).items() if len(set(sides)) > 1
    }
    for name, (one, other) in differing.items():
        yield f"compared: {name}: {one} (base) with {other} (contender)"
    if not differing:
        yield "both are of one case: what differs is chance, or a change of what is installed or measured"
    if len(differing) > 1:
        yield f"warning: {', '.join(differing)} differ at once: no change below can be put down to one of them"
    if "backend" in differing:
        yield "units are not matched: each backend compiles units of its own kind"


def _sides(base: Case, contender: Case) -> dict[str, tuple[str, str]]:
    return {
        "model": _describe(base.model, contender.model),
        "backend": (base.backend, contender.backend),
        "target": (base.target, contender.target),
        "scenario": (base.scenario, contender.scenario),
    }


def _describe(*models: Model) -> tuple[str, str]:
    """Describe two models; where they read alike and are not, with what the short line leaves out."""
    base, contender = (str(each) for each in models)
    if base == contender and models[0] != models[1]:
        ours, theirs = (dict(axes_of(each)) for each in models)
        hidden = [name for name in ours if ours[name] != theirs.get(name)]
        base, contender = (
            f"{text} {', '.join(f'{name}={axes[name]}' for name in hidden)}"
            for text, axes in ((base, ours), (contender, theirs))
        )
    return base, contender


def _conditions(base: Profile, contender: Profile) -> Iterator[str]:
    found = find_differences([((base.record,), (contender.record,))])
    for each in found:
        yield f"warning: {each.field} is {each.base} in the base and {each.head} in the contender"
    for side, profile in (("base", base), ("contender", contender)):
        if Doubt.HIGH_LOAD in profile.record.doubts:
            yield f"warning: the machine was busy before the {side}: compare counts, not seconds"
    if any(each.field.startswith("host.") for each in found):
        yield "warning: the hosts are not the same machine: compare counts, not seconds"


def _tables(base: Profile, contender: Profile) -> Iterator[str]:
    both = (base, contender)
    tables: list[tuple[str, list[bool]]] = [
        ("passes", [bool(each.record.rewrite_passes) for each in both]),
        ("rewriters", [bool(each.attribution.rewriters) for each in both]),
        ("types of operations", [bool(each.attribution.node_types) for each in both]),
    ]
    if base.record.case.backend is contender.record.case.backend:
        tables.append(("units", [bool(each.attribution.units) for each in both]))
    for name, (one, other) in tables:
        if one != other:
            yield f"{name} are known of the {'base' if one else 'contender'} alone: not compared"
