"""``firstgrad show``: what is stored, a line a sample; or one sample whole."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from firstgrad.cli.console import ExitCode, OutputOptions, finish, open_source
from firstgrad.cli.options import ExportToRead, LabelToRead, StoreToRead, declare, of_models, spread
from firstgrad.errors import SpecError

if TYPE_CHECKING:
    from collections.abc import Iterable

_MOST_NAMED = 5

EPILOG = """\b
Examples:
  firstgrad show
      the newest samples, the newest last
  firstgrad show 0c6c37b5
      that sample whole: phases, memory, counts, verdict, as measure showed it
  firstgrad show --label nightly --count 100 --json | jq .[].time_to_first_gradient

\b
Exit codes: 0 good; 2 wrong use, or no such sample; 4 broke off.
"""


@spread
def show(
    sample: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="The first letters of a sample's id will do.")
    ] = None,
    model: Annotated[list[str] | None, declare("--model", "Only of these models.", metavar="MODEL")] = None,
    label: LabelToRead = None,
    count: Annotated[int, declare("--count", "How many are listed.", min=1)] = 20,
    store: StoreToRead = None,
    source: ExportToRead = None,
    *,
    output: OutputOptions,
) -> None:
    """List what is stored, the newest last; or show one sample whole."""
    from firstgrad.cli.measure import make_result
    from firstgrad.show.suites import stored_result

    output.refuse_both()
    with open_source(store, source) as opened:
        samples = of_models(opened.samples(label=label), model)
        if sample is None:
            finish(stored_result(samples.tail(count), of=len(samples)), output)
        record_id = _choose(sample, samples["record_id"])
        (record,) = opened.records(record_ids={record_id})
    finish(replace(make_result([record]), exit_code=ExitCode.GOOD), output)


def _choose(start: str, ids: Iterable[str]) -> str:
    """Find the one id that begins so."""
    matching = [one for one in ids if one.startswith(start)]
    if len(matching) == 1:
        return matching[0]
    if not matching:
        raise SpecError("ID", f"no sample's id begins with {start!r}. firstgrad show lists them")
    named = ", ".join(matching[:_MOST_NAMED])
    raise SpecError("ID", f"{len(matching)} ids begin with {start!r}, such as {named}. Give more of its letters")
