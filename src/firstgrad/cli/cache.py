"""``firstgrad cache``: what the next process finds in compile caches, and caches that travel."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - Typer looks for it when it runs
from typing import TYPE_CHECKING, Annotated

import typer

from firstgrad.case import BackendName  # noqa: TC001 - Typer looks for it when it runs
from firstgrad.cli.console import ExitCode, OutputOptions, finish, note, say
from firstgrad.cli.options import CaseOptions, ModelCommand, ModelOptions, Verb, declare, spread

if TYPE_CHECKING:
    from collections.abc import Callable

    from firstgrad.case import Case
    from firstgrad.show.result import Result

EPILOG = """\b
Examples:
  firstgrad cache explain study.py --target first_draw --backend numba
      two processes in turn: what the second finds, what it compiles again, and why
  firstgrad cache pack 'models/*.py' --backend numba -o caches.tar.gz
  firstgrad cache verify caches.tar.gz
      fresh processes with only the bundle: entries read, none written, results the same to the last bit
  firstgrad cache unpack caches.tar.gz --into /opt/caches
      prints the variables by which PyTensor, Numba, JAX and firstgrad use it
  firstgrad cache key --backend numba
      a key for actions/cache or the like, which changes with the processor, the packages and the options

\b
Exit codes: 0 good; 1 verify found something else than was promised; 2 wrong use, or a bundle that doesn't fit here;
3 a case failed; 4 broke off.
"""

app = typer.Typer(
    name="cache",
    no_args_is_help=True,
    rich_markup_mode=None,
    help="What the next process finds in compile caches; caches packed, unpacked elsewhere, and proven.",
    epilog=EPILOG,
)
_BUNDLE = typer.Argument(metavar="BUNDLE", help="A file that cache pack wrote.")


@app.command("explain", cls=ModelCommand)
@spread
def explain(model: ModelOptions, case: CaseOptions, output: OutputOptions) -> None:
    """Measure a model from empty caches, and again: what the second process finds in them, what not, and why."""
    from firstgrad.bundles import explain as explain_case
    from firstgrad.show.caches import explained_result

    cases = _cases(model, case, output)
    _end(lambda: explained_result([explain_case(one) for one in cases]), output)


@app.command("pack", cls=ModelCommand)
@spread
def pack(
    model: ModelOptions,
    case: CaseOptions,
    file: Annotated[Path, typer.Option("--output", "-o", help="The bundle to write.", metavar="FILE")],
    *,
    output: OutputOptions,
) -> None:
    """Compile models into empty caches, check these with a second process, and write them into one file."""
    from firstgrad.bundles import pack as pack_cases
    from firstgrad.show.caches import packed_result

    cases = _cases(model, case, output)
    _end(lambda: packed_result(pack_cases(cases, file)), output)


@app.command("unpack", cls=Verb)
@spread
def unpack(
    bundle: Annotated[Path, _BUNDLE],
    into: Annotated[Path, declare("--into", "A new folder.", metavar="FOLDER")],
    *,
    output: OutputOptions,
) -> None:
    """Write a bundle that was made for this processor and these packages into a folder, and say how to use it."""
    from firstgrad.bundles import unpack as unpack_bundle
    from firstgrad.show.caches import unpacked_result

    output.refuse_both()
    finish(unpacked_result(unpack_bundle(bundle, into), into), output)


@app.command("key", cls=Verb)
@spread
def key(
    backend: Annotated[
        list[BackendName] | None,
        declare("--backend", "What the caches are of; may be repeated [all that are real].", metavar="BACKEND"),
    ] = None,
    *,
    output: OutputOptions,
) -> None:
    """Print a short text that changes with all that decides whether a filled cache fits: a key to keep one under."""
    from firstgrad.backends import all_facts
    from firstgrad.bundles import place_here
    from firstgrad.show.caches import key_result

    output.refuse_both()
    finish(key_result(place_here(backend or [facts.name for facts in all_facts() if facts.is_real])), output)


@app.command("verify", cls=Verb)
@spread
def verify(bundle: Annotated[Path, _BUNDLE], *, output: OutputOptions) -> None:
    """Measure a bundle's models in fresh processes with only its caches: what they read, and if results agree."""
    from firstgrad.bundles import verify as verify_bundle
    from firstgrad.show.caches import verified_result

    output.refuse_both()
    _end(lambda: verified_result(verify_bundle(bundle)), output)


def _cases(model: ModelOptions, options: CaseOptions, output: OutputOptions) -> tuple[Case, ...]:
    output.refuse_both()
    grid = model.to_suite(options).grid()
    for one in grid.omitted:
        note(f"left out: {one.what}: {one.reason}")
    return grid.cases


def _end(make: Callable[[], Result], output: OutputOptions) -> None:
    try:
        result = make()
    except KeyboardInterrupt:
        say("firstgrad: interrupted; nothing was written")
        raise typer.Exit(ExitCode.INTERRUPTED) from None
    finish(result, output)
