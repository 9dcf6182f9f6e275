"""What the verbs return in Python: what the command line prints, as an object with its numbers and its figure."""

from __future__ import annotations

import shutil
from abc import ABC, abstractmethod
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from firstgrad.show.result import LOG_WIDTH, Form, Result, notebook_html, render

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from matplotlib.figure import Figure

    from firstgrad.advising.answer import AdviceAnswer
    from firstgrad.bisecting.run import Bisection
    from firstgrad.comparing.comparison import Comparison
    from firstgrad.linting.finding import Finding, LintReport
    from firstgrad.precompiling.launch import PrecompileReport
    from firstgrad.profiling import Profile
    from firstgrad.record import Record
    from firstgrad.show.result import Part, Picture
    from firstgrad.sweep.grid import OmittedModel


@dataclass(frozen=True, eq=False, repr=False)
class VerbResult(ABC):
    """A verb's result: its `repr` is what the command line prints; in a notebook it is HTML."""

    @abstractmethod
    def parts(self) -> Sequence[Part]:
        """Return what is shown, in the renderer's parts."""

    @abstractmethod
    def to_dataframe(self) -> pd.DataFrame:
        """Return its numbers as a data frame."""

    def plot(self) -> Figure:
        """Return its figure; raises ValueError where there is nothing to draw."""
        from firstgrad.show.style import for_notebook

        return for_notebook(self._picture())

    def _picture(self) -> Picture:
        raise ValueError("there is no figure of it. Its numbers: to_dataframe()")

    def to_markdown(self) -> str:
        """Return it as GitHub's Markdown."""
        return render(Result(parts=self.parts()), Form.MARKDOWN)

    def __repr__(self) -> str:
        width = shutil.get_terminal_size((LOG_WIDTH, 24)).columns
        return render(Result(parts=self.parts()), Form.TERMINAL, width=width).strip("\n")

    def _repr_html_(self) -> str:
        return notebook_html(self.parts())


@dataclass(frozen=True, eq=False, repr=False)
class MeasureResult(VerbResult):
    """The samples of a case; `plot` draws the phases up to the first gradient or draw."""

    records: tuple[Record, ...]

    def parts(self) -> Sequence[Part]:
        """Return each sample, and where there are several their medians."""
        from firstgrad.show.records import records_parts

        return tuple(records_parts(self.records))

    def to_dataframe(self) -> pd.DataFrame:
        """Return a line a sample, as `firstgrad.Store.samples` has them."""
        from firstgrad.columns import samples_table

        return samples_table(self.records)

    def _picture(self) -> Picture:
        from firstgrad.show.bars import phases_picture

        return phases_picture(self.records)


@dataclass(frozen=True, eq=False, repr=False)
class SuiteResult(MeasureResult):
    """The samples of several models."""

    omitted: tuple[OmittedModel, ...] = ()
    """What of the named files is no model, or can't be measured, and why."""
    metrics: tuple[str, ...] = ()
    """Columns that are shown; none: the usual ones."""

    def parts(self) -> Sequence[Part]:
        """Return a table of the models for each way of measuring, the worst first."""
        from firstgrad.columns import cells_of
        from firstgrad.show.suites import suite_parts

        return tuple(suite_parts(list(map(cells_of, self.records)), self.omitted, self.metrics))


@dataclass(frozen=True, eq=False, repr=False)
class ProfileResult(VerbResult):
    """One sample with instruments on, and where its time went; `plot` draws phases, slowest passes and units."""

    profile: Profile

    def parts(self) -> Sequence[Part]:
        """Return the record, then where its time and its memory went."""
        from firstgrad.show.profiles import compared_parts

        return tuple(compared_parts(None, self.profile))

    def to_dataframe(self) -> pd.DataFrame:
        """Return a line a phase, pass, rewriter, unit, imported package and line of yours, with its seconds."""
        import pandas as pd

        from firstgrad.profiling.lines import find_line_costs

        seen, record = self.profile.attribution, self.profile.record
        tables = {
            "phase": record.phases,
            "pass": record.rewrite_passes,
            "rewriter": seen.rewriters,
            "unit": seen.units,
            "import": seen.imports,
        }
        lines = [
            {"kind": kind, "name": str(getattr(row, "phase", ""))} | _cells(row) | {"kind": kind}
            for kind, rows in tables.items()
            for row in rows
        ]
        costs = find_line_costs(self.profile)
        lines += [
            _cells(cost) | {"kind": "line", "name": cost.line.text, "wall_seconds": cost.seconds}
            for cost in (costs.costs if costs else ())
            if cost.line is not None
        ]
        return pd.DataFrame(lines)

    def _picture(self) -> Picture:
        from firstgrad.show.bars import profile_picture

        return profile_picture(self.profile)


@dataclass(frozen=True, eq=False, repr=False)
class CheckResult(VerbResult):
    """Whether log-density and gradient are right and finite; `plot` draws how much of each group is not finite."""

    record: Record

    def parts(self) -> Sequence[Part]:
        """Return the verdict, and what is not finite or wrong."""
        from firstgrad.show.records import check_parts, failure_parts

        return tuple(failure_parts(self.record) if self.record.failure is not None else check_parts(self.record))

    def to_dataframe(self) -> pd.DataFrame:
        """Return a line a group: how many values it has, and how many of its gradient are NaN or infinite."""
        import pandas as pd

        return pd.DataFrame([_cells(group) for group in self.record.check.finiteness])

    def _picture(self) -> Picture:
        from firstgrad.show.bars import finiteness_picture

        return finiteness_picture(self.record)


@dataclass(frozen=True, eq=False, repr=False)
class LintResult(VerbResult):
    """The findings in the graph of a log-density; `plot` draws what each is estimated to cost."""

    report: LintReport

    def parts(self) -> Sequence[Part]:
        """Return each finding with the lines, what it costs and what to write instead."""
        from firstgrad.show.findings import report_parts

        return tuple(report_parts(self.report))

    @property
    def findings(self) -> tuple[Finding, ...]:
        """The findings, the worst first."""
        return self.report.findings

    def to_dataframe(self) -> pd.DataFrame:
        """Return a line a finding."""
        import pandas as pd

        names = ["name", "harm", "fact", "variables", "file", "line", "count", "nodes", "seconds", "instead", "is_hint"]
        lines = [
            _cells(one)
            | {
                "variables": ", ".join(one.variables),
                "file": one.lines[0].file if one.lines else "",
                "line": one.lines[0].line if one.lines else None,
                "seconds": one.seconds,
            }
            for one in self.report.findings
        ]
        return pd.DataFrame(lines, columns=names)

    def _picture(self) -> Picture:
        from firstgrad.show.bars import findings_picture

        return findings_picture(self.report)


@dataclass(frozen=True, eq=False, repr=False)
class CompareResult(VerbResult):
    """Two models, measured in turn; `plot` draws the ratios with their intervals, a forest plot."""

    comparison: Comparison

    def parts(self) -> Sequence[Part]:
        """Return the ratios that are more than noise, and the verdicts."""
        from firstgrad.show.comparison import comparison_parts

        return tuple(comparison_parts(self.comparison, show_all=True))

    def to_dataframe(self) -> pd.DataFrame:
        """Return a line a metric: medians, the ratio HEAD by BASE with its interval, the verdict."""
        import pandas as pd

        return pd.DataFrame(
            [
                {
                    "metric": one.metric,
                    "unit": str(one.unit),
                    "base": one.base.median if one.base else None,
                    "head": one.head.median if one.head else None,
                    "ratio": one.ratio.value if one.ratio else None,
                    "low": one.ratio.low if one.ratio else None,
                    "high": one.ratio.high if one.ratio else None,
                    "verdict": str(one.verdict),
                }
                for case in self.comparison.cases
                for one in case.metrics
            ]
        )

    def _picture(self) -> Picture:
        from firstgrad.show.forest import DRAWN, forest_picture

        return forest_picture(self.comparison, DRAWN)


@dataclass(frozen=True, eq=False, repr=False)
class BisectResult(VerbResult):
    """Which commit or release changed what a model's gradient takes; there is no figure of it."""

    bisection: Bisection

    def parts(self) -> Sequence[Part]:
        """Return the commit, what changed there, and the commits that were measured."""
        from firstgrad.show.bisection import bisection_parts

        return tuple(bisection_parts(self.bisection))

    def to_dataframe(self) -> pd.DataFrame:
        """Return a line a commit that was measured."""
        import pandas as pd

        return pd.DataFrame([_cells(step) | {"revision": str(step.revision)} for step in self.bisection.tested])


@dataclass(frozen=True, eq=False, repr=False)
class AdviseResult(VerbResult):
    """What is advised, and from what; `plot` draws total seconds over the number of evaluations."""

    answer: AdviceAnswer

    def parts(self) -> Sequence[Part]:
        """Return the findings, the choice, and what to type."""
        from firstgrad.show.advice import advice_result

        return tuple(advice_result(self.answer).parts)

    @property
    def lines(self) -> tuple[str, ...]:
        """What to type."""
        return self.answer.lines

    def to_dataframe(self) -> pd.DataFrame:
        """Return a line a choice and scenario with its costs, the least first; then what is no choice, and why."""
        import pandas as pd

        advice = self.answer.advice
        offers = [
            {
                "choice": offer.choice.name,
                "scenario": str(offer.scenario),
                "first_seconds": offer.option.first_gradient.value,
                "each_seconds": offer.option.evaluation.value,
                "total_seconds": offer.median_total,
                "reason": "",
            }
            for one in advice.scenarios
            for offer in one.offers
        ]
        left = [
            {"choice": one.choice.name, "scenario": str(one.scenario), "reason": one.reason} for one in advice.left_out
        ]
        return pd.DataFrame([*offers, *left])

    def _picture(self) -> Picture:
        from firstgrad.show.totals import advice_picture

        return advice_picture(self.answer.advice)


@dataclass(frozen=True, eq=False, repr=False)
class PrecompileResult(VerbResult):
    """What a cache has now, and what it took; there is no figure of it."""

    report: PrecompileReport

    def parts(self) -> Sequence[Part]:
        """Return what was compiled and added, what each process took, and what the next compile makes itself."""
        from firstgrad.show.precompiled import precompiled_parts

        return tuple(precompiled_parts(self.report))

    def to_dataframe(self) -> pd.DataFrame:
        """Return a line a unit: who compiled it, its seconds, and why the cache hasn't got it ('' where it has)."""
        import pandas as pd

        columns = ["name", "child", "wall_seconds", "compiled", "left"]
        return pd.DataFrame([_cells(unit) for unit in self.report.units], columns=columns)


def _cells(row: Any) -> dict[str, Any]:
    """Return a dataclass's fields that are texts or numbers."""
    values = {entry.name: getattr(row, entry.name) for entry in fields(row)}
    return {name: value for name, value in values.items() if value is None or isinstance(value, str | int | float)}
