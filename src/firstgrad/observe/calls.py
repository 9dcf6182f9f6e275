"""Being told when a few chosen Python functions start and return, by ``sys.monitoring`` (PEP 669).

Nothing is patched, and all other functions run untouched. This is the only place that claims a number there: one, for
as long as anything is listened to.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from firstgrad.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import CodeType, FrameType

_TOOL_IDS = (3, 4, 2, 5, 0, 1)
"""In this order: 0, 1, 2 and 5 are by custom those of debuggers, coverage, profilers and optimisers."""


@dataclass(frozen=True, slots=True, eq=False)
class _Watch:
    started: Callable[[FrameType], object] | None
    returned: Callable[[FrameType, Any], object] | None
    note: Callable[[str], None]


class _Monitor:
    """All watches of this process, by the code that they listen to."""

    def __init__(self) -> None:
        self._watches: dict[CodeType, list[_Watch]] = {}
        self._tool: int | None = None

    def add(self, code: CodeType, watch: _Watch) -> None:
        """Listen to a function's code; raises `UnavailableError` where no number is free."""
        monitoring = sys.monitoring
        if self._tool is None:
            tool = next((number for number in _TOOL_IDS if monitoring.get_tool(number) is None), None)
            if tool is None:
                raise UnavailableError(
                    "no free tool id of sys.monitoring: stop another tracer, coverage or debugger of this process"
                )
            monitoring.use_tool_id(tool, "firstgrad")
            monitoring.register_callback(tool, monitoring.events.PY_START, self._on_start)
            monitoring.register_callback(tool, monitoring.events.PY_RETURN, self._on_return)
            self._tool = tool
        self._watches.setdefault(code, []).append(watch)
        self._switch(code)

    def remove(self, code: CodeType, watch: _Watch, *, keeps_number: bool = False) -> None:
        """Listen no more; the number is given back with the last watch."""
        watches = self._watches.get(code, [])
        if watch in watches:
            watches.remove(watch)
            self._switch(code)
            if not watches:
                del self._watches[code]
        if self._tool is not None and not (self._watches or keeps_number):
            tool, self._tool = self._tool, None
            for event in (sys.monitoring.events.PY_START, sys.monitoring.events.PY_RETURN):
                sys.monitoring.register_callback(tool, event, None)
            sys.monitoring.free_tool_id(tool)

    def _switch(self, code: CodeType) -> None:
        if self._tool is not None:
            events, watches = sys.monitoring.events, self._watches[code]
            wanted = events.PY_START * any(watch.started for watch in watches)
            wanted |= events.PY_RETURN * any(watch.returned for watch in watches)
            sys.monitoring.set_local_events(self._tool, code, wanted)

    def _on_start(self, code: CodeType, _offset: int) -> None:
        self._tell(code, "started", sys._getframe(1))  # noqa: SLF001 - the frame that the event is about

    def _on_return(self, code: CodeType, _offset: int, value: Any) -> None:
        self._tell(code, "returned", sys._getframe(1), value)  # noqa: SLF001 - as above

    def _tell(self, code: CodeType, event: str, *news: Any) -> None:
        for watch in tuple(self._watches.get(code, ())):
            if (tell := getattr(watch, event)) is not None:
                try:
                    tell(*news)
                except Exception as error:  # noqa: BLE001 - the measured code must not see it
                    watch.note(f"{code.co_qualname}: {type(error).__name__}: {error}")


_MONITOR = _Monitor()


@dataclass(slots=True)
class FunctionEvents:
    """A context within which chosen functions tell that they start and return.

    An exception that leaves such a function sends no event. An exception within a listener never reaches the function
    that is listened to: it is kept in `problems`, once.
    """

    problems: list[str] = field(default_factory=list)
    _watches: list[tuple[CodeType, _Watch]] = field(default_factory=list)

    def watch(
        self,
        function: Any,
        started: Callable[[FrameType], object] | None = None,
        returned: Callable[[FrameType, Any], object] | None = None,
    ) -> None:
        """Listen to one function written in Python; both are called with its frame, `returned` with its value, too."""
        self._watches.append((function.__code__, _Watch(started, returned, self._note)))

    def __enter__(self) -> Self:
        try:
            for code, watch in self._watches:
                _MONITOR.add(code, watch)
        except UnavailableError as error:
            self._note(str(error))
        return self

    def __exit__(self, *_: object) -> None:
        for code, watch in self._watches:
            _MONITOR.remove(code, watch)

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
        for code, watch in events._watches:  # noqa: SLF001 - made here
            _MONITOR.remove(code, watch, keeps_number=True)
        tell(value)

    events.watch(function, returned=returned)
    return events
