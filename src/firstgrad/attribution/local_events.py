"""Being told when a few chosen Python functions start and return, by ``sys.monitoring`` (Python 3.12 and newer)."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType, FrameType

_TOOL_IDS = (3, 4, 2, 5, 0, 1)
"""In this order: 0, 1, 2 and 5 are by custom those of debuggers, coverage, profilers and optimisers."""
_NAME = "firstgrad"


@dataclass(frozen=True, slots=True)
class _Watch:
    started: Callable[[FrameType], object] | None
    returned: Callable[[FrameType, Any], object] | None


class LocalEvents:
    """A context within which chosen functions tell that they start and return; all others run untouched.

    An exception that leaves such a function sends no event. An exception within a listener never reaches the function
    that is listened to: it is kept in `problems`.

    Attributes
    ----------
    problems : list of str
        What went wrong, once each.
    """

    def __init__(self) -> None:
        self.problems: list[str] = []
        self._watches: dict[CodeType, _Watch] = {}
        self._tool: int | None = None

    def watch(
        self,
        function: Any,
        started: Callable[[FrameType], object] | None = None,
        returned: Callable[[FrameType, Any], object] | None = None,
    ) -> None:
        """Listen to one function, before the context is entered.

        Parameters
        ----------
        function : callable
            Written in Python.
        started, returned : callable, optional
            Called with the function's frame; the latter also with what the function returns.

        Raises
        ------
        AttributeError
            Where it is not written in Python.
        """
        self._watches[function.__code__] = _Watch(started, returned)

    def __enter__(self) -> Self:
        monitoring = sys.monitoring
        free = [each for each in _TOOL_IDS if monitoring.get_tool(each) is None]
        if not free:
            self._note("no free tool id of sys.monitoring: stop another tracer, coverage or debugger of this process")
            return self
        self._tool = free[0]
        monitoring.use_tool_id(self._tool, _NAME)
        events = monitoring.events
        monitoring.register_callback(self._tool, events.PY_START, self._on_start)
        monitoring.register_callback(self._tool, events.PY_RETURN, self._on_return)
        for code, watch in self._watches.items():
            wanted = (events.PY_START if watch.started else 0) | (events.PY_RETURN if watch.returned else 0)
            monitoring.set_local_events(self._tool, code, wanted)
        return self

    def __exit__(self, *_: object) -> None:
        if self._tool is None:
            return
        monitoring, tool = sys.monitoring, self._tool
        self._tool = None
        try:
            for code in self._watches:
                monitoring.set_local_events(tool, code, 0)
            for event in (monitoring.events.PY_START, monitoring.events.PY_RETURN):
                monitoring.register_callback(tool, event, None)
        finally:
            monitoring.free_tool_id(tool)

    def _on_start(self, code: CodeType, _offset: int) -> None:
        watch = self._watches.get(code)
        if watch is not None and watch.started is not None:
            try:
                watch.started(sys._getframe(1))  # noqa: SLF001 - the frame that the event is about
            except Exception as error:  # noqa: BLE001 - the measured code must not see it
                self._note(f"{code.co_qualname}: {type(error).__name__}: {error}")

    def _on_return(self, code: CodeType, _offset: int, value: Any) -> None:
        watch = self._watches.get(code)
        if watch is not None and watch.returned is not None:
            try:
                watch.returned(sys._getframe(1), value)  # noqa: SLF001 - as above
            except Exception as error:  # noqa: BLE001 - as above
                self._note(f"{code.co_qualname}: {type(error).__name__}: {error}")

    def _note(self, text: str) -> None:
        if text not in self.problems:
            self.problems.append(text)
