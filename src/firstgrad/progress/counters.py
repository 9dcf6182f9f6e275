"""How many units were compiled: by each package's own public events, taken back at the end.

A counter waits until its package has been imported by someone else; it never imports anything heavy itself.
"""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from firstgrad.profile import UnitKind
from firstgrad.progress.snapshot import Units

if TYPE_CHECKING:
    from collections.abc import Callable

_XLA_COMPILED = "/jax/core/compile/backend_compile_duration"
_XLA_FROM_CACHE = "/jax/compilation_cache/cache_hits"


class Counter(Protocol):
    """Counts the units of one kind in this process."""

    def attach(self) -> bool:
        """Begin to listen if the package is there by now; say whether it listens. Cheap, and may be called often."""

    def detach(self) -> None:
        """Listen no longer; leaves no trace."""

    def units(self) -> Units | None:
        """Count since `attach`; none where nothing is known."""

    @property
    def problem(self) -> str:
        """Why this release cannot be counted; '' where it can."""


class CModules:
    """C modules, from the statistics of PyTensor's module cache.

    They are looked at, not listened to; a cache that PyTensor has not opened yet is left alone, as to ask for it
    makes PyTensor scan its folder.
    """

    problem = ""

    def __init__(self) -> None:
        self._at_start: tuple[int, int] | None = None

    def attach(self) -> bool:
        """Note what was counted before."""
        if self._at_start is None:
            self._at_start = self._totals() or (0, 0)
        return True

    def detach(self) -> None:
        """Nothing was attached."""

    def units(self) -> Units | None:
        """Count what was compiled and what was loaded from the disk or found in memory."""
        totals = self._totals()
        if totals is None or self._at_start is None:
            return None
        compiled, cached = (now - before for now, before in zip(totals, self._at_start, strict=True))
        return Units(kind=UnitKind.C_MODULE, compiled=compiled, from_cache=cached)

    def _totals(self) -> tuple[int, int] | None:
        module = sys.modules.get("pytensor.link.c.cmodule")
        cache = getattr(module, "_module_cache", None)
        stats = getattr(cache, "stats", None)
        if not (isinstance(stats, list) and len(stats) == 3):  # noqa: PLR2004 - found, loaded, compiled
            return None
        return int(stats[2]), int(stats[1])


class NumbaFunctions:
    """Jitted functions, by Numba's event ``numba:compile``; one that comes from a cache sends no event."""

    def __init__(self) -> None:
        self._undo: Callable[[], None] | None = None
        self._compiled = 0
        self.problem = ""

    def attach(self) -> bool:
        """Register the listener where Numba is imported."""
        if self._undo is None and not self.problem and _is_imported("numba.core.event"):
            event = sys.modules["numba.core.event"]
            try:
                listener = _numba_listener(event, self._count)
                event.register("numba:compile", listener)
            except (AttributeError, TypeError, ValueError):
                self.problem = "this release of Numba does not tell of its compiles"
                return False
            self._undo = lambda: event.unregister("numba:compile", listener)
        return self._undo is not None

    def detach(self) -> None:
        """Take the listener away."""
        if self._undo is not None:
            self._undo()
            self._undo = None

    def units(self) -> Units | None:
        """Count the compiles that ended."""
        return Units(kind=UnitKind.JITTED_FUNCTION, compiled=self._compiled) if self._undo else None

    def _count(self) -> None:
        self._compiled += 1


class XlaModules:
    """Modules of XLA, by JAX's monitoring events; only where JAX lets a listener go again."""

    def __init__(self) -> None:
        self._undo: list[Callable[[], None]] = []
        self._compiled = self._from_cache = 0
        self.problem = ""

    def attach(self) -> bool:
        """Register the two listeners where JAX is imported."""
        if self._undo or self.problem or not _is_imported("jax.monitoring"):
            return bool(self._undo)
        monitoring = sys.modules["jax.monitoring"]
        wanted = (
            ("register_event_duration_secs_listener", "unregister_event_duration_listener", self._duration),
            ("register_event_listener", "unregister_event_listener", self._event),
        )
        for pair in wanted:
            if not all(hasattr(monitoring, name) for name in pair[:2]):
                self.problem = "this release of JAX lets no listener go again, so its modules are not counted"
                return False
        for register, unregister, listener in wanted:
            getattr(monitoring, register)(listener)
            self._undo.append(partial(getattr(monitoring, unregister), listener))
        return True

    def detach(self) -> None:
        """Take the listeners away."""
        while self._undo:
            self._undo.pop()()

    def units(self) -> Units | None:
        """Count what XLA compiled and what JAX's disk cache had."""
        if not self._undo:
            return None
        return Units(
            kind=UnitKind.XLA_MODULE,
            compiled=max(self._compiled - self._from_cache, 0),
            from_cache=self._from_cache,
        )

    def _duration(self, event: str, duration: float, **_: Any) -> None:
        del duration
        if event == _XLA_COMPILED:
            self._compiled += 1

    def _event(self, event: str, **_: Any) -> None:
        if event == _XLA_FROM_CACHE:
            self._from_cache += 1


def make_counters() -> tuple[Counter, ...]:
    """Make a counter of each kind."""
    return (CModules(), NumbaFunctions(), XlaModules())


def _is_imported(module: str) -> bool:
    """Whether a module's import has ended: half of one is no place to register anything."""
    found = sys.modules.get(module)
    spec = getattr(found, "__spec__", None)
    return found is not None and not getattr(spec, "_initializing", False)


def _numba_listener(event: Any, count: Callable[[], None]) -> Any:
    class Listener(event.Listener):  # type: ignore[misc]  # Numba has no types
        """Counts; must not hold the compile up."""

        def on_start(self, event: Any) -> None:
            """Wait for the end."""

        def on_end(self, event: Any) -> None:  # noqa: ARG002 - Numba passes it
            """Count."""
            count()

    return Listener()
