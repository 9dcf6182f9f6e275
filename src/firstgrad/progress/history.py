"""Former runs of the user's own compiles, and how long this one may still take.

They are kept in a small file of JSON lines in the user's cache folder; what ``firstgrad measure`` stored counts, too.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import statistics
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from firstgrad.measuring.private import open_regular
from firstgrad.observe.disk_cache import user_cache_folder

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_RUNS = 1000  # the file keeps at most about so many runs, the newest; one line is some 120 bytes

_MAX_CHARACTERS = 1 << 20

RUNS_OF_ONE = 20  # so many former runs of one model count

_BUSY_SECONDS = 1.0  # so long the user's compile waits at most for a store that others write to


@dataclass(frozen=True, slots=True, kw_only=True)
class FormerRun:
    """A compile that came to its end."""

    key: str  # of which model, or from which place in the user's code
    seconds: float  # sampling not counted
    backend: str = ""  # '' where none was seen
    device: str = "cpu"  # on which JAX ran; '' where that was not seen
    compiled: int | None = None  # units; none where nobody counted
    is_cache_first: bool | None = None  # whether the first unit came from a disk cache; none where that was not seen

    def __post_init__(self) -> None:
        if not math.isfinite(self.seconds) or not isinstance(self.compiled, int | None):
            raise ValueError("no number of seconds or units")


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectedTime:
    """How long former runs still took from here on: the median of the remainders, and the extremes."""

    seconds: float
    low_seconds: float
    high_seconds: float
    runs: int


def expect(
    runs: Iterable[FormerRun],
    *,
    elapsed_seconds: float,
    backend: str = "",
    device: str = "",
    compiled: int = 0,
    is_cache_first: bool | None = None,
) -> ExpectedTime | None:
    """Expect a remaining time; none where no former run tells.

    Of the former runs those count that lasted longer than what has elapsed, on the same backend and device, and that
    agree about the cache: they compiled no fewer units than were compiled so far, and their first unit was compiled, or
    came from a cache, as this one's. While the device is not known, runs of several tell nothing.
    """
    alike = [
        run
        for run in runs
        if run.seconds > elapsed_seconds
        and (not backend or not run.backend or run.backend == backend)
        and (not device or run.backend != "jax" or run.device == device)
        and (run.compiled is None or run.compiled >= compiled)
        and (None in (run.is_cache_first, is_cache_first) or run.is_cache_first == is_cache_first)
    ]
    if len({run.device for run in alike}) != 1:
        return None
    left = sorted(run.seconds - elapsed_seconds for run in alike)
    return ExpectedTime(seconds=statistics.median(left), low_seconds=left[0], high_seconds=left[-1], runs=len(left))


def default_path() -> Path:
    """Return where former runs are kept; raise RuntimeError where the user has no home: one without a name."""
    return user_cache_folder() / "compiles.jsonl"


class History:
    """A file of former runs. What can't be read or written is silently not there: a display must not stop a compile."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def runs(self, key: str) -> tuple[FormerRun, ...]:
        """Read the newest runs of a model, oldest first, at most `RUNS_OF_ONE`."""
        runs = []
        for line in self._lines():
            with suppress(ValueError, TypeError):
                # Without a device it is a line of a former release, which may have run on any.
                runs.append(FormerRun(**{"device": ""} | json.loads(line)))
        return tuple(run for run in runs if run.key == key)[-RUNS_OF_ONE:]

    def add(self, run: FormerRun) -> None:
        """Keep a run; drop the oldest ones where the file has grown too long."""
        with suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with open(self._path, "a", encoding="utf-8", opener=open_regular) as file:
                file.write(f"{json.dumps(asdict(run))}\n")
            lines = self._lines()
            if len(lines) > MAX_RUNS:
                shorter = self._path.with_name(f"{self._path.name}.{os.getpid()}")
                shorter.write_text("\n".join(lines[-MAX_RUNS // 2 :]) + "\n", encoding="utf-8")
                shorter.replace(self._path)

    def _lines(self) -> list[str]:
        with (
            suppress(OSError),
            open(self._path, encoding="utf-8", errors="replace", opener=open_regular) as file,
        ):
            return file.read(_MAX_CHARACTERS).splitlines()
        return []


def measured_runs(reference: str, path: Path | str | None = None) -> tuple[FormerRun, ...]:
    """Read what ``firstgrad measure`` stored of a model, oldest first; nothing where there is no store."""
    from firstgrad.errors import StoreError
    from firstgrad.store import DEFAULT_PATH

    path = path or DEFAULT_PATH
    if not Path(path).is_file():
        return ()
    from firstgrad.store.store import Store

    samples: list[dict[str, Any]] = []
    with suppress(StoreError), Store.open(path, busy_timeout_seconds=_BUSY_SECONDS) as store:
        samples += store.cells(reference=reference)
    return tuple(
        FormerRun(
            key=reference,
            seconds=sample["time_to_first_gradient"],
            backend=sample["backend"],
            device=sample["device"],
            compiled=None if sample["compiled_units"] is None else int(sample["compiled_units"]),
        )
        for sample in samples
        if sample["time_to_first_gradient"] is not None and not sample["reason"] and sample["scenario"] != "hot"
    )


def model_key(model: Any) -> str:
    """Name a model by its value variables (names, dtypes, static shapes) and how many terms it has; '' for no model."""
    with suppress(Exception):
        parts = [
            f"{var.name} {getattr(var.type, 'dtype', '')} {getattr(var.type, 'shape', '')}" for var in model.value_vars
        ]
        parts += [f"{model.name}", f"{len(model.potentials)} potentials"]
        parts += [f"{rv.name} {_observed_shape(model, rv)}" for rv in model.observed_RVs]
        return f"model {hashlib.sha256('\n'.join(parts).encode()).hexdigest()[:16]}"
    return ""


def place_key(file: str, line: int) -> str:
    """Name the place of a ``with`` statement; '' where it has no name of its own, as in ``python -c``."""
    # A notebook's cell has one of its code's digest, in a folder of its kernel's number, which changes.
    return "" if file.startswith("<") else f"place {re.sub(r'^.*/ipykernel_[0-9]+/', 'ipykernel/', file)}:{line}"


def _observed_shape(model: Any, rv: Any) -> str:
    with suppress(Exception):
        return str(model.rvs_to_values[rv].type.shape)
    return ""  # not static
