"""Former runs of the user's own compiles: a small file of JSON lines in the user's cache folder."""

from __future__ import annotations

import json
import math
import os
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_RUNS = 1000
"""The file keeps at most about so many runs, the newest; one line is some 120 bytes."""

RUNS_OF_ONE = 20
"""So many former runs of one model count."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A compile that came to its end.

    Attributes
    ----------
    key : str
        Of which model, or from which place in the user's code.
    seconds : float
        How long it took, sampling not counted.
    backend : str
        ``c``, ``numba``, ``jax``, '' where none was seen.
    compiled : int, optional
        How many units were compiled; none where nobody counted.
    is_cache_first : bool, optional
        Whether the first unit came from a disk cache; none where that was not seen.
    """

    key: str
    seconds: float
    backend: str = ""
    compiled: int | None = None
    is_cache_first: bool | None = None


def default_path() -> Path:
    """Return where former runs are kept: below ``$XDG_CACHE_HOME``, or ``~/.cache``.

    Raises
    ------
    RuntimeError
        Where the user has no home: a container's user without a name.
    """
    base = os.environ.get("XDG_CACHE_HOME", "")
    folder = Path(base) if os.path.isabs(base) else Path.home() / ".cache"  # noqa: PTH117 - '' is no path
    return folder / "firstgrad" / "compiles.jsonl"


class History:
    """Former runs. What cannot be read or written is silently not there: a display must not stop a compile.

    Parameters
    ----------
    path : Path
        The file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def runs(self, key: str) -> tuple[Run, ...]:
        """Read the newest runs of a model, oldest first, at most `RUNS_OF_ONE`."""
        return tuple(run for run in self._all() if run.key == key)[-RUNS_OF_ONE:]

    def add(self, run: Run) -> None:
        """Keep a run; drop the oldest ones where the file has grown too long."""
        with suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("a", encoding="utf-8") as file:
                file.write(f"{json.dumps(asdict(run))}\n")
            lines = self._path.read_text(encoding="utf-8", errors="replace").splitlines()
            if len(lines) > MAX_RUNS:
                shorter = self._path.with_name(f"{self._path.name}.{os.getpid()}")
                shorter.write_text("\n".join(lines[-MAX_RUNS // 2 :]) + "\n", encoding="utf-8")
                shorter.replace(self._path)

    def _all(self) -> Iterator[Run]:
        try:
            text = self._path.read_text(encoding="utf-8", errors="replace")
        except OSError:
            return
        for line in text.splitlines():
            with suppress(ValueError, TypeError, KeyError, OverflowError):
                yield _run(json.loads(line))


def _run(fields: dict[str, Any]) -> Run:
    compiled, is_cache_first = fields["compiled"], fields["is_cache_first"]
    if not math.isfinite(fields["seconds"]):
        raise ValueError("seconds without an end")
    return Run(
        key=str(fields["key"]),
        seconds=float(fields["seconds"]),
        backend=str(fields["backend"]),
        compiled=None if compiled is None else int(compiled),
        is_cache_first=None if is_cache_first is None else bool(is_cache_first),
    )
