"""Cache entries on the disk: which were read and written, counted on the files themselves; the proof of a scenario.

Writes are counted by listing the folder, reads by the access times of files that nobody wrote anew, so no compiler
needs to be patched or believed, and the measured process pays nothing. (Python's audit events would tell of reads too,
but a hook is called for every ``id()``, of which PyTensor does millions: it made compiles 30 to 40% slower. They serve
where a file system keeps no access times.)
"""

from __future__ import annotations

import os
import re
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from firstgrad.case import Scenario
from firstgrad.record import CacheUse

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheEntry:
    """How a compiler keeps a unit in its cache; another file there isn't the compiler's."""

    name: str  # a regular expression, of the whole name of its file
    beside: str = ""  # the file that the compiler puts beside it, with groups of `name` as `re.Match.expand` takes them

    def is_at(self, path: Path) -> bool:
        """Whether an entry lies there."""
        match = re.fullmatch(self.name, path.name)
        return match is not None and (not self.beside or path.with_name(match.expand(self.beside)).is_file())


def user_cache_folder() -> Path:
    """Return where firstgrad keeps what is the user's own; raise RuntimeError where they have no name and no home."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if os.path.isabs(base) else Path.home() / ".cache") / "firstgrad"  # noqa: PTH117 - '' is no path


class AccessTimes:
    """Counts files whose access time moved.

    Each file's access time is first set to a second before its modification: even a file system that updates access
    times only now and then (``relatime``, the usual) updates one that is older than that. A second, not more:
    PyTensor throws away what it takes for long unused.
    """

    def __init__(self) -> None:
        self._armed: dict[str, tuple[_Content, int]] = {}

    def begin(self, files: Iterable[str]) -> None:
        """Start counting reads of these files."""
        self._armed = {name: (_content(Path(name).stat()), arm(name)) for name in files}

    def end(self) -> int:
        """Say how many of them were read; one that was replaced has a new access time without being read."""
        return sum(_was_read(Path(name), content, armed) for name, (content, armed) in self._armed.items())


def _was_read(path: Path, content: _Content, armed: int) -> bool:
    if not path.exists():
        return False
    now = path.stat()
    return _content(now) == content and now.st_atime_ns != armed


class AuditedReads:
    """Counts files that Python opened for reading or imported; slow, since a hook hears every audit event."""

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


type _Content = tuple[int, int]


def _content(status: os.stat_result) -> _Content:
    """Tell one content of a file from the next, as it is written over or replaced: Numba and JAX replace."""
    return status.st_ino, status.st_mtime_ns


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
    os.utime(name, ns=(modified - 10**9, modified))
    return _access_time(name)


def _access_time(name: str) -> int:
    return Path(name).stat().st_atime_ns


class CacheWatch:
    """Watches a folder of caches from within its process; `kinds` say what in it is a compiled unit.

    A file that a model puts there is none, unless it is made up like one, with all that a compiler puts beside it.
    """

    def __init__(self, root: Path, kinds: tuple[CacheEntry, ...]) -> None:
        self._root, self._kinds = root.resolve(), kinds
        self._reads = AccessTimes() if keeps_access_times(self._root) else AuditedReads()
        self._known: dict[str, os.stat_result] = {}
        self._before: dict[str, os.stat_result] = {}

    def remember(self) -> int:
        """Take what is there now for the entries that an earlier compile left. Returns how many they are."""
        self._known = self._entries()
        return len(self._known)

    def begin(self) -> None:
        """Start counting reads of the remembered entries, and writes."""
        self._before = self._entries()
        self._reads.begin(self._known)

    def end(self, scenario: Scenario, *, keeps_all: bool = True) -> CacheUse:
        """Stop counting; say with a reason where the numbers contradict what the scenario promises.

        Of what isn't kept of every model (`keeps_all`), nothing need be written.
        """
        read = self._reads.end()
        before = {name: _content(status) for name, status in self._before.items()}
        written = [status for name, status in self._entries().items() if _content(status) != before.get(name)]
        use = CacheUse(
            entries_before=len(self._known),
            entries_read=read,
            entries_written=len(written),
            bytes_written=sum(status.st_size for status in written),
        )
        return replace(use, contradiction=contradiction(scenario, use, keeps_all=keeps_all))

    def _entries(self) -> dict[str, os.stat_result]:
        paths = (path for path in self._root.rglob("*") if any(kind.is_at(path) for kind in self._kinds))
        entries = {str(path): path.stat() for path in paths if path.is_file()}
        return {name: status for name, status in entries.items() if status.st_size}


def contradiction(scenario: Scenario, use: CacheUse, *, keeps_all: bool = True) -> str | None:
    """Say why counts contradict a scenario; none where they prove it."""
    before, read, written = use.entries_before, use.entries_read, use.entries_written
    reasons = {
        Scenario.COLD: (
            (before > 0, f"cold, but {before} entries were there at the start"),
            (read > 0, f"cold, but {read} entries were read from the cache"),
            (keeps_all and written == 0, "cold, but nothing was written to the cache: was a different cache used?"),
        ),
        Scenario.WARM: (
            (read == 0, "warm, but nothing was read from the cache"),
            (written > 0, f"warm, but {written} entries were written: the cache was not complete"),
        ),
        Scenario.HOT: ((written > 0, f"hot, but {written} entries were written to the cache"),),
    }
    return next((reason for holds, reason in reasons[scenario] if holds), None)
