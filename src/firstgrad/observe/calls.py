"""Being told when a few chosen Python functions start and return, by ``sys.monitoring`` (PEP 669).

Nothing is patched, and all other functions run untouched. This is the only place that claims a number there: one for
as long as anything is listened to, and one for each counter.
"""

from __future__ import annotations

import operator
import sys
import weakref
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from time import perf_counter
from types import CodeType
from typing import TYPE_CHECKING, Any, Self

from firstgrad.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

_TOOL_IDS = (3, 4, 2, 5, 0, 1)
"""In this order: 0, 1, 2 and 5 are by custom those of debuggers, coverage, profilers and optimisers."""
_TIMED_AT_FIRST, _NOW_AND_THEN = 100, 1024
_A_TURN, _TIMED_OF_IT = 512, 32
_UNTIMED_IN_A_ROW = 64  # after so many calls whose returns nobody needs, they are not told any more
_PLACES = (sys.monitoring.events.PY_START, sys.monitoring.events.PY_RETURN)


@dataclass(frozen=True, slots=True, eq=False)
class _Watch:
    code: CodeType
    started: Callable[[FrameType], object] | None
    returned: Callable[[FrameType, Any], object] | None
    unwound: Callable[[FrameType, BaseException], object] | None
    note: Callable[[str], None]


class _Monitor:
    """All watches of this process, by the identity of the code that they listen to: its hash takes its whole text."""

    def __init__(self) -> None:
        self._watches: dict[int, list[_Watch]] = {}
        self._tool: int | None = None
        self._hears_unwinding = False

    def add(self, watch: _Watch) -> None:
        """Listen to a function's code; raises `UnavailableError` where no number is free."""
        events = sys.monitoring.events
        if self._tool is None:
            callbacks = ((events.PY_START, self._on_start), (events.PY_RETURN, self._on_return))
            self._tool = _claim(*callbacks, (events.PY_UNWIND, self._on_unwind))
        self._watches.setdefault(id(watch.code), []).append(watch)
        self._switch(watch.code)

    def remove(self, watch: _Watch, *, keeps_number: bool = False) -> None:
        """Listen no more; the number is given back with the last watch."""
        watches = self._watches.get(id(watch.code), [])
        if watch in watches:
            watches.remove(watch)
            self._switch(watch.code)
            if not watches:
                del self._watches[id(watch.code)]
        if self._tool is not None and not (self._watches or keeps_number):
            tool, self._tool = self._tool, None
            _free(tool)

    def _switch(self, code: CodeType) -> None:
        if self._tool is not None:
            events, watches = sys.monitoring.events, self._watches[id(code)]
            wanted = events.PY_START * any(watch.started for watch in watches)
            wanted |= events.PY_RETURN * any(watch.returned for watch in watches)
            sys.monitoring.set_local_events(self._tool, code, wanted)
            unwinding = any(watch.unwound for others in self._watches.values() for watch in others)
            if unwinding is not self._hears_unwinding:
                self._hears_unwinding = unwinding  # an event of all code or of none: a compile sends some 5000
                sys.monitoring.set_events(self._tool, events.PY_UNWIND * unwinding)

    def _on_start(self, code: CodeType, _offset: int) -> None:
        self._tell(code, "started", sys._getframe(1))  # noqa: SLF001 - the frame that the event is about

    def _on_return(self, code: CodeType, _offset: int, value: Any) -> None:
        self._tell(code, "returned", sys._getframe(1), value)  # noqa: SLF001 - as above

    def _on_unwind(self, code: CodeType, _offset: int, error: BaseException) -> None:
        if id(code) in self._watches:
            self._tell(code, "unwound", sys._getframe(1), error)  # noqa: SLF001 - as above

    def _tell(self, code: CodeType, event: str, *news: Any) -> None:
        for watch in tuple(self._watches.get(id(code), ())):
            if (tell := getattr(watch, event)) is not None:
                try:
                    tell(*news)
                except Exception as error:  # noqa: BLE001 - the measured code must not see it
                    watch.note(f"{code.co_qualname}: {type(error).__name__}: {error}")


_MONITOR = _Monitor()


def _claim(*callbacks: tuple[int, Callable[..., object]]) -> int:
    """Take a free number, and have these events told; raises `UnavailableError` where there is none."""
    tool = next((number for number in _TOOL_IDS if sys.monitoring.get_tool(number) is None), None)
    if tool is None:
        raise UnavailableError(
            "no free tool id of sys.monitoring: stop another tracer, coverage or debugger of this process"
        )
    sys.monitoring.use_tool_id(tool, "firstgrad")
    for event, callback in callbacks:
        sys.monitoring.register_callback(tool, event, callback)
    return tool


def _free(tool: int) -> None:
    """Give a number back, with all that it was told."""
    sys.monitoring.set_events(tool, 0)
    for event in (*_PLACES, sys.monitoring.events.PY_UNWIND):
        sys.monitoring.register_callback(tool, event, None)
    sys.monitoring.free_tool_id(tool)


@dataclass(slots=True)
class FunctionEvents:
    """A context within which chosen functions tell that they start, that they return, that an exception leaves them.

    An exception within a listener never reaches the function that is listened to: it is kept in `problems`, once.
    """

    problems: list[str] = field(default_factory=list)
    _watches: list[_Watch] = field(default_factory=list)

    def watch(
        self,
        function: Any,
        started: Callable[[FrameType], object] | None = None,
        returned: Callable[[FrameType, Any], object] | None = None,
        unwound: Callable[[FrameType, BaseException], object] | None = None,
    ) -> None:
        """Listen to one function written in Python, to that of a frame, or to its code.

        All are called with its frame, `returned` with its value, and `unwound` with the exception, too.
        """
        is_code = isinstance(function, CodeType)
        code = function if is_code else getattr(function, "f_code", None) or function.__code__
        self._watches.append(_Watch(code, started, returned, unwound, self._note))

    def __enter__(self) -> Self:
        try:
            for watch in self._watches:
                _MONITOR.add(watch)
        except UnavailableError as error:
            self._note(str(error))
        return self

    def __exit__(self, *_: object) -> None:
        for watch in self._watches:
            _MONITOR.remove(watch)

    def _note(self, text: str) -> None:
        if text not in self.problems:
            self.problems.append(text)


def frames_around(frame: FrameType) -> Iterator[FrameType]:
    """Walk outwards from a frame, itself left out."""
    while (outer := frame.f_back) is not None:
        yield outer
        frame = outer


def on_call(function: Any, tell: Callable[[], None]) -> bool:
    """Have `tell` called whenever a function begins, until this process ends; False where that can't be."""
    events = FunctionEvents()
    with suppress(AttributeError):  # not written in Python
        events.watch(function, started=lambda _: tell())
        return not events.__enter__().problems
    return False


def on_first_return(function: Any, tell: Callable[[Any], None]) -> FunctionEvents:
    """Make a context within which `tell` is called once, with what the function returns first."""
    events = FunctionEvents()

    def returned(_frame: FrameType, value: Any) -> None:
        for watch in events._watches:  # noqa: SLF001 - made here
            _MONITOR.remove(watch, keeps_number=True)
        tell(value)

    events.watch(function, returned=returned)
    return events


class CallTotal:
    """Counts every call of a function written in Python, in all threads; what listeners do isn't counted.

    A cache that keeps nothing is the one thing of Python's that counts its own calls in C: a miss each.
    """

    def __init__(self) -> None:
        self._count = lru_cache(maxsize=0)(operator.is_)
        self._tool: int | None = None

    def attach(self) -> None:
        """Begin to count; raises `UnavailableError` where no number is free."""
        event = sys.monitoring.events.PY_START
        self._tool = _claim((event, self._count))
        sys.monitoring.set_events(self._tool, event)

    def read(self) -> int:
        """Tell how many there were so far."""
        return self._count.cache_info().misses

    def detach(self) -> None:
        """Count no more, and give the number back."""
        if self._tool is not None:
            _free(self._tool)
            self._tool = None


@dataclass(slots=True, eq=False)
class CountedCalls:
    """How often one object's method was called; `timed` of these calls took `timed_seconds`."""

    key: Any
    calls: int = 0
    timed: int = 0
    timed_seconds: float = 0.0

    @property
    def seconds(self) -> float:
        """What all calls took, told by those that were timed."""
        return self.timed_seconds * self.calls / self.timed if self.timed else 0.0


class CallCounter:
    """Counts each call of one method by its object, and times the first hundred and 32 of 512 later ones.

    It costs a fraction of a microsecond a call, so it has a number of ``sys.monitoring`` of its own, and hears returns
    only while it times. The first call of an
    object isn't counted: `began` is told of it instead, with the object's key, and `ended` of what that returned.
    `now_and_then` is called every 1024 calls.
    """

    def __init__(
        self,
        method: Any,
        began: Callable[[Any, FrameType], Any],
        ended: Callable[[Any], object],
        now_and_then: Callable[[], object] = lambda: None,
    ) -> None:
        self._code: CodeType = method.__code__
        self._began, self._ended, self._now_and_then = began, ended, now_and_then
        self._counted: dict[int, tuple[CountedCalls, object]] = {}
        self._gone: list[CountedCalls] = []
        self._new: dict[int, Any] = {}  # keys of objects not called yet
        self._running: dict[int, tuple[CountedCalls | None, Any]] = {}
        """By the identity of a running call's frame: its count and when it began; of a first call, what is ended."""
        self._tool: int | None = None
        self._untimed = 0  # in a row
        self._hears_returns = False

    def attach(self) -> None:
        """Begin to count; raises `UnavailableError` where no number is free."""
        events = sys.monitoring.events
        self._tool = _claim((events.PY_START, self._on_start), (events.PY_RETURN, self._on_return))
        self._hear_returns(hears=True)

    def _hear_returns(self, *, hears: bool) -> None:
        if self._tool is not None:
            events, self._hears_returns = sys.monitoring.events, hears
            sys.monitoring.set_local_events(self._tool, self._code, events.PY_START | events.PY_RETURN * hears)

    def detach(self) -> None:
        """Count no more, and give the number back."""
        if self._tool is not None:
            sys.monitoring.set_local_events(self._tool, self._code, 0)
            _free(self._tool)
            self._tool = None

    def add(self, owner: object, part: object, key: Any) -> None:
        """Count the calls of this object from now on, until its part, which can be referred to weakly, is gone."""
        place, counted = id(owner), CountedCalls(key)
        self._forget(place)  # one that had this place before
        self._counted[place] = counted, weakref.ref(part, lambda _: self._forget(place, counted))
        self._new[place] = key

    def key_of(self, owner: object) -> Any:
        """Look up the key under which an object is counted; none where it isn't."""
        counted, _ = self._counted.get(id(owner), (None, None))
        return None if counted is None else counted.key

    def counts(self) -> list[CountedCalls]:
        """List what was called more than once."""
        everything = [*self._gone, *(counted for counted, _ in self._counted.values())]
        return [counted for counted in everything if counted.calls]

    def restart(self) -> None:
        """Count from zero: in a forked child."""
        self._gone.clear()
        self._running.clear()
        for counted, _ in self._counted.values():
            counted.calls = counted.timed = 0
            counted.timed_seconds = 0.0

    def unwound(self, frame: FrameType, _error: BaseException) -> None:
        """Take note of a call that an exception left: whoever listens to exceptions tells."""
        self._finish(self._running.pop(id(frame), None), None)

    def _forget(self, place: int, only: CountedCalls | None = None) -> None:
        counted, _ = self._counted.get(place, (None, None))
        if counted is not None and only in (None, counted):
            del self._counted[place]
            self._new.pop(place, None)
            if counted.calls:
                self._gone.append(counted)

    def _on_start(self, _code: CodeType, _offset: int) -> None:
        frame = sys._getframe(1)  # noqa: SLF001 - the frame that the event is about
        place = id(frame.f_locals["self"])
        known = self._counted.get(place)
        if known is None:
            return
        counted = known[0]
        if self._new and place in self._new:
            self._time()
            with suppress(Exception):  # the measured code must not see it
                self._running[id(frame)] = None, self._began(self._new.pop(place), frame)
            return
        counted.calls = calls = counted.calls + 1
        if calls <= _TIMED_AT_FIRST or calls % _A_TURN < _TIMED_OF_IT:
            if not calls % _NOW_AND_THEN:
                with suppress(Exception):  # as above
                    self._now_and_then()
            self._time()
            self._running[id(frame)] = counted, perf_counter()
        elif self._hears_returns:
            self._untimed += 1
            if self._untimed >= _UNTIMED_IN_A_ROW and not self._running:
                self._hear_returns(hears=False)

    def _time(self) -> None:
        """See to it that the return of the call that begins is heard."""
        self._untimed = 0
        if not self._hears_returns:
            self._hear_returns(hears=True)

    def _on_return(self, _code: CodeType, _offset: int, _value: object) -> None:
        if self._running:
            now = perf_counter()
            self._finish(self._running.pop(id(sys._getframe(1)), None), now)  # noqa: SLF001 - as above

    def _finish(self, call: tuple[CountedCalls | None, Any] | None, now: float | None) -> None:
        if call is None:
            return
        counted, began = call
        if counted is None:
            with suppress(Exception):  # as above
                self._ended(began)
        elif now is not None:
            counted.timed += 1
            counted.timed_seconds += now - began
