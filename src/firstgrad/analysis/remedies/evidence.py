"""Evidence: measured ratios that back remedies, distilled from the records in ``docs/data/remedies.jsonl``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from firstgrad.analysis.advice_ratio import Ratio, estimate_ratio
from firstgrad.analysis.remedies.base import RemedyName
from firstgrad.columns import metric_named
from firstgrad.record import Status

if TYPE_CHECKING:
    from collections.abc import Sequence

    from firstgrad.record import Record

MEASURED_PATH = Path(__file__).with_name("measured.json")
"""Shipped with the package; ``benchmarks.remedies.run`` writes it."""

COMMAND = "python -m benchmarks.remedies.run"
METRICS = ("time_to_first_gradient_cpu", "evaluation")
"""What ratios are made of: processor seconds, since other users of a machine change them least."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sides:
    """The labels of the records that back a remedy, without it and with it.

    Attributes
    ----------
    remedy : RemedyName
        Which.
    without, having : str
        Labels.
    is_wrong_without : bool
        Whether it is the remedy of wrong gradients, so that the samples without it are those that disagree.
    """

    remedy: RemedyName
    without: str
    having: str
    is_wrong_without: bool = False


SIDES = (
    Sides(remedy=RemedyName.MASK_FIRST, without="naive", having="per_joint", is_wrong_without=True),
    Sides(remedy=RemedyName.VECTORISE, without="per_joint", having="vectorised"),
    Sides(remedy=RemedyName.ROLL_LOOPS, without="hmm_unrolled", having="hmm_scan"),
    Sides(remedy=RemedyName.SCAN_NOT_TREE, without="hmm_tree", having="hmm_scan"),
    Sides(remedy=RemedyName.KEEP_CACHES, without="per_joint", having="per_joint_warm"),
    Sides(remedy=RemedyName.ONE_GRADIENT, without="hmm_each_variable", having="one_gradient"),
    Sides(remedy=RemedyName.EXCLUDE_REWRITES, without="per_joint", having="excluded_rewrites"),
    Sides(remedy=RemedyName.FAST_COMPILE, without="per_joint", having="fast_compile"),
)
"""Which records back which remedy. Where there are none, it is proposed without a saving, or not at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """A measured ratio.

    Attributes
    ----------
    remedy : RemedyName
        Which it backs.
    metric : str
        Name of the metric.
    ratio : Ratio
        With the remedy by without.
    case : str
        The case without it, in words.
    versions : tuple of (str, str)
        Of the packages.
    measured_on : str
        Date and machine.
    """

    remedy: RemedyName
    metric: str
    ratio: Ratio
    case: str
    versions: tuple[tuple[str, str], ...]
    measured_on: str


def find_evidence(records: Sequence[Record]) -> tuple[Evidence, ...]:
    """Make the ratios of all remedies whose two sides were measured, with gradients that are right.

    Parameters
    ----------
    records : sequence of Record
        Of ``docs/data/remedies.jsonl``.
    """
    found = []
    for sides in SIDES:
        bad = Status.MISMATCH if sides.is_wrong_without else Status.OK
        without, having = (
            [each for each in records if each.environment.label == label and each.status is status]
            for label, status in ((sides.without, bad), (sides.having, Status.OK))
        )
        for metric in METRICS:
            ours, theirs = (_numbers(side, metric) for side in (having, without))
            if ours and theirs:
                found.append(
                    Evidence(
                        remedy=sides.remedy,
                        metric=metric,
                        ratio=estimate_ratio(ours, theirs),
                        case=str(without[0].case),
                        versions=having[0].environment.versions,
                        measured_on=f"{having[0].started_at[:10]}, {having[0].environment.host.processor}",
                    )
                )
    return tuple(found)


def load_evidence() -> tuple[Evidence, ...]:
    """Read what is shipped."""
    from firstgrad.codec import from_json

    return from_json(MEASURED_PATH.read_text(), tuple[Evidence, ...])


def _numbers(records: Sequence[Record], metric: str) -> list[float]:
    values = (metric_named(metric).read(each) for each in records)
    return [each for each in values if each is not None and each > 0]
