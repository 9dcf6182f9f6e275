"""A growth law: what is fitted to a metric along a size, and what comes out, with intervals."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from firstgrad.analysis.cliffs import Cliff
    from firstgrad.analysis.growth_profile import Profile
    from firstgrad.analysis.growth_verdict import GrowthVerdict

CONFIDENCE = 0.95
"""Of every interval of a law."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Observations:
    """What one law is fitted to: a metric at several sizes, all else being equal. Four tuples of one length.

    Attributes
    ----------
    sizes : tuple of float
        Above zero, such as timesteps; repeated where a size has several samples.
    values : tuple of float
        Seconds, bytes or counts; where the sample is censored, what the value is at least.
    is_censored : tuple of bool
        Whether a limit stopped the sample, so that the true value lies above the given one.
    hosts : tuple of str
        Digests. Each host has a level of its own, all have one shape.

    Raises
    ------
    ValueError
        Where the lengths differ.
    """

    sizes: tuple[float, ...]
    values: tuple[float, ...]
    is_censored: tuple[bool, ...]
    hosts: tuple[str, ...]

    def __post_init__(self) -> None:
        lengths = {len(each) for each in (self.sizes, self.values, self.is_censored, self.hosts)}
        if len(lengths) != 1:
            raise ValueError(f"sizes, values, is_censored and hosts must be of one length, got {sorted(lengths)}")


@dataclass(frozen=True, slots=True)
class Interval:
    """A number and the ends of its interval; 0 and infinity are ends that the samples don't determine."""

    value: float
    low: float
    high: float

    def __contains__(self, number: float) -> bool:
        return self.low <= number <= self.high

    @property
    def width(self) -> float:
        """How far its ends are apart."""
        return self.high - self.low


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """A law drawn for one host: at each size the fitted value and its band, pointwise, in the metric's unit."""

    host: str
    sizes: tuple[float, ...]
    values: tuple[float, ...]
    lows: tuple[float, ...]
    highs: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class NoLaw:
    """Why there is no law, and for what."""

    observations: Observations
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GrowthLaw:
    """The law ``value = a + b * size ** c``, fitted on logarithms, with one level a host.

    Attributes
    ----------
    observations : Observations
        What was fitted.
    verdict : GrowthVerdict
        By the rules that it documents.
    sentence : str
        The verdict in words, with its numbers.
    exponent : Interval
        Of the part that grows (c). Where the values don't surely grow, c and a can't be told apart, and where there
        are only three sizes neither: then this is `slope`.
    slope : Interval
        Of the straight line on log-log axes (no fixed cost): the effective exponent over these sizes.
    constant : Interval
        The cost that grows at size 1 (b), on the first host: the metric's unit per ``size ** exponent``. Where
        `exponent` is the slope, b of the law without fixed cost.
    fixed_cost : Interval
        What is paid at any size (a), on the first host, in the metric's unit. From 0 to 0 where none was fitted.
    growth : Interval
        Fitted value at the largest size by that at the smallest; equal on all hosts.
    has_fixed_cost : bool
        Whether a fixed cost was looked for: it takes four sizes.
    spread : float
        Robust standard deviation of the logarithms around the law: 0.05 means about 5 %.
    r_squared : float
        Share of the logarithms' variance within hosts that the law explains; NaN where there is none to explain.
        Censored samples are left out.
    ratios : tuple of float
        Observed by fitted, one an observation, in their order; of a censored one, at least that. NaN for a host of
        which all samples are censored.
    n_samples, n_sizes, n_censored : int
        How many samples (censored ones included), how many different sizes, how many censored samples.
    hosts : tuple of str
        In the order in which the observations name them; without those of which all samples are censored.
    levels : tuple of float
        Fitted value at the smallest size, one a host.
    cliffs : tuple of Cliff
        Jumps that no law of this form can make.
    profile : Profile
        The parameters that the samples don't rule out: intervals and bands come from it.
    """

    observations: Observations
    verdict: GrowthVerdict
    sentence: str
    exponent: Interval
    slope: Interval
    constant: Interval
    fixed_cost: Interval
    growth: Interval
    has_fixed_cost: bool
    spread: float
    r_squared: float
    ratios: tuple[float, ...]
    n_samples: int
    n_sizes: int
    n_censored: int
    hosts: tuple[str, ...]
    levels: tuple[float, ...]
    cliffs: tuple[Cliff, ...]
    profile: Profile = field(repr=False, compare=False)

    def curve(self, sizes: Sequence[float], host: str | None = None) -> Curve:
        """Draw the law.

        Parameters
        ----------
        sizes : sequence of float
            Above zero, in any order; beyond the measured ones the law is extrapolated.
        host : str, optional
            Whose level; that of the first where left out.

        Raises
        ------
        ValueError
            Where the law has no such host.
        """
        named = self.hosts[0] if host is None else host
        if named not in self.hosts:
            raise ValueError(f"no host {named!r} in this law: it has {', '.join(self.hosts)}")
        values, lows, highs = self.profile.band(tuple(sizes), self.hosts.index(named))
        return Curve(host=named, sizes=tuple(float(size) for size in sizes), values=values, lows=lows, highs=highs)
