"""The proof of a scenario: which cache entries were read and written, counted on the files themselves."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from firstgrad.case import Scenario
from firstgrad.record import CacheUse

_ENTRY_SUFFIXES = (".so", ".pyd", ".dylib", ".nbc", "-cache")
"""One file a compiled unit: a C module, a function of Numba's, an executable of JAX's."""


class CacheWatch:
    """Watches one folder of caches from within the process that uses it.

    Reads are counted by Python's audit events (``open``, and ``import`` for extension modules), writes by
    listing the folder, so no compiler needs to be patched or believed.

    Parameters
    ----------
    root : Path
        Folder of all private caches.
    """

    def __init__(self, root: Path) -> None:
        self._root = str(root.resolve())
        self._known: dict[str, int] = {}
        self._before: dict[str, int] = {}
        self._read: set[str] = set()
        self._is_counting = False
        sys.addaudithook(self._on_audit)

    def remember(self) -> int:
        """Take what is there now for the entries that an earlier compile left. Returns how many they are."""
        self._known = self._entries()
        return len(self._known)

    def begin(self) -> None:
        """Start counting reads of the remembered entries, and writes."""
        self._before = self._entries()
        self._read.clear()
        self._is_counting = True

    def end(self, scenario: Scenario) -> CacheUse:
        """Stop counting and compare with what the scenario promises.

        Returns
        -------
        CacheUse
            With a reason where the numbers contradict the scenario.
        """
        self._is_counting = False
        after = self._entries()
        written = {name: size for name, size in after.items() if name not in self._before}
        use = CacheUse(
            entries_before=len(self._known),
            entries_read=len(self._read),
            entries_written=len(written),
            bytes_written=sum(written.values()),
        )
        return replace(use, contradiction=contradiction(scenario, use))

    def _entries(self) -> dict[str, int]:
        found = {}
        for path in Path(self._root).rglob("*"):
            if path.name.endswith(_ENTRY_SUFFIXES) and path.is_file():
                found[str(path)] = path.stat().st_size
        return found

    def _on_audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        # This runs for every audit event of the process: leave as early as possible, and never raise.
        if not self._is_counting or event not in ("open", "import"):
            return
        place = arguments[0] if event == "open" else arguments[1]
        if event == "open" and isinstance(arguments[1], str) and "r" not in arguments[1]:
            return
        if isinstance(place, str | Path) and str(place) in self._known:
            self._read.add(str(place))


def contradiction(scenario: Scenario, use: CacheUse) -> str | None:
    """Say why counts contradict a scenario; none where they prove it."""
    before, read, written = use.entries_before, use.entries_read, use.entries_written
    reasons = {
        Scenario.COLD: (
            (before > 0, f"cold, but {before} entries were there at the start"),
            (read > 0, f"cold, but {read} entries were read from the cache"),
            (written == 0, "cold, but nothing was written to the cache: was a different cache used?"),
        ),
        Scenario.WARM: (
            (read == 0, "warm, but nothing was read from the cache"),
            (written > 0, f"warm, but {written} entries were written: the cache was not complete"),
        ),
        Scenario.HOT: ((written > 0, f"hot, but {written} entries were written to the cache"),),
    }
    return next((reason for holds, reason in reasons[scenario] if holds), None)
