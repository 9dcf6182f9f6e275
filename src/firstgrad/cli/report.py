"""``firstgrad report``: one self-contained page of what is stored."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from pathlib import Path

    from firstgrad.analysis.axes import AxisKind
    from firstgrad.record import Record

EPILOG = """\b
Examples:
  firstgrad report
      the store's records along the commits of the repository you are in
  firstgrad report --from docs/data/releases.jsonl --axis release --output releases.html
      an export along PyMC releases

\b
Exit codes: 0 good; 2 wrong use, or nothing to report.
"""


def report(
    store: Annotated[str | None, typer.Option("--store", help="File or URL [.firstgrad/results.sqlite].")] = None,
    source: Annotated[
        str | None, typer.Option("--from", metavar="FILE.jsonl", help="An export, instead of a store.")
    ] = None,
    axis: Annotated[
        str, typer.Option("--axis", metavar="commit|release", help="Commits, or PyMC releases.")
    ] = "commit",  # no enumeration: importing it would slow down every verb's --help
    output: Annotated[str, typer.Option("--output", help="The page.")] = ".firstgrad/report.html",
) -> None:
    """Write one HTML page that needs nothing else: figures, tables, failures, doubts and environments."""
    from pathlib import Path

    from firstgrad.analysis.axes import AxisKind, commit_axis, release_axis
    from firstgrad.cli.commits import list_commits
    from firstgrad.errors import SpecError
    from firstgrad.report.page import make_page, render_page

    if store is not None and source is not None:
        raise SpecError("--store, --from", "give one of them")
    kind = _kind(axis)
    records = _read(store, source)
    along = release_axis(records) if kind is AxisKind.RELEASE else commit_axis(records, list_commits())
    if not along.places:
        other = next(each for each in AxisKind if each is not kind)
        raise SpecError("--axis", f"no record of {len(records)} tells its {kind}. Measure first, or --axis {other}")
    page = make_page(records, along)
    _write(Path(output), render_page(page))
    typer.echo(output)


def _kind(text: str) -> AxisKind:
    from firstgrad.analysis.axes import AxisKind
    from firstgrad.errors import SpecError

    try:
        return AxisKind(text)
    except ValueError:
        raise SpecError("--axis", f"expected commit or release, got {text!r}") from None


def _read(place: str | None, source: str | None) -> list[Record]:
    from pathlib import Path

    from firstgrad.errors import StoreError
    from firstgrad.store import DEFAULT_PATH, Store, import_jsonl
    from firstgrad.store.place import is_url

    if source is not None:
        return list(import_jsonl(source))
    where = place or DEFAULT_PATH
    if not is_url(where) and not Path(where).exists():  # opening it would make an empty one
        raise StoreError(f"{where}: there is no store here. Give --store or --from, or measure first")
    with Store.open(where) as opened:
        return list(opened.records())


def _write(path: Path, text: str) -> None:
    from firstgrad.errors import SpecError

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", errors="replace")  # lone surrogates can be in records, not in files
    except OSError as error:
        raise SpecError(
            "--output", f"{path} cannot be written ({error.strerror or error}). Give another path"
        ) from error
