"""The proof of a scenario: which cache entries were read and written, counted on the files themselves."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from firstgrad.backends import all_facts
from firstgrad.case import Scenario
from firstgrad.measure.reads import AccessTimes, AuditedReads, keeps_access_times
from firstgrad.record import CacheUse

if TYPE_CHECKING:
    from pathlib import Path

_ENTRY_SUFFIXES = tuple(suffix for facts in all_facts() for suffix in facts.cache_suffixes)
"""One file a compiled unit: a C module, a function of Numba's, an executable of JAX's."""


class CacheWatch:
    """Watches one folder of caches from within the process that uses it.

    Writes are counted by listing the folder, reads by the files' access times, so no compiler needs to be patched or
    believed, and the measured process pays nothing. (Python's audit events would tell of reads too, but a hook
    is called for every ``id()``, of which PyTensor does millions: it made compiles 30 to 40% dearer.)

    Parameters
    ----------
    root : Path
        Folder of all private caches.
    """

    def __init__(self, root: Path) -> None:
        self._root = root.resolve()
        self._reads = AccessTimes() if keeps_access_times(self._root) else AuditedReads()
        self._known: dict[str, int] = {}
        self._before: dict[str, int] = {}

    def remember(self) -> int:
        """Take what is there now for the entries that an earlier compile left. Returns how many they are."""
        self._known = self._entries()
        return len(self._known)

    def begin(self) -> None:
        """Start counting reads of the remembered entries, and writes."""
        self._before = self._entries()
        self._reads.begin(self._known)

    def end(self, scenario: Scenario) -> CacheUse:
        """Stop counting and compare with what the scenario promises.

        Returns
        -------
        CacheUse
            With a reason where the numbers contradict the scenario.
        """
        read = self._reads.end()
        written = {name: size for name, size in self._entries().items() if name not in self._before}
        use = CacheUse(
            entries_before=len(self._known),
            entries_read=read,
            entries_written=len(written),
            bytes_written=sum(written.values()),
        )
        return replace(use, contradiction=contradiction(scenario, use))

    def _entries(self) -> dict[str, int]:
        found = {}
        for path in self._root.rglob("*"):
            if path.name.endswith(_ENTRY_SUFFIXES) and path.is_file():
                found[str(path)] = path.stat().st_size
        return found


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
