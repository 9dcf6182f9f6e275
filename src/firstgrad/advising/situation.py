"""What remedies look at: the samples and their advice, the surroundings, and the measured cases that back remedies."""

from __future__ import annotations

import os
import tempfile
import time
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from firstgrad.advising.workload import Counted
from firstgrad.case import Scenario
from firstgrad.estimates import Estimate

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from firstgrad.advising.advice import Advice, Offer
    from firstgrad.model import Model
    from firstgrad.record import Record

MEASURED_PATH = Path(__file__).with_name("measured.json")
"""Shipped with the package; ``benchmarks.remedies.run`` writes it."""
COMMAND = "python -m benchmarks.remedies.run"
FIRST_GRADIENT, EVALUATION = "time_to_first_gradient_cpu", "evaluation"
"""What ratios are made of: processor seconds, since other users of a machine change them least."""
WHAT = {FIRST_GRADIENT: "first gradient (CPU time)", EVALUATION: "evaluation"}
_FRESH_SECONDS = 3600.0


class RemedyName(StrEnum):
    """The closed list of known remedies."""

    MASK_FIRST = "mask_first"
    VECTORISE = "vectorise"
    ROLL_LOOPS = "roll_loops"
    SCAN_NOT_TREE = "scan_not_tree"
    KEEP_CACHES = "keep_caches"
    ONE_GRADIENT = "one_gradient"
    EXCLUDE_REWRITES = "exclude_rewrites"
    FAST_COMPILE = "fast_compile"


# --- measured cases -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """A measured ratio."""

    remedy: RemedyName  # which it backs
    metric: str
    ratio: Estimate  # with the remedy by without
    case: str  # the case without it, in words
    versions: tuple[tuple[str, str], ...]
    measured_on: str  # date and machine


def load_evidence() -> tuple[Evidence, ...]:
    """Read what is shipped."""
    from firstgrad.codec import from_json

    return from_json(MEASURED_PATH.read_text(), tuple[Evidence, ...])


# --- where the user's processes run -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What tells whether a compile's cache is going to be there next time."""

    in_ci: bool  # whether this is a run of continuous integration
    in_container: bool
    cache_folder: str  # PyTensor's `base_compiledir`
    cache_doubt: str  # why that folder may not last; '' where nothing is against it
    flags: str  # ``PYTENSOR_FLAGS``
    has_jax_cache: bool  # whether JAX was given a folder

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why caches may be lost between runs."""
        reasons = {
            "this is a CI run (CI is set)": self.in_ci,
            "this is a container": self.in_container,
            f"PyTensor's cache folder {self.cache_folder} {self.cache_doubt}": bool(self.cache_doubt),
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
        flags=flags,
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


# --- all of it ----------------------------------------------------------------------------------------------------


class Basis(StrEnum):
    """Where a saving comes from: ``measured`` on this model; ``estimate``: from a measured case that is like it."""

    MEASURED = "measured"
    ESTIMATE = "estimate"


@dataclass(frozen=True, slots=True, kw_only=True)
class Saving:
    """What a remedy leaves of a time."""

    basis: Basis
    ratio: Estimate  # time with the remedy by time without
    whole_seconds: float | None  # that time of this model's planned work without the remedy; none where it isn't known
    of_what: str  # which time, and of which case, in words; of an estimate with the command that measures it

    @property
    def saved_seconds(self) -> tuple[float, float, float] | None:
        """What it saves of this model's planned work, least and most; negative where it costs."""
        if self.whole_seconds is None:
            return None
        value, least, most = (
            (1 - left) * self.whole_seconds for left in (self.ratio.value, self.ratio.high, self.ratio.low)
        )
        return value, least, most

    @property
    def is_sure(self) -> bool:
        """Whether the samples tell that it changes anything."""
        return not self.ratio.low <= 1 <= self.ratio.high


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """What remedies look at."""

    model: Model  # as it was given
    records: tuple[Record, ...]  # samples of it and of its other formulation, good and bad, of equal conditions
    advice: Advice
    surroundings: Surroundings
    evidence: tuple[Evidence, ...]

    def samples_of_model(self) -> Sequence[Record]:
        """List the samples of the model as it was given, whichever backend and scenario."""
        return [record for record in self.records if record.case.model == self.model]

    def evidence_of(self, remedy: RemedyName, metric: str) -> Evidence | None:
        """Find the measured case that backs a remedy."""
        return next((one for one in self.evidence if one.remedy == remedy and one.metric == metric), None)

    def own_offer(self) -> Offer | None:
        """Find the best cold offer of the model in the formulation in which it was given; warm where there is none."""
        pose = self.model.pose
        formulation = str(pose.formulation) if pose else ""
        for scenario in (Scenario.COLD, Scenario.WARM):
            advice = self.advice.of_scenario(scenario)
            for offer in advice.offers if advice else ():
                if offer.choice.sampler or offer.choice.formulation == formulation:
                    return offer
        return None

    def estimate_savings(
        self, remedy: RemedyName, metrics: tuple[str, ...] = (FIRST_GRADIENT, EVALUATION)
    ) -> tuple[Saving, ...]:
        """Estimate what a remedy leaves of a cold first gradient and of an evaluation; empty without evidence."""
        savings = []
        own = self.own_offer()
        for metric in metrics:
            evidence = self.evidence_of(remedy, metric)
            if evidence is None:
                continue
            whole = None
            # What helps one backend need not help another: no seconds where the case was measured on one.
            # Nor does it leave as much of a first draw, in which more is compiled.
            is_gradient = self.advice.workload.counted is Counted.EVALUATIONS
            if own is not None and is_gradient and f", {own.choice.backend}, " in evidence.case:
                calls = self.advice.workload.in_a_row * own.option.evaluation.value
                whole = own.option.first_gradient.value if metric == FIRST_GRADIENT else calls
            savings.append(
                Saving(
                    basis=Basis.ESTIMATE,
                    ratio=evidence.ratio,
                    whole_seconds=whole,
                    of_what=f"{WHAT[metric]} of {evidence.case} ({evidence.measured_on}; {COMMAND})",
                )
            )
        return tuple(savings)
