"""What instruments cost: the pairs that were measured, in ``docs/data/overhead.json``, and what pages say of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import bootstrap

from benchmarks.markers import table_lines
from benchmarks.where import where
from firstgrad.units import format_seconds

if TYPE_CHECKING:
    from collections.abc import Sequence

OUTPUT = Path(__file__).parents[2] / "docs" / "data" / "overhead.json"
MEASURED = "a compile measured by firstgrad"


def keep(instrument: str, how: str, ratios: Sequence[float], bare_seconds: float) -> None:
    """Add an instrument's pairs to the data, or replace them."""
    stored: dict[str, Any] = json.loads(OUTPUT.read_text()) if OUTPUT.exists() else {}
    stored[instrument] = {"where": where(how), "ratios": [*map(float, ratios)], "bare_seconds": float(bare_seconds)}
    OUTPUT.write_text(json.dumps(stored, indent=1) + "\n")


def ratio_of(ratios: Sequence[float]) -> tuple[float, float, float]:
    """Return the median of the pairs' ratios with its 95% interval, by the bootstrap."""
    interval = bootstrap(
        (np.array(ratios),), np.median, confidence_level=0.95, rng=np.random.default_rng(1), method="percentile"
    ).confidence_interval
    return float(np.median(ratios)), float(interval.low), float(interval.high)


def sentence(stored: dict[str, Any]) -> str:
    """Say what a measured compile takes of a bare one's processor seconds."""
    ratios = stored[MEASURED]["ratios"]
    median, low, high = ratio_of(ratios)
    return (
        "- **Measuring costs little.** Processor seconds of a compile measured by firstgrad over those of a bare "
        f"script: median {median:.3f}, 95% interval [{low:.3f}, {high:.3f}], {len(ratios)} pairs in turn "
        "(`make bench-overhead`)."
    )


def table(stored: dict[str, Any]) -> str:
    """Write a row an instrument: seconds without it, and the ratio with it."""
    rows = []
    for name, one in stored.items():
        median, low, high = ratio_of(one["ratios"])
        ratio = f"{median:.3f} [{low:.3f}, {high:.3f}]"
        rows.append((name, format_seconds(one["bare_seconds"]), ratio, len(one["ratios"]), one["where"]))
    return "\n".join(table_lines(("with", "without it, CPU", "ratio with it", "pairs", "measured"), rows))
