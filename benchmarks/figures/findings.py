"""The figures of docs/findings.md about growth: which, and of what."""

from __future__ import annotations

from typing import TYPE_CHECKING

from firstgrad.advise.breakeven import Option, break_even
from firstgrad.case import Scenario
from firstgrad.columns import metric_named, samples_table
from firstgrad.estimates import estimate_median
from firstgrad.growth.contrasts import Contrast, find_contrasts
from firstgrad.growth.lines import find_growth
from firstgrad.pose.spec import Formulation, HmmAlgorithm
from firstgrad.show.bars import describe_phases, draw_phases
from firstgrad.show.growth import growth_pictures, ratio_pictures
from firstgrad.show.memory import describe_memory, draw_memory
from firstgrad.show.totals import describe_breakeven, draw_breakeven

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from matplotlib.figure import Figure

    from firstgrad.advise.breakeven import BreakEven
    from firstgrad.record import Record

METRICS_SHOWN = ("time_to_first_gradient_cpu", "evaluation", "peak_memory", "nodes")
_CPU = metric_named("time_to_first_gradient_cpu")
_SCALING = ("scaling-timesteps-jax-cold", "scaling-timesteps-numba-cold", "scaling-directions-jax-cold")
_EVALUATIONS = 1e6


def draw_findings(records: Sequence[Record]) -> Iterator[tuple[str, Figure, str]]:
    """Draw what a sweep around the default pose model says.

    Yields
    ------
    name : str
        For the file.
    figure : matplotlib.figure.Figure
    description : str
        The figure in words.
    """
    samples = samples_table(records)
    metrics = [metric_named(name) for name in METRICS_SHOWN]
    for law in growth_pictures(find_growth(samples, ["timesteps", "directions"], metrics)):
        if law.name in _SCALING:
            yield law.name, law.draw(), law.description
    for ratio in ratio_pictures(find_contrasts(samples, "timesteps", [_CPU], [Contrast.HMM])):
        yield "ratio-hmm", ratio.draw(), ratio.description
    default = [record for record in records if _is_default(record)]
    yield "phases-scenarios", draw_phases(default), describe_phases(default)
    cold = [each for each in default if each.case.scenario is Scenario.COLD and each.memory is not None]
    highest = max(cold, key=lambda each: each.memory.peak_rss_bytes if each.memory else 0)
    yield "memory", draw_memory(highest), describe_memory(highest)
    chart = _break_even(default)
    yield "breakeven", draw_breakeven(chart), describe_breakeven(chart)


def _is_default(record: Record) -> bool:
    """Whether it is the default size and formulation, with or without the default HMM."""
    model = record.case.model.pose
    if model is None or model.formulation is not Formulation.PER_JOINT:
        return False
    hmm = model.hmm
    is_default_hmm = hmm is None or (hmm.n_states == 2 and hmm.algorithm is HmmAlgorithm.SCAN)  # noqa: PLR2004 - its default
    return (model.n_timesteps, model.n_directions) == (100, 5) and is_default_hmm


def _break_even(records: Sequence[Record]) -> BreakEven:
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
