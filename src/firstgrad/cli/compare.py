"""``firstgrad compare``: what got worse between two labels or commits of the store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from firstgrad.analysis.compare import Comparison

EPILOG = """\b
Examples:
  firstgrad compare before after
      two labels, as given to measure --label
  firstgrad compare main HEAD --markdown
      two commits, for a comment on a pull request
  firstgrad compare pymc-5 pymc-6 --across pymc --across pytensor
      the packages are what is compared

\b
Exit codes: 0 good; 1 something got worse or failed; 2 wrong use, unlike sides, or nothing on both.
"""


def compare(
    base: Annotated[str, typer.Argument(metavar="BASE", help="Label, commit, or what git knows: main, HEAD~1.")],
    head: Annotated[str, typer.Argument(metavar="HEAD", help="The other side: is it worse than BASE?")],
    threshold_seconds: Annotated[
        float | None, typer.Option("--threshold-seconds", help="Factor beyond which seconds count [1.25].")
    ] = None,
    threshold_memory: Annotated[
        float | None, typer.Option("--threshold-memory", help="The same for bytes [1.10].")
    ] = None,
    threshold_counts: Annotated[
        float | None, typer.Option("--threshold-counts", help="The same for nodes and compiled units [1.05].")
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
) -> None:
    """Compare two sides of the store, case by case: time, memory, counts, failures. Ends with 1 on a regression."""
    from firstgrad.analysis.compare import compare as compare_records
    from firstgrad.analysis.judge import Thresholds
    from firstgrad.cli.git import resolve_commit
    from firstgrad.cli.metrics import choose_metrics
    from firstgrad.cli.rows import open_store
    from firstgrad.errors import SpecError

    if json and markdown:
        raise SpecError("--json, --markdown", "give one of them")
    factors: dict[str, Any] = {
        "seconds_factor": threshold_seconds,
        "memory_factor": threshold_memory,
        "counts_factor": threshold_counts,
    }
    with open_store(store) as opened:
        records = list(opened.records())
    comparison = compare_records(
        records,
        base,
        head,
        thresholds=Thresholds(**{name: factor for name, factor in factors.items() if factor is not None}),
        metrics=choose_metrics(metric or []),
        across=frozenset(across or ()),
        force=force,
        resolve=resolve_commit,
    )
    if json:
        from firstgrad.codec import to_json

        typer.echo(to_json(comparison))
    elif markdown:
        from firstgrad.cli.compare_markdown import to_markdown

        typer.echo(to_markdown(comparison, show_all=show_all), nl=False)
    else:
        from firstgrad.cli.compare_table import show_comparison
        from firstgrad.cli.console import make_console

        show_comparison(make_console(), comparison, show_all=show_all)
    raise typer.Exit(exit_code(comparison))


def exit_code(comparison: Comparison) -> int:
    """Say how a comparison ended; one of nothing is wrong use, since a gate must not pass on it."""
    from firstgrad.cli.exit_codes import ExitCode

    if comparison.has_regression:
        return ExitCode.DIFFERENT
    if not comparison.has_compared:
        typer.echo(
            f"firstgrad: nothing was compared: {comparison.base} and {comparison.head} have no numbers of one case "
            "in common. Measure the same cases on both sides",
            err=True,
        )
        return ExitCode.WRONG_USE
    return ExitCode.GOOD
