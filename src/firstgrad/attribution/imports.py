"""What importing packages took, module by module, put together by package."""

from __future__ import annotations

import importlib
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from firstgrad.attribution.stretches import walk
from firstgrad.profile import ImportTime, Span, SpanKind

if TYPE_CHECKING:
    from types import FrameType

    from firstgrad.attribution.stretches import Stretch, StretchRecorder
    from firstgrad.observe.calls import FunctionEvents

MOST_PACKAGES = 30
THE_REST = "(other packages)"
"""Own seconds of all packages that are not listed."""
NO_IMPORT = "(no import)"
"""What the block did beside importing: building C helpers, starting JAX's client."""
_SHORTEST_SPAN_SECONDS = 1e-3


def watch_imports(events: FunctionEvents, recorder: StretchRecorder) -> None:
    """Record each module's import.

    The import system holds a lock per module, by a context manager of its own, from before it looks for the module
    until the module is executed or has failed: its two methods are what is listened to.

    Raises
    ------
    AttributeError
        Where this Python's import system does not have it.
    """
    manager: Any = importlib._bootstrap._ModuleLockManager  # type: ignore[attr-defined]  # noqa: SLF001 - see above

    def began(frame: FrameType) -> None:
        lock = frame.f_locals["self"]
        recorder.open("import", lock, lock._name)  # noqa: SLF001 - it has no other name

    def ended(frame: FrameType) -> None:
        recorder.close(frame.f_locals["self"])

    events.watch(manager.__enter__, started=began)
    events.watch(manager.__exit__, started=ended)


def sum_imports(
    roots: tuple[Stretch, ...], whole_seconds: float, *, most: int = MOST_PACKAGES
) -> tuple[ImportTime, ...]:
    """Put modules together by top-level package.

    Parameters
    ----------
    roots : tuple of Stretch
        Of `watch_imports`.
    whole_seconds : float
        Length of the watched block.
    most : int
        How many packages are listed.

    Returns
    -------
    tuple of ImportTime
        Largest own seconds first, then `THE_REST` and `NO_IMPORT`; own seconds add up to `whole_seconds`.
        Inclusive seconds are those of imports that no other module of the same package asked for.
    """
    if not roots:
        return ()
    own: defaultdict[str, float] = defaultdict(float)
    wall: defaultdict[str, float] = defaultdict(float)
    around: dict[int, frozenset[str]] = {}
    for stretch, outer in walk(roots):
        package = _package(stretch)
        packages = around[id(outer)] if outer is not None else frozenset()
        own[package] += stretch.own_seconds
        if package not in packages:
            wall[package] += stretch.wall_seconds
        around[id(stretch)] = packages | {package}
    ordered = sorted(own, key=lambda name: -own[name])
    rest = sum(own[name] for name in ordered[most:])
    beside = max(whole_seconds - sum(each.wall_seconds for each in roots), 0.0)
    return (
        *(ImportTime(name=name, own_seconds=own[name], wall_seconds=wall[name]) for name in ordered[:most]),
        *([ImportTime(name=THE_REST, own_seconds=rest, wall_seconds=rest)] if rest > 0 else ()),
        ImportTime(name=NO_IMPORT, own_seconds=beside, wall_seconds=beside),
    )


def import_spans(roots: tuple[Stretch, ...]) -> tuple[Span, ...]:
    """Make a span of each module that took a millisecond or longer."""
    return tuple(
        Span(
            kind=SpanKind.IMPORT,
            name=str(stretch.subject),
            began_seconds=stretch.began_seconds,
            wall_seconds=stretch.wall_seconds,
        )
        for stretch, _ in walk(roots)
        if stretch.wall_seconds >= _SHORTEST_SPAN_SECONDS
    )


def _package(stretch: Stretch) -> str:
    return str(stretch.subject).partition(".")[0]
