"""Where a user's processes run: in CI, in a container, with which cache folder."""

from __future__ import annotations

import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_FRESH_SECONDS = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What tells whether a compile's cache is going to be there next time.

    Attributes
    ----------
    in_ci, in_container : bool
        Whether this is a run of continuous integration, or a container.
    cache_folder : str
        PyTensor's `base_compiledir`.
    cache_doubt : str
        Why that folder may not last; '' where nothing is against it.
    flags : str
        ``PYTENSOR_FLAGS``.
    has_jax_cache : bool
        Whether JAX was given a folder.
    """

    in_ci: bool
    in_container: bool
    cache_folder: str
    cache_doubt: str
    flags: str
    has_jax_cache: bool

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why caches may be lost between runs."""
        found = []
        if self.in_ci:
            found.append("this is a CI run (CI is set)")
        if self.in_container:
            found.append("this is a container")
        if self.cache_doubt:
            found.append(f"PyTensor's cache folder {self.cache_folder} {self.cache_doubt}")
        return tuple(found)


def look_around(
    environment: Mapping[str, str] = os.environ, *, root: Path = Path("/"), now: float | None = None
) -> Surroundings:
    """Look at the environment variables and a few files; nothing is imported or run.

    Parameters
    ----------
    environment : mapping of str to str
        Environment variables.
    root : Path
        Where containers leave their marks (``.dockerenv``, ``run/.containerenv``).
    now : float, optional
        Seconds since 1970; now where left out.
    """
    flags = environment.get("PYTENSOR_FLAGS", "")
    folder = Path(_flag(flags, "base_compiledir") or Path(environment.get("HOME", "~")).expanduser() / ".pytensor")
    return Surroundings(
        in_ci=environment.get("CI", "").lower() not in ("", "0", "false"),
        in_container=any((root / mark).exists() for mark in (".dockerenv", "run/.containerenv")),
        cache_folder=str(folder),
        cache_doubt=_doubt(folder, environment, time.time() if now is None else now),
        flags=flags,
        has_jax_cache=bool(environment.get("JAX_COMPILATION_CACHE_DIR")),
    )


def _flag(flags: str, name: str) -> str:
    for part in flags.split(","):
        key, _, value = part.strip().partition("=")
        if key.strip() == name:
            return value.strip()
    return ""


def _doubt(folder: Path, environment: Mapping[str, str], now: float) -> str:
    temporary = Path(environment.get("TMPDIR", tempfile.gettempdir()))
    if folder.expanduser().is_relative_to(temporary):
        return f"is in {temporary}, which is emptied now and then"
    try:
        age_seconds = now - folder.stat().st_mtime
        is_empty = not any(folder.iterdir())
    except OSError:
        return "is not there yet"
    if is_empty:
        return "is empty"
    return "is younger than an hour" if age_seconds < _FRESH_SECONDS and _is_young(folder, now) else ""


def _is_young(folder: Path, now: float) -> bool:
    """Whether nothing in the folder is old: its own time changes with every new entry."""
    return all(now - each.stat().st_mtime < _FRESH_SECONDS for each in folder.iterdir())
