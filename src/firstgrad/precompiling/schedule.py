"""Which unit can be compiled next: those whose types are known, each once however many nodes it serves.

Who would be idle compiles ahead: a unit by the types that it is likely to be called with.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

type Takes = tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedUnit:
    """What can be compiled by itself."""

    name: str
    key: str  # two with one key that take the same types are one; '' where no cache keeps it
    takes: tuple[str, ...] = ()  # names of what it is called with
    gives: tuple[str, ...] = ()  # names of what it returns
    closes: bool = False
    """Whether it calls all those before it, and so is compiled last."""

    @property
    def kind(self) -> str:
        """What it does, without its number."""
        return self.name.rstrip("_0123456789")


class Schedule:
    """Hands out units, the first first, and takes back what types they gave.

    `types` are those that no unit gives, by name; `likely` those that units are likely to give.
    """

    def __init__(self, units: Sequence[PlannedUnit], types: Mapping[str, str], likely: Mapping[str, str]) -> None:
        self._units, self._types, self._likely = units, dict(types), dict(likely)
        self._made: dict[tuple[str, Takes], Takes] = {}
        self._making: dict[tuple[str, Takes], list[int]] = {}
        self._unlikely: set[tuple[str, Takes]] = set()
        self._lacking: dict[int, set[str]] = {}
        self._waiting_for: dict[str, list[int]] = defaultdict(list)
        self._ready: list[int] = []
        self._doers: dict[str, int] = {}
        for number, unit in enumerate(units):
            if unit.closes:
                continue
            self._lacking[number] = {name for name in unit.takes if name not in self._types}
            for name in self._lacking[number]:
                self._waiting_for[name].append(number)
            if not self._lacking[number]:
                self._ready.append(number)

    @property
    def left(self) -> tuple[int, ...]:
        """Units that aren't there yet, the closing ones apart."""
        return tuple(self._lacking)

    def takes(self, number: int) -> Takes:
        """Return the types that a unit is called with, all of them known."""
        return tuple(self._types[name] for name in self._units[number].takes)

    def next(self, doer: int, *, ahead: bool = True) -> tuple[int, Takes] | None:
        """Return the number of a unit to compile, and for which types; None where nothing is left to begin.

        With `ahead` also one whose types aren't known yet.

        Units of one kind go to one doer as long as there is other work: they share what Numba compiles within them.
        """
        while there := [number for number in self._ready if self._is_there(number)]:  # which may make others ready
            self._ready = [number for number in self._ready if number not in there]
        ready = [(number, self.takes(number)) for number in sorted(self._ready)]
        likely = list(self._find_likely()) if ahead else []
        for choices in (ready, likely):
            for number, takes in choices:
                if self._doers.get(self._units[number].kind, doer) == doer:
                    return self._begin(number, takes, doer)
        number, takes = next(iter(ready or likely), (-1, ()))
        return self._begin(number, takes, doer) if number >= 0 else None

    def _begin(self, number: int, takes: Takes, doer: int) -> tuple[int, Takes]:
        if number in self._ready:
            self._ready.remove(number)
        self._making[self._identity(number, takes)] = []
        self._doers.setdefault(self._units[number].kind, doer)
        return number, takes

    def _is_there(self, number: int) -> bool:
        """Whether a ready unit is there, or will be, by another's name."""
        identity = self._identity(number, self.takes(number))
        if identity in self._made:
            self._give(number, self._made[identity])
        elif identity in self._making:
            self._making[identity].append(number)
        else:
            return False
        return True

    def _find_likely(self) -> Iterator[tuple[int, Takes]]:
        known = self._likely | self._types
        for number, lacking in self._lacking.items():
            names = self._units[number].takes
            if not lacking or any(name not in known for name in names):
                continue
            takes = tuple(known[name] for name in names)
            identity = self._identity(number, takes)
            if not (identity in self._made or identity in self._making or identity in self._unlikely):
                yield number, takes

    def made(self, number: int, takes: Takes, gives: Takes) -> None:
        """Take the types that a unit gave for those that it took."""
        identity = self._identity(number, takes)
        self._made[identity] = gives
        waiting = self._making.pop(identity)
        if self._is_known(number, takes):
            waiting.append(number)
        else:
            self._likely |= zip(self._units[number].gives, gives, strict=True)
        for one in waiting:
            self._give(one, gives)

    def failed(self, number: int, takes: Takes) -> bool:
        """Note that a unit can't be compiled for these types; say whether it is called with them."""
        identity = self._identity(number, takes)
        self._unlikely.add(identity)
        waiting = self._making.pop(identity)
        return bool(waiting) or self._is_known(number, takes)

    def _is_known(self, number: int, takes: Takes) -> bool:
        return number in self._lacking and not self._lacking[number] and self.takes(number) == takes

    def _give(self, number: int, gives: Takes) -> None:
        if self._lacking.pop(number, None) is None:
            return
        for name, kind in zip(self._units[number].gives, gives, strict=True):
            self._types[name] = kind
            for one in self._waiting_for.pop(name, ()):
                self._lacking[one].discard(name)
                if not self._lacking[one]:
                    self._ready.append(one)

    def _identity(self, number: int, takes: Takes) -> tuple[str, Takes]:
        return self._units[number].key or f"only {number}", takes
