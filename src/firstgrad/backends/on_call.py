"""Being told when a Python function is called, by ``sys.monitoring``: nothing is patched, the rest runs as before."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

TOOL_NAME = "firstgrad calls"


def on_call(function: Callable[..., Any], tell: Callable[[], None]) -> bool:
    """Have `tell` called whenever a function begins, until this process ends.

    Events are switched on for this one function only (PEP 669), so that the rest of the program runs as before.

    Parameters
    ----------
    function : callable
        Written in Python.
    tell : callable
        Must be quick and must not raise.

    Returns
    -------
    bool
        False where all of the interpreter's tool numbers are taken, or the function has no code of its own.
    """
    monitoring = sys.monitoring
    code = getattr(function, "__code__", None)
    tool = _claim_tool()
    if code is None or tool is None:
        return False
    tells = _TELLS.setdefault(tool, {})
    tells[code] = tell
    monitoring.register_callback(tool, monitoring.events.PY_START, lambda began, _: tells[began]())
    monitoring.set_local_events(tool, code, monitoring.events.PY_START)
    return True


_TELLS: dict[int, dict[Any, Callable[[], None]]] = {}


def _claim_tool() -> int | None:
    monitoring = sys.monitoring
    for tool in range(6):
        if monitoring.get_tool(tool) == TOOL_NAME:
            return tool
    for tool in range(5, -1, -1):  # the first ones are kept for debuggers and coverage (PEP 669)
        if monitoring.get_tool(tool) is None:
            monitoring.use_tool_id(tool, TOOL_NAME)
            return tool
    return None
