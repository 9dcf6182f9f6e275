"""Which of some files were read: by their access times, or by audit events where the file system keeps none."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

_EARLIER_NANOSECONDS = 10**9


class AccessTimes:
    """Counts files whose access time moved.

    Each file's access time is first set to a second before its modification: even a file system that updates access
    times only now and then (``relatime``, the usual) updates one that is older than that. A second, not more:
    PyTensor throws away what it takes for long unused.
    """

    def __init__(self) -> None:
        self._armed: dict[str, int] = {}

    def begin(self, files: Iterable[str]) -> None:
        """Start counting reads of these files."""
        self._armed = {name: arm(name) for name in files}

    def end(self) -> int:
        """Say how many of them were read."""
        return sum(1 for name, armed in self._armed.items() if Path(name).exists() and _access_time(name) != armed)


class AuditedReads:
    """Counts files that Python opened for reading or imported; dear, since a hook hears every audit event."""

    def __init__(self) -> None:
        self._files: frozenset[str] = frozenset()
        self._read: set[str] = set()
        self._is_counting = False
        self._is_hooked = False

    def begin(self, files: Iterable[str]) -> None:
        """Start counting reads of these files."""
        self._files, self._read, self._is_counting = frozenset(files), set(), True
        if self._files and not self._is_hooked:
            self._is_hooked = True
            sys.addaudithook(self._on_audit)

    def end(self) -> int:
        """Say how many of them were read."""
        self._is_counting = False
        return len(self._read)

    def _on_audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        # This runs for every audit event of the process: leave as early as possible, and never raise.
        if not self._is_counting or event not in ("open", "import"):
            return
        place = arguments[0] if event == "open" else arguments[1]
        if event == "open" and isinstance(arguments[1], str) and "r" not in arguments[1]:
            return
        if isinstance(place, str | Path) and str(place) in self._files:
            self._read.add(str(place))


def keeps_access_times(folder: Path) -> bool:
    """Try whether reading a file in this folder moves its access time."""
    probe = folder / "access-time-probe"
    probe.write_bytes(b"read me")
    try:
        armed = arm(str(probe))
        probe.read_bytes()
        return _access_time(str(probe)) != armed
    finally:
        probe.unlink()


def arm(name: str) -> int:
    """Set a file's access time before its modification, so that the next read moves it. Returns the time set."""
    modified = Path(name).stat().st_mtime_ns
    os.utime(name, ns=(modified - _EARLIER_NANOSECONDS, modified))
    return _access_time(name)


def _access_time(name: str) -> int:
    return Path(name).stat().st_atime_ns
