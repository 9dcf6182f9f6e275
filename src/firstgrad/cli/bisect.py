"""``firstgrad bisect``: which commit, or which release, changed what a model's gradient takes."""

from __future__ import annotations

import shlex
import sys
from contextlib import nullcontext
from typing import TYPE_CHECKING, Annotated

import typer

from firstgrad.cli.console import ExitCode, OutputOptions, command_line, finish, is_quiet, note, say, say_notes
from firstgrad.cli.options import CaseOptions, ModelOptions, declare, spread
from firstgrad.errors import SpecError
from firstgrad.units import parse_seconds

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from firstgrad.measuring.events import Event

EPILOG = """\b
Examples:
  firstgrad bisect v3.3.6 main model.py:build --repository ../pytensor --backend jax
      commits of a clone: by exact counts, by seconds where all counts are equal
  firstgrad bisect pytensor==3.2.0 pytensor==3.3.8 model.py:build
      the releases between the two, as pip lists them
  firstgrad bisect v1.0 HEAD model.py:build --metric evaluation
      by one metric; here for the project in this folder
  firstgrad bisect v1.0 HEAD model.py:build --predicate not_finite
      since when the state is so: failed, crashed, timeout, out_of_memory, mismatch, not_finite, gradient_suspect

\b
The same command continues after an interruption. Revisions that can't be built or measured are skipped.
Exit codes: 0 found; 1 GOOD and BAD don't differ; 2 wrong use; 3 one of the two can't be measured; 4 broke off.
"""


@spread
def bisect(
    good: Annotated[
        str, typer.Argument(metavar="GOOD", help="The older end: a commit, or a release (pytensor==3.2.0).")
    ],
    bad: Annotated[str, typer.Argument(metavar="BAD", help="The newer end.")],
    model: ModelOptions,
    case: CaseOptions,
    out: OutputOptions,
    repository: Annotated[
        str | None, declare("--repository", "The clone whose commits are searched [here].", metavar="PATH")
    ] = None,
    metric: Annotated[str | None, declare("--metric", "Judge by this metric only.", metavar="NAME")] = None,
    predicate: Annotated[
        str | None,
        declare("--predicate", "Judge by a state of the sample: failed, mismatch, not_finite, ...", metavar="STATE"),
    ] = None,
    first: Annotated[bool, declare("--first", "Find the earliest change, not the largest.")] = False,
    samples: Annotated[
        int, declare("--samples", "Largest number of rounds, where seconds decide.", min=3, metavar="ROUNDS")
    ] = 42,
    skips: Annotated[int, declare("--skips", "Give up a range after this many skipped commits in it.", min=1)] = 10,
    build_limit: Annotated[str, declare("--build-limit", "Time limit of one build.", metavar="30m")] = "60m",
    retry_failed: Annotated[bool, declare("--retry-failed", "Try again what failed in an earlier run.")] = False,
    store: Annotated[str | None, declare("--store", "File or URL [.firstgrad/results.sqlite].")] = None,
) -> None:
    """Find the commit or release between two that changed counts, seconds or verdict of a model's gradient."""
    from firstgrad.bisecting.bench import bisect as bisect_case
    from firstgrad.bisecting.run import Outcome
    from firstgrad.show.bisection import bisection_parts
    from firstgrad.show.display import show_progress
    from firstgrad.show.result import Result

    out.refuse_both()
    is_live = sys.stderr is not None and sys.stderr.isatty() and not is_quiet()
    try:
        bisection = bisect_case(
            good,
            bad,
            case.to_case(model.to_model()),
            repository=repository,
            metric=metric,
            predicate=predicate,
            first=first,
            samples=samples,
            skips=skips,
            build_limit_seconds=_seconds("--build-limit", build_limit),
            retry_failed=retry_failed,
            label=case.label,
            store=store,
            show=show_progress if is_live else _say_nothing,
            tell=lambda text: note(f"firstgrad: {text}"),
            warn=lambda text: say(f"firstgrad: {text}"),
        )
    except KeyboardInterrupt as error:
        say_notes(error)
        raise typer.Exit(ExitCode.INTERRUPTED) from None
    codes = {Outcome.SAME: ExitCode.DIFFERENT, Outcome.NOT_MEASURED: ExitCode.CASE_FAILED}
    parts = tuple(bisection_parts(bisection, shlex.join(command_line())))
    finish(Result(parts=parts, document=bisection, exit_code=codes.get(bisection.outcome, ExitCode.GOOD)), out)


def _say_nothing(_: str) -> AbstractContextManager[Callable[[Event], None]]:
    """In a log, a line a step is enough."""
    return nullcontext(lambda _: None)


def _seconds(option: str, text: str) -> float:
    try:
        return parse_seconds(text)
    except SpecError as error:
        raise SpecError(option, error.problem) from None
