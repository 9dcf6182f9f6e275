"""``firstgrad init``: a project's suite file, its workflow for GitHub, ignore lines; never overwrites."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from firstgrad.case import BackendName  # noqa: TC001 - Typer reads it
from firstgrad.cli.console import OutputOptions, finish, is_quiet
from firstgrad.cli.options import declare, spread

if TYPE_CHECKING:
    from collections.abc import Sequence

    from firstgrad.project import ProjectFile
    from firstgrad.show.result import Result

EPILOG = """\b
Examples:
  firstgrad init
      in the root of a project: firstgrad.toml with the models found in its files, and the workflow
  firstgrad init 'models/*.py:build' --backend jax
      these models, with JAX
  firstgrad init --asv --pytest-benchmark --dry-run
      what it would write, suites of asv and pytest-benchmark among it

\b
Exit codes: 0 good, also where all was there; 2 wrong use, or no model; 4 broke off.
"""


@spread
def init(
    output: OutputOptions,
    models: Annotated[
        list[str] | None,
        typer.Argument(help="Your models, as in firstgrad.toml [those found in the files].", metavar="[MODEL]..."),
    ] = None,
    backend: Annotated[
        list[BackendName] | None,
        declare(
            "--backend", "Backend to measure with; may be repeated [the first of numba, jax, c that is installed]."
        ),
    ] = None,
    asv: Annotated[bool, declare("--asv", "Also write a suite of asv.")] = False,
    pytest_benchmark: Annotated[bool, declare("--pytest-benchmark", "Also write a suite of pytest-benchmark.")] = False,
    dry_run: Annotated[bool, declare("--dry-run", "Show what would be written, and write nothing.")] = False,
) -> None:
    """Write a suite file, a workflow for GitHub and ignore lines into this project; what is there stays as it is."""
    from firstgrad.project import plan_files, write_files

    output.refuse_both()
    folder = Path.cwd()
    files = plan_files(
        folder,
        models or (),
        backends=backend or (),
        with_asv=asv,
        with_pytest=pytest_benchmark,
    )
    if not dry_run:
        write_files(folder, files)
    finish(init_result(files, is_dry=dry_run), output)


def init_result(files: Sequence[ProjectFile], *, is_dry: bool) -> Result:
    """Make what is shown: each file and what became of it; of a dry run what would be in it."""
    from firstgrad.project import FileState, installed_from
    from firstgrad.show.result import Heading, Items, Part, Result, Table, Verbatim, left
    from firstgrad.suite import SUITE_FILE

    would = {FileState.NEW: "would be written", FileState.LONGER: "lines would be added"} if is_dry else {}
    rows = [(file.path, str(would.get(file.state, file.state)), file.note) for file in files]
    parts: list[Part] = [Table(columns=left("file", "", "note"), rows=rows)]
    if is_dry:
        for file in files:
            if file.content:
                parts += [Heading(file.path), Verbatim(file.content.splitlines())]
    elif not is_quiet():
        steps = [
            f"Look through {SUITE_FILE}, then try it: firstgrad measure suite",
            "Commit what was written: each pull request is measured from then on",
        ]
        if source := installed_from():
            steps.insert(
                1,
                f"firstgrad is from {source} here, and what was written asks a package index for it. Is it in none? "
                "Then change the workflow's line of Install; asv run --python=same takes what is here",
            )
        parts.append(Items(steps))
    return Result(parts=parts, document={"files": list(files)})
