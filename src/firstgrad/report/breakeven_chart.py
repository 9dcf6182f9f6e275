"""Charts of break-even: from how many evaluations on another backend costs less in total."""

from __future__ import annotations

from typing import TYPE_CHECKING

from firstgrad.analysis.breakeven import Option, break_even
from firstgrad.case import BackendName, Scenario, Target
from firstgrad.estimates import estimate_median
from firstgrad.report.cases import name_models
from firstgrad.report.charts import ChartSection, chart_section
from firstgrad.show.words import shown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from firstgrad.report.cases import CaseRows

_LONGEST_NAME = 100
_LEAST_EVALUATIONS, _MOST_EVALUATIONS, _BEYOND = 1e4, 1e9, 30.0


def breakeven_sections(groups: Sequence[CaseRows]) -> tuple[ChartSection, ...]:
    """Draw, for the model that has most backends, a chart of them for each scenario that has two or more.

    Parameters
    ----------
    groups : sequence of CaseRows
        The newest first: of models with equally many backends the first is drawn.
    """
    found: dict[tuple[object, ...], dict[Scenario, dict[BackendName, CaseRows]]] = {}
    for group in groups:
        row = group.rows[0]
        if group.numbers("time_to_first_gradient") and group.numbers("evaluation"):
            model = found.setdefault((row.family, row.axes, row.target, row.conditions), {})
            model.setdefault(row.scenario, {})[row.backend] = group
    best = max(found.values(), key=_n_options, default=None)
    if best is None:
        return ()
    return tuple(_section(scenario, best[scenario], groups) for scenario in Scenario if len(best.get(scenario, {})) > 1)


def _n_options(model: dict[Scenario, dict[BackendName, CaseRows]]) -> tuple[int, int]:
    counts = [len(backends) for backends in model.values()]
    return max(counts), sum(counts)


def _section(scenario: Scenario, backends: dict[BackendName, CaseRows], groups: Sequence[CaseRows]) -> ChartSection:
    from firstgrad.show.totals import describe_breakeven, draw_breakeven

    options = [
        Option(
            name=str(backend),
            first_gradient=estimate_median(backends[backend].numbers("time_to_first_gradient")),
            evaluation=estimate_median(backends[backend].numbers("evaluation")),
        )
        for backend in BackendName
        if backend in backends
    ]
    crossings = break_even(options, _MOST_EVALUATIONS).crossings
    last = max((each.evaluations.value for each in crossings), default=0.0)
    result = break_even(options, min(max(_BEYOND * last, _LEAST_EVALUATIONS), _MOST_EVALUATIONS))
    one = next(iter(backends.values()))
    name = name_models(groups)[groups.index(one)]
    target = one.rows[0].target
    told = "" if target is Target.DLOGP else f", {target}"
    return chart_section(
        f"break-even-{scenario}",
        f"Total time over evaluations, {scenario} caches",
        draw_breakeven(result),
        caption=f"{shown(name, _LONGEST_NAME)}{told}: the newest model with most backends. Bands: intervals.",
        description=describe_breakeven(result),
    )
