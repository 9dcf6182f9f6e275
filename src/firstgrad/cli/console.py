"""What verbs share: the store that they read, the terminal, and how a result is shown and ends the program."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from firstgrad.errors import SpecError, StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console

    from firstgrad.show.result import Result
    from firstgrad.show.source import Source
    from firstgrad.store import Store

LOG_WIDTH = 140  # columns where there is no terminal to ask: tables in a log keep their lines


class ExitCode(IntEnum):
    """Exit codes of every verb."""

    GOOD = 0
    DIFFERENT = 1
    WRONG_USE = 2
    CASE_FAILED = 3
    INTERRUPTED = 130


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputOptions:
    """In which form a verb writes what it found out."""

    json: Annotated[bool, typer.Option("--json", help="For a program: JSON on standard output.")] = False
    markdown: Annotated[bool, typer.Option("--markdown", help="For a pull request or a summary of CI.")] = False

    def refuse_both(self) -> None:
        """Raise a `SpecError` where both were asked for: before anything is measured."""
        if self.json and self.markdown:
            raise SpecError("--json, --markdown", "give one of them")


def make_console(*, stderr: bool = False) -> Console:
    """Return a console that prints texts as they are.

    Without markup, since names of users' models and variables may hold brackets, and so does
    ``pip install "firstgrad[jax]"``.
    """
    from rich.console import Console

    console = Console(stderr=stderr, markup=False, highlight=False)
    if not console.is_terminal:
        console.width = LOG_WIDTH
    return console


def show(result: Result, output: OutputOptions) -> None:
    """Print a result in the form that was asked for."""
    from firstgrad.show.result import Form, print_parts, render

    if output.json or output.markdown:
        typer.echo(render(result, Form.JSON if output.json else Form.MARKDOWN), nl=False)
    else:
        print_parts(make_console(stderr=result.is_failure), result.parts)


def finish(result: Result, output: OutputOptions) -> NoReturn:
    """Print a result and end with its exit code."""
    show(result, output)
    raise typer.Exit(result.exit_code)


@contextmanager
def open_source(store: str | None, export: str | None) -> Iterator[Source]:
    """Open a store, or an export where one is given, to read from.

    Raises
    ------
    SpecError
        Where both are given.
    StoreError
        Where there is none.
    """
    from firstgrad.show.source import ExportSource, StoreSource

    if store is not None and export is not None:
        raise SpecError("--store, --from", "give one of them")
    if export is not None:
        yield ExportSource(export)
        return
    with open_store(store) as opened:
        yield StoreSource(opened)


def open_store(place: str | None) -> Store:
    """Open a store to read from.

    Raises
    ------
    StoreError
        Where there is none: opening would make an empty one.
    """
    from firstgrad.store import DEFAULT_PATH, Store
    from firstgrad.store.jsonl import is_url

    where = place or DEFAULT_PATH
    if not is_url(where) and not Path(where).exists():
        raise StoreError(f"{where}: there is no store here. Give --store or --from, or measure first")
    return Store.open(where)
