"""Caches that the user's processes lose: what tells so, what that costs here, and the lines that keep them."""

from __future__ import annotations

import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from firstgrad.advising.advice import ratio_of_times
from firstgrad.case import BackendName, Scenario
from firstgrad.estimates import Estimate

if TYPE_CHECKING:
    from collections.abc import Mapping

    from firstgrad.advising.advice import Advice

_FRESH_SECONDS = 3600.0
_LINES = {
    "jax": (
        "export JAX_COMPILATION_CACHE_DIR=$HOME/.cache/jax",
        "export JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS=0  # else JAX keeps only what took it a second",
    ),
    "firstgrad": (
        "export FIRSTGRAD_CACHE_DIR=$HOME/.firstgrad-functions  # a folder that stays, and is closed to others",
    ),
    "pytensor": ("export PYTENSOR_FLAGS=base_compiledir=$HOME/.pytensor  # a folder that stays",),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What tells whether a compile's cache is going to be there next time."""

    in_ci: bool  # whether this is a run of continuous integration
    in_container: bool
    cache_folder: str  # PyTensor's `base_compiledir`
    cache_doubt: str  # why that folder may not last; '' where nothing is against it
    has_jax_cache: bool  # whether JAX was given a folder

    def reasons(self, kind: str) -> tuple[str, ...]:
        """Say why caches of PyTensor (``pytensor``), of JAX, or of firstgrad itself may be lost between runs."""
        if kind == "jax":
            return () if self.has_jax_cache else ("JAX_COMPILATION_CACHE_DIR is not set, so JAX keeps nothing",)
        reasons = {
            "this is a CI run (CI is set)": self.in_ci,
            "this is a container": self.in_container,
            f"PyTensor's cache folder {self.cache_folder} {self.cache_doubt}": kind == "pytensor" and self.cache_doubt,
        }
        return tuple(reason for reason, holds in reasons.items() if holds)


def look_around(
    environment: Mapping[str, str] = os.environ, *, root: Path = Path("/"), now: float | None = None
) -> Surroundings:
    """Look at the environment variables and a few files; nothing is imported or run.

    Containers leave their marks below `root`: ``.dockerenv``, ``run/.containerenv``.
    """
    flags = environment.get("PYTENSOR_FLAGS", "")
    parts = (part.partition("=") for part in flags.split(","))
    given = next((value.strip() for key, _, value in parts if key.strip() == "base_compiledir"), "")
    folder = Path(given or Path(environment.get("HOME", "~")).expanduser() / ".pytensor")
    return Surroundings(
        in_ci=environment.get("CI", "").lower() not in ("", "0", "false"),
        in_container=any((root / mark).exists() for mark in (".dockerenv", "run/.containerenv")),
        cache_folder=str(folder),
        cache_doubt=_doubt(folder, environment, time.time() if now is None else now),
        has_jax_cache=bool(environment.get("JAX_COMPILATION_CACHE_DIR")),
    )


def _doubt(folder: Path, environment: Mapping[str, str], now: float) -> str:
    temporary = Path(environment.get("TMPDIR", tempfile.gettempdir()))
    if folder.expanduser().is_relative_to(temporary):
        return f"is in {temporary}, which is emptied now and then"
    try:
        # Nothing in the folder is old either: its own time changes with every new entry.
        ages = [now - path.stat().st_mtime for path in (folder, *folder.iterdir())]
    except OSError:
        return "is not there yet"
    if len(ages) == 1:
        return "is empty"
    return "is younger than an hour" if max(ages) < _FRESH_SECONDS else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LostCaches:
    """What the leading choice's processes compile again since nothing is kept, and how it is kept."""

    reasons: tuple[str, ...]  # why they may be lost
    choice: str  # whose
    cold_seconds: float | None  # its first gradient or draw with empty caches; none where that wasn't measured
    warm_over_cold: Estimate | None  # what filled ones leave of it, as measured
    lines: tuple[str, ...]  # for a shell


def find_lost_caches(advice: Advice, surroundings: Surroundings) -> LostCaches | None:
    """Say what it costs that the caches of the choice that leads with empty ones aren't kept; none where they are.

    Nor is anything said where filled caches save nothing for sure.
    """
    cold = advice.of_scenario(Scenario.COLD)
    leader = advice.leader
    if leader is None:
        return None
    backend = leader.choice.backend
    is_own = backend in (BackendName.JAX_DIRECT, BackendName.JAX_QUICK)
    kind = "firstgrad" if is_own else "jax" if str(backend).startswith("jax") else "pytensor"
    if not (reasons := surroundings.reasons(kind)):
        return None
    ratio = None
    if cold is not None and (warm := advice.of_scenario(Scenario.WARM)) is not None:
        for offer in warm.offers:
            if offer.choice == leader.choice:
                ratio = ratio_of_times(offer.firsts, leader.firsts)
    if ratio is not None and ratio.value >= 1:
        return None
    return LostCaches(
        reasons=reasons,
        choice=leader.choice.name,
        cold_seconds=leader.option.first_gradient.value if cold is not None else None,
        warm_over_cold=ratio,
        lines=_LINES[kind],
    )
