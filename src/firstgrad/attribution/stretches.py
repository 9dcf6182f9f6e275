"""Stretches of time that were opened and closed one within the other, whatever opened them."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@dataclass(slots=True, eq=False)
class Stretch:
    """One stretch.

    Attributes
    ----------
    kind : str
        What was done, in the words of who opened it.
    subject : object
        With what: a function, a node, a name.
    began_seconds, ended_seconds : float
        By the recorder's clock.
    inner : list of Stretch
        Those within, in order.
    note : object
        What whoever closed it had to add.
    """

    kind: str
    subject: Any
    began_seconds: float
    ended_seconds: float = 0.0
    inner: list[Stretch] = field(default_factory=list)
    note: Any = None

    @property
    def wall_seconds(self) -> float:
        """From its beginning to its end."""
        return self.ended_seconds - self.began_seconds

    @property
    def own_seconds(self) -> float:
        """Without those within; over a whole tree these add up to the root's wall seconds."""
        return self.wall_seconds - sum(each.wall_seconds for each in self.inner)


class StretchRecorder:
    """Makes stretches of what is opened and closed, in one thread; other threads are not listened to.

    A stretch that an exception ended is never closed. It is found out when an outer one closes, or at the end, and
    left out; what was within belongs to the next outer one.

    Parameters
    ----------
    now : callable
        The clock, in seconds.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._thread = threading.get_ident()
        self._roots: list[Stretch] = []
        self._open: list[tuple[object, Stretch]] = []

    @property
    def innermost(self) -> Stretch | None:
        """The one opened last among those still open."""
        return self._open[-1][1] if self._open and self._is_heard() else None

    def open(self, kind: str, token: object, subject: Any = None) -> Stretch | None:
        """Open a stretch within the innermost open one.

        Parameters
        ----------
        kind, subject
            See `Stretch`.
        token : object
            Its identity says which stretch is to be closed; it is held until then.
        """
        if not self._is_heard():
            return None
        stretch = Stretch(kind, subject, self._now())
        self._open.append((token, stretch))
        return stretch

    def close(self, token: object) -> Stretch | None:
        """Close the stretch opened with this token, and give up those opened within and never closed.

        Returns
        -------
        Stretch or None
            None where no such stretch is open.
        """
        now = self._now()
        if not self._is_heard() or not any(token is known for known, _ in self._open):
            return None
        while self._open:
            known, stretch = self._open.pop()
            home = self._open[-1][1].inner if self._open else self._roots
            if known is token:
                stretch.ended_seconds = now
                home.append(stretch)
                return stretch
            home.extend(stretch.inner)
        return None

    def finish(self) -> tuple[Stretch, ...]:
        """Give up what is still open; return the outermost stretches, in order."""
        while self._open:
            _, stretch = self._open.pop()
            (self._open[-1][1].inner if self._open else self._roots).extend(stretch.inner)
        return tuple(self._roots)

    def _is_heard(self) -> bool:
        return threading.get_ident() == self._thread


def walk(roots: tuple[Stretch, ...] | list[Stretch]) -> Iterator[tuple[Stretch, Stretch | None]]:
    """Go through stretches from the outside in, in order of time: each with the one around it."""
    waiting: list[tuple[Stretch, Stretch | None]] = [(each, None) for each in reversed(roots)]
    while waiting:
        stretch, outer = waiting.pop()
        yield stretch, outer
        waiting += [(each, stretch) for each in reversed(stretch.inner)]
