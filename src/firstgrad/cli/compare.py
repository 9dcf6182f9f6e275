"""``firstgrad compare``: what got slower or larger between two sides, stored or measured now."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Annotated, Any

import typer

from firstgrad.cli.compare_options import DuelOptions, refuse_unused
from firstgrad.cli.compare_sides import asks_to_measure
from firstgrad.cli.options import CaseOptions, ModelOptions, spread

if TYPE_CHECKING:
    from collections.abc import Sequence

    from firstgrad.analysis.compare import Comparison
    from firstgrad.analysis.growth_change import GrowthChanges
    from firstgrad.analysis.thresholds import Thresholds

EPILOG = """\b
Examples:
  firstgrad compare before after
      two labels, as given to measure --label
  firstgrad compare main HEAD --markdown
      two commits, for a comment on a pull request
  firstgrad compare pymc-5 pymc-6 --across pymc --across pytensor
      the packages are what is compared
  firstgrad compare formulation=per_joint formulation=vectorised --backend jax --until-decided --time-budget 30m
      two formulations, measured now in turns; any option of the case, without its dashes
  firstgrad compare main HEAD models/mine.py:build --measure
      two commits, each with its own files, and in its own environment where it can be installed
  firstgrad compare pymc==6.2.0 pymc==6.4.0+jax==0.12.0.1 --backend jax
      two releases, each in an environment of its own; also env:PATH, and . for here and now

\b
A verdict says what is real: slower, faster (of bytes and counts larger, smaller), same, or undecided.
A threshold says what is an alarm: growth that is real but below it is shown, and ends with 0.

\b
Exit codes: 0 no alarm; 1 something grew beyond its threshold, or failed; 2 wrong use, unlike sides, or nothing on both.
"""


@spread
def compare(
    base: Annotated[
        str,
        typer.Argument(metavar="BASE", help="Label, commit, or what git knows: main, HEAD~1. Or what to measure."),
    ],
    head: Annotated[str, typer.Argument(metavar="HEAD", help="The other side: does it take more than BASE?")],
    model: ModelOptions,
    case: CaseOptions,
    duel: DuelOptions,
    threshold: Annotated[
        float | None,
        typer.Option("--threshold", metavar="FACTOR", help="Alarm where slower beyond this, such as 1.1 [any]."),
    ] = None,
    threshold_memory: Annotated[
        float | None, typer.Option("--threshold-memory", metavar="FACTOR", help="The same of bytes [1.10].")
    ] = None,
    threshold_counts: Annotated[
        float | None,
        typer.Option("--threshold-counts", metavar="FACTOR", help="The same of nodes and compiled units [1.05]."),
    ] = None,
    metric: Annotated[
        list[str] | None, typer.Option("--metric", metavar="NAME", help="Only this metric; may be repeated.")
    ] = None,
    across: Annotated[
        list[str] | None,
        typer.Option("--across", metavar="PACKAGE", help="May differ: it is the compared thing; may be repeated."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Compare unlike sides, and say so.")] = False,
    show_all: Annotated[bool, typer.Option("--all", help="What is the same, too.")] = False,
    store: Annotated[str | None, typer.Option("--store", help="File or URL [.firstgrad/results.sqlite].")] = None,
    json: Annotated[bool, typer.Option("--json", help="The whole comparison as JSON.")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="For a pull request or a summary of CI.")] = False,
    output: Annotated[
        str | None, typer.Option("--output", metavar="FILE", help="A forest plot of the ratios, .png or .svg.")
    ] = None,
) -> None:
    """Compare two sides, stored or measured now: time, memory, counts, failures. Ends with 1 on a regression."""
    from firstgrad.analysis.compare import compare as compare_records
    from firstgrad.cli.compare_duel import choose_key, measure_and_judge
    from firstgrad.cli.compare_figure import check_output
    from firstgrad.cli.compare_growth import find_growth, is_growth_alarm
    from firstgrad.cli.compare_read import read_history, read_sides
    from firstgrad.cli.git import resolve_commit
    from firstgrad.cli.metrics import choose_metrics
    from firstgrad.cli.rows import open_store
    from firstgrad.errors import SpecError

    if json and markdown:
        raise SpecError("--json, --markdown", "give one of them")
    if output is not None:
        check_output(output)
    thresholds = make_thresholds(threshold, threshold_memory, threshold_counts)
    metrics = choose_metrics(metric or [])
    judge = functools.partial(
        compare_records, thresholds=thresholds, metrics=metrics, force=force, resolve=resolve_commit
    )
    growth: GrowthChanges | None = None
    if duel.measure or asks_to_measure(base) or asks_to_measure(head):
        comparison = measure_and_judge(base, head, model, case, duel, store=store, across=across or (), judge=judge)
    else:
        refuse_unused(model, case, duel)
        with open_store(store) as opened:
            records = read_sides(opened, base, head, resolve_commit)
            history = read_history(opened, records)
        key = choose_key(records, base, head)
        comparison = judge(records, base, head, across=frozenset(across or ()), history=history, key=key)
        growth = find_growth(records, base, head, resolve_commit, metrics)
    show(
        comparison,
        growth=growth,
        json=json,
        markdown=markdown,
        show_all=show_all,
        output=output,
        metrics=metric or (),
    )
    raise typer.Exit(exit_code(comparison, is_growth_alarm=is_growth_alarm(growth, comparison)))


def make_thresholds(seconds: float | None, memory: float | None, counts: float | None) -> Thresholds:
    """Make the rules of options, firstgrad's own where they were left out; raises SpecError."""
    from firstgrad.analysis.thresholds import Thresholds

    factors: dict[str, Any] = {"seconds_factor": seconds, "memory_factor": memory, "counts_factor": counts}
    return Thresholds(**{name: factor for name, factor in factors.items() if factor is not None})


def show(
    comparison: Comparison,
    *,
    growth: GrowthChanges | None = None,
    json: bool,
    markdown: bool,
    show_all: bool,
    output: str | None,
    metrics: Sequence[str] = (),
) -> None:
    """Print a comparison as text, JSON or Markdown, and draw it where that was asked for."""
    if json:
        from firstgrad.cli.compare_growth import write_growth_json
        from firstgrad.codec import to_json

        typer.echo(write_growth_json(to_json(comparison), growth))
    elif markdown:
        from firstgrad.cli.compare_growth import is_growth_alarm, write_growth_markdown
        from firstgrad.cli.compare_markdown import to_markdown

        typer.echo(to_markdown(comparison, show_all=show_all), nl=False)
        typer.echo(write_growth_markdown(growth, is_alarm=is_growth_alarm(growth, comparison)), nl=False)
    else:
        from firstgrad.cli.compare_table import show_comparison
        from firstgrad.cli.console import make_console

        show_comparison(make_console(), comparison, show_all=show_all)
        if growth is not None:
            from firstgrad.cli.compare_growth import is_growth_alarm
            from firstgrad.cli.growth_change_table import show_growth_changes

            show_growth_changes(make_console(), growth, show_all=show_all, is_alarm=is_growth_alarm(growth, comparison))
    # Last: a figure that can't be drawn must not cost the verdict.
    if output is not None:
        from firstgrad.cli.compare_figure import write_figure

        write_figure(comparison, output, metrics)


def exit_code(comparison: Comparison, *, is_growth_alarm: bool = False) -> int:
    """Say how a comparison ended; one of nothing is wrong use, since a gate must not pass on it."""
    from firstgrad.cli.exit_codes import ExitCode

    if comparison.has_regression or is_growth_alarm:
        return ExitCode.DIFFERENT
    if not comparison.has_compared:
        typer.echo(
            f"firstgrad: nothing was compared: {comparison.base} and {comparison.head} have no numbers of one case "
            "in common. Measure the same cases on both sides",
            err=True,
        )
        return ExitCode.WRONG_USE
    return ExitCode.GOOD
