"""How many units were compiled: by each package's own public events, taken back at the end.

A counter waits until its package has been imported by someone else; it never imports anything heavy itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from firstgrad.errors import UnavailableError
from firstgrad.observe import probes
from firstgrad.observe.events import UnitKind
from firstgrad.observe.listeners import count_c_modules, listen_jax, listen_numba
from firstgrad.progress.snapshot import Units

if TYPE_CHECKING:
    from collections.abc import Callable

    from firstgrad.observe.probes import Probe


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
    """C modules, from the statistics of PyTensor's module cache: they are looked at, not listened to."""

    problem = ""

    def __init__(self) -> None:
        self._at_start: tuple[int, int] | None = None

    def attach(self) -> bool:
        """Note what was counted before."""
        if self._at_start is None:
            self._at_start = count_c_modules() or (0, 0)
        return True

    def detach(self) -> None:
        """Nothing was attached."""

    def units(self) -> Units | None:
        """Count what was compiled and what was loaded from the disk or found in memory."""
        totals = count_c_modules()
        if totals is None or self._at_start is None:
            return None
        compiled, cached = (now - before for now, before in zip(totals, self._at_start, strict=True))
        return Units(kind=UnitKind.C_MODULE, compiled=compiled, from_cache=cached)


class _Listening:
    """Listens to events once their package is there."""

    _first: Probe
    _refused: str

    def __init__(self) -> None:
        self._undo: Callable[[], None] | None = None
        self._compiled = self._from_cache = 0
        self.problem = ""

    def attach(self) -> bool:
        """Register the listeners where the package is imported."""
        if self._undo is None and not self.problem and self._first.is_near():
            try:
                self._undo = self._listen()
            except (UnavailableError, AttributeError, TypeError, ValueError):
                self.problem = self._refused
        return self._undo is not None

    def detach(self) -> None:
        """Take the listeners away."""
        if self._undo is not None:
            self._undo()
            self._undo = None

    def _listen(self) -> Callable[[], None]:
        raise NotImplementedError

    def _compiled_one(self) -> None:
        self._compiled += 1


class NumbaFunctions(_Listening):
    """Jitted functions, by Numba's event ``numba:compile``; one that comes from a cache sends no event."""

    _first = probes.NUMBA_LISTENER
    _refused = "this release of Numba does not tell of its compiles"

    def units(self) -> Units | None:
        """Count the compiles that ended."""
        return Units(kind=UnitKind.JITTED_FUNCTION, compiled=self._compiled) if self._undo else None

    def _listen(self) -> Callable[[], None]:
        return listen_numba(lambda _: None, lambda _: self._compiled_one())


class XlaModules(_Listening):
    """Modules of XLA, by JAX's monitoring events; only where JAX lets a listener go again."""

    _first = probes.JAX_ON_DURATION
    _refused = "this release of JAX lets no listener go again, so its modules are not counted"

    def units(self) -> Units | None:
        """Count what XLA compiled and what JAX's disk cache had."""
        if self._undo is None:
            return None
        compiled = max(self._compiled - self._from_cache, 0)
        return Units(kind=UnitKind.XLA_MODULE, compiled=compiled, from_cache=self._from_cache)

    def _listen(self) -> Callable[[], None]:
        return listen_jax(self._timed, self._told)

    def _timed(self, step: str, _seconds: float, _function: str) -> None:
        if step == "compile":
            self._compiled += 1

    def _told(self, event: str) -> None:
        if event == probes.JAX_CACHE_HIT:
            self._from_cache += 1


def make_counters() -> tuple[Counter, ...]:
    """Make a counter of each kind."""
    return (CModules(), NumbaFunctions(), XlaModules())
