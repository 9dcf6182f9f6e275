"""What a remedy is: how it is recognised, what it would save here, how it is done."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from firstgrad.analysis.advice import Advice
    from firstgrad.analysis.advice_ratio import Ratio
    from firstgrad.analysis.remedies.evidence import Evidence
    from firstgrad.analysis.remedies.surroundings import Surroundings
    from firstgrad.model import Model
    from firstgrad.record import Record


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


class Basis(StrEnum):
    """Where a saving comes from: ``measured`` on this model; ``estimate``: from a measured case that is like it."""

    MEASURED = "measured"
    ESTIMATE = "estimate"


@dataclass(frozen=True, slots=True, kw_only=True)
class Saving:
    """What a remedy leaves of a time.

    Attributes
    ----------
    basis : Basis
        Measured here, or an estimate.
    ratio : Ratio
        Time with the remedy by time without.
    whole_seconds : float, optional
        That time of this model's planned work without the remedy; none where it isn't known.
    of_what : str
        Which time, and of which case, in words; of an estimate with the command that measures it.
    """

    basis: Basis
    ratio: Ratio
    whole_seconds: float | None
    of_what: str

    @property
    def seconds(self) -> tuple[float, float, float] | None:
        """What it saves of this model's planned work, least and most; negative where it costs."""
        if self.whole_seconds is None:
            return None
        ratio = self.ratio
        value, least, most = ((1 - each) * self.whole_seconds for each in (ratio.value, ratio.high, ratio.low))
        return value, least, most

    @property
    def is_sure(self) -> bool:
        """Whether the samples tell that it changes anything."""
        return not self.ratio.low <= 1 <= self.ratio.high


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A remedy that fits.

    Attributes
    ----------
    remedy : RemedyName
        Which.
    because : str
        What it was recognised by.
    how : str
        What to do.
    savings : tuple of Saving
        What it would save; empty where it isn't seconds that are gained.
    instead : str
        What is gained instead of seconds; '' where savings tell.
    """

    remedy: RemedyName
    because: str
    how: str
    savings: tuple[Saving, ...] = ()
    instead: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """What remedies look at.

    Attributes
    ----------
    model : Model
        As it was given.
    records : tuple of Record
        Samples of it and of its other formulation, good and bad, of equal conditions.
    advice : Advice
        What was made of them.
    surroundings : Surroundings
        Where the user's processes run.
    evidence : tuple of Evidence
        Measured cases.
    """

    model: Model
    records: tuple[Record, ...]
    advice: Advice
    surroundings: Surroundings
    evidence: tuple[Evidence, ...]

    def samples_of_model(self) -> Sequence[Record]:
        """List the samples of the model as it was given, whichever backend and scenario."""
        return [each for each in self.records if each.case.model == self.model]

    def evidence_of(self, remedy: RemedyName, metric: str) -> Evidence | None:
        """Find the measured case that backs a remedy."""
        return next((each for each in self.evidence if each.remedy == remedy and each.metric == metric), None)


class Remedy(Protocol):
    """One entry of the catalogue."""

    @property
    def name(self) -> RemedyName:
        """Which."""

    def find(self, situation: Situation) -> Finding | None:
        """Recognise it; none where it doesn't fit."""
