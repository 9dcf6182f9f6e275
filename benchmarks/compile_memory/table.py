"""The tables of compile memory: peaks by number of terms."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from firstgrad.units import format_bytes, format_seconds

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

NAMES = {
    ("pymc", "gamma", False): "PyMC's own, Gamma",
    ("pymc", "lognormal", False): "PyMC's own, LogNormal",
    ("nutpie", "gamma", False): "nutpie, Gamma",
    ("nutpie", "lognormal", False): "nutpie, LogNormal",
    ("nutpie", "gamma", True): "nutpie again, Gamma",
    ("nutpie", "lognormal", True): "nutpie again, LogNormal",
    ("nutpie", "lognormal_array", False): "nutpie, LogNormal as one array",
    ("nutpie_jax", "gamma", False): "nutpie with JAX, Gamma",
    ("nutpie_jax", "lognormal", False): "nutpie with JAX, LogNormal",
}
"""What is compiled, and how, by way, likelihood and whether the cache was there; in the order of the table."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One process.

    Attributes
    ----------
    releases : str
        Packages and their versions.
    way, likelihood, terms
        As ``panels.py`` takes them.
    is_again : bool
        Whether an identical process had filled the cache.
    began : str
        When, UTC.
    failure : str
        Why there are no numbers; '' where there are.
    numbers : dict
        As ``panels.py`` prints them.
    """

    releases: str
    way: str
    likelihood: str
    terms: int
    is_again: bool
    began: str
    failure: str
    numbers: dict[str, Any]

    @property
    def name(self) -> str:
        """Of its line in the table."""
        return NAMES[self.way, self.likelihood, self.is_again]

    @property
    def grown_bytes(self) -> int:
        """By how much the compile raised resident memory at most."""
        return int(self.numbers["peak_bytes"]) - int(self.numbers["before_bytes"])


def read_samples(path: Path) -> list[Sample]:
    """Read the samples of a file; none where there is no file."""
    return [Sample(**each) for each in json.loads(path.read_text())] if path.exists() else []


def describe(samples: Sequence[Sample]) -> str:
    """Say in a sentence what was measured, and when."""
    days = sorted({sample.began[:10] for sample in samples})
    return (
        f"{len(samples)} samples, each a process of its own, one after the other, "
        f"{' to '.join(dict.fromkeys((days[0], days[-1])))} (UTC)."
    )


def markdown(samples: Sequence[Sample], where: str) -> str:
    """Write where it was measured, and a table for each set of releases."""
    parts = [where]
    for releases, own in _by_release(samples).items():
        terms = sorted({sample.terms for sample in own})
        parts += [f"**{releases}**", " ".join(_sentences(own)), "\n".join(_growth(own, terms))]
    return "\n\n".join(parts)


def _by_release(samples: Sequence[Sample]) -> dict[str, list[Sample]]:
    found: defaultdict[str, list[Sample]] = defaultdict(list)
    for sample in samples:
        found[sample.releases].append(sample)
    return found


def _growth(samples: Sequence[Sample], terms: Sequence[int]) -> Iterator[str]:
    cells = {(sample.name, sample.terms): _cell(sample) for sample in samples}
    yield f"| growth of memory, CPU seconds; terms: | {' | '.join(map(str, terms))} |"
    yield f"|{' --- |' * (len(terms) + 1)}"
    for name in NAMES.values():
        row = [cells.get((name, number), "") for number in terms]
        if any(row):
            yield f"| {name} | {' | '.join(row)} |"


def _cell(sample: Sample) -> str:
    if sample.failure:
        return f"failed: {sample.failure}"
    return f"{format_bytes(sample.grown_bytes)}, {format_seconds(sample.numbers['cpu_seconds'])}"


def _sentences(samples: Sequence[Sample]) -> Iterator[str]:
    """Say what the table shows: LogNormal against Gamma, nutpie against PyMC, and where memory grew."""
    known = {
        (each.way, each.likelihood, each.terms): each for each in samples if not each.failure and not each.is_again
    }
    for way, name in (("pymc", "PyMC's own function"), ("nutpie", "nutpie's compile")):
        both = [number for kind, likelihood, number in known if (kind, likelihood) == (way, "lognormal")]
        both = [number for number in both if (way, "gamma", number) in known]
        if both:
            lognormal, gamma = (known[way, kind, max(both)].grown_bytes for kind in ("lognormal", "gamma"))
            yield (
                f"With {max(both)} terms {name} takes {format_bytes(lognormal)} for LogNormal and "
                f"{format_bytes(gamma)} for Gamma, a ratio of {lognormal / gamma:.2f}."
            )
    more = [
        sample.grown_bytes - known["pymc", kind, number].grown_bytes
        for (way, kind, number), sample in known.items()
        if way == "nutpie" and ("pymc", kind, number) in known
    ]
    if more:
        least, most = format_bytes(min(more)), format_bytes(max(more))
        yield f"nutpie takes {least} to {most} more than PyMC, at any number of terms."
    passes = [{name: grown for name, grown, _ in told["passes"]} for told in _told(samples)]
    if passes:
        share = sum(each.get("native_lowering", 0) for each in passes) / sum(sum(each.values()) for each in passes)
        yield (
            f"Of the growth within Numba's passes {share:.0%} happened in `native_lowering`, where LLVM's modules and "
            "machine code are made."
        )


def _told(samples: Sequence[Sample]) -> Iterator[dict[str, Any]]:
    yield from (told for sample in samples if (told := sample.numbers.get("numba")))
