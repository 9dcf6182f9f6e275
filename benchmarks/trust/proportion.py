"""How often something happened, with an interval."""

from __future__ import annotations

from dataclasses import dataclass

CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class Proportion:
    """A share of trials.

    Attributes
    ----------
    hits, trials : int
        How many of how many.
    """

    hits: int
    trials: int

    def __post_init__(self) -> None:
        if not 0 <= self.hits <= self.trials or not self.trials:
            raise ValueError(f"expected some trials and no more hits, got {self.hits} of {self.trials}")

    @property
    def value(self) -> float:
        """The share."""
        return self.hits / self.trials

    def interval(self, confidence: float = CONFIDENCE) -> tuple[float, float]:
        """Give the exact interval of independent trials (Clopper and Pearson, Biometrika 26, 1934)."""
        from scipy.special import betaincinv

        tail = (1 - confidence) / 2
        low = float(betaincinv(self.hits, self.trials - self.hits + 1, tail)) if self.hits else 0.0
        high = float(betaincinv(self.hits + 1, self.trials - self.hits, 1 - tail)) if self.hits < self.trials else 1.0
        return low, high

    def __str__(self) -> str:
        low, high = self.interval()
        return f"{_percent(self.value)} [{_percent(low)}, {_percent(high)}]"


def _percent(share: float) -> str:
    """Write a percentage that never rounds what happened, or did not, away."""
    if 0 < share < 0.0005 or 0.9995 < share < 1:  # noqa: PLR2004 - what would show as 0.0% and 100.0%
        return f"{share:.2%}"
    return f"{share:.1%}" if share not in {0.0, 1.0} else f"{share:.0%}"
