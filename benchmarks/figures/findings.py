"""The figures of docs/findings.md about growth: which, and of what."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from firstgrad.advising.breakeven import Option, break_even
from firstgrad.case import Scenario
from firstgrad.columns import metric_named, samples_table
from firstgrad.estimates import estimate_median
from firstgrad.growth.contrasts import Contrast, find_contrasts
from firstgrad.growth.lines import find_growth
from firstgrad.pose.spec import Formulation, HmmAlgorithm
from firstgrad.show.bars import phases_picture
from firstgrad.show.growth import growth_pictures, ratio_pictures
from firstgrad.show.memory import memory_picture
from firstgrad.show.totals import breakeven_picture

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from firstgrad.advising.breakeven import BreakEven
    from firstgrad.record import Record
    from firstgrad.show.result import Picture

METRICS_SHOWN = ("time_to_first_gradient_cpu", "evaluation", "peak_memory", "nodes")
_CPU = metric_named("time_to_first_gradient_cpu")
_SCALING = ("scaling-timesteps-jax-cold", "scaling-timesteps-numba-cold", "scaling-directions-jax-cold")
_EVALUATIONS = 1e6


def findings_pictures(records: Sequence[Record]) -> Iterator[Picture]:
    """Picture what a sweep around the default pose model says."""
    samples = samples_table(records)
    metrics = [metric_named(name) for name in METRICS_SHOWN]
    for law in growth_pictures(find_growth(samples, ["timesteps", "directions"], metrics)):
        if law.name in _SCALING:
            yield law
    for ratio in ratio_pictures(find_contrasts(samples, "timesteps", [_CPU], [Contrast.HMM])):
        yield replace(ratio, name="ratio-hmm")
    default = [record for record in records if is_default(record)]
    yield phases_picture(default, "phases-scenarios")
    cold = [each for each in default if each.case.scenario is Scenario.COLD and each.memory is not None]
    yield memory_picture(max(cold, key=lambda each: each.memory.peak_rss_bytes if each.memory else 0))
    yield breakeven_picture(break_even_of(default))


def is_default(record: Record) -> bool:
    """Whether it is the default size and formulation, with or without the default HMM."""
    model = record.case.model.pose
    if model is None or model.formulation is not Formulation.PER_JOINT:
        return False
    hmm = model.hmm
    is_default_hmm = hmm is None or (hmm.n_states == 2 and hmm.algorithm is HmmAlgorithm.SCAN)  # noqa: PLR2004 - its default
    return (model.n_timesteps, model.n_directions) == (100, 5) and is_default_hmm


def break_even_of(records: Sequence[Record]) -> BreakEven:
    """Compare the backends from nothing, without an HMM."""
    evaluation = metric_named("evaluation")
    options = []
    for backend in dict.fromkeys(record.case.backend for record in records):
        chosen = [each for each in records if each.case.backend is backend and _is_cold_without_hmm(each)]
        first = [each for record in chosen if (each := record.time_to_first_gradient_seconds) is not None]
        calls = [each for record in chosen if (each := evaluation.read(record)) is not None]
        if first and calls:
            known = {"first_gradient": estimate_median(first), "evaluation": estimate_median(calls)}
            options.append(Option(name=f"{backend}, cold", **known))
    return break_even(options, _EVALUATIONS)


def _is_cold_without_hmm(record: Record) -> bool:
    model = record.case.model.pose
    return record.case.scenario is Scenario.COLD and model is not None and model.hmm is None
