"""``firstgrad report``: one self-contained page of what is stored."""

from __future__ import annotations

import shlex
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any

from firstgrad.cli.console import open_source, say
from firstgrad.cli.options import ExportToRead, ModelsToRead, StoreToRead, declare, of_models
from firstgrad.errors import SpecError, StoreError, UnlikeSidesError

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    import pandas as pd

    from firstgrad.comparing.comparison import Comparison
    from firstgrad.growth.series import AxisKind
    from firstgrad.profiling import Profile
    from firstgrad.record import Record
    from firstgrad.show.page import Page
    from firstgrad.store.jsonl import Source

_MOST_PROFILES = 12

EPILOG = """\b
Examples:
  firstgrad report
      everything in the store
  firstgrad report suite
      the models of firstgrad.toml
  firstgrad report --compare main HEAD
      with what changed between two labels or commits
  firstgrad report --axis commit
      along the commits of the repository you are in
  firstgrad report --from docs/data/releases.jsonl --axis release --output releases.html
      an export along PyMC releases

\b
Exit codes: 0 good; 2 wrong use, unlike sides, or nothing to report; 4 broke off.
"""


def report(
    models: ModelsToRead = None,
    store: StoreToRead = None,
    source: ExportToRead = None,
    label: Annotated[str | None, declare("--label", "Only records with this label.")] = None,
    sides: Annotated[
        tuple[str, str] | None,
        declare("--compare", "What changed between two labels or commits.", metavar="BASE HEAD"),
    ] = None,
    across: Annotated[
        list[str] | None,
        declare("--across", "With --compare: this package may differ; may be repeated.", metavar="PACKAGE"),
    ] = None,
    force: Annotated[bool, declare("--force", "With --compare: also compare sides that are unlike.")] = False,
    axis: Annotated[
        str | None,
        declare("--axis", "Show all metrics along commits, or PyMC releases, instead.", metavar="commit|release"),
    ] = None,  # no enumeration: importing it would slow down every verb's --help
    output: Annotated[str, declare("--output", "The page; - for standard output.")] = ".firstgrad/report.html",
) -> None:
    """Write one HTML page that needs nothing else: results, a table of all cases, figures, failures, doubts."""
    from firstgrad.growth.series import AxisKind
    from firstgrad.show.page import render_page
    from firstgrad.store.address import StoreAddress
    from firstgrad.store.files import is_standard_output, write_file

    if axis is not None and sides is not None:
        raise SpecError("--axis, --compare", "give one of them")
    if sides is None and (across or force):
        raise SpecError("--across, --force", "they belong to --compare")
    if axis is not None and axis not in AxisKind:
        raise SpecError("--axis", f"expected commit or release, got {axis!r}")
    with open_source(store, source) as opened:
        if axis is not None:
            page = _along(opened, AxisKind(axis), label, models)
        else:
            where = f" --from {shlex.quote(source)}" if source is not None else StoreAddress.of(store).option
            page = _overview(opened, label, sides, models, across=across or (), force=force, option=where)
    # Lone surrogates can be in records, not in files
    write_file(output, render_page(page).encode("utf-8", "replace"))
    say(output, out=not is_standard_output(output))


def _overview(
    source: Source,
    label: str | None,
    sides: tuple[str, str] | None,
    models: Sequence[str] | None,
    *,
    across: Collection[str],
    force: bool,
    option: str,
) -> Page:
    from firstgrad.comparing.sides import MOST_CASES, choose_side, find_last_sides, list_commits, resolve_commit
    from firstgrad.show.overview import make_overview

    # Sides may have other labels than the rest of the page.
    samples = of_models(source.samples(label=label if sides is None else None), models)
    wanted = samples if label is None else samples[samples["label"] == label]
    if wanted.empty:
        which = "" if label is None else f" with the label {label!r}"
        raise SpecError("--store, --from, --label", f"there are no records{which}: nothing to report. Measure first")
    commits, comparison, why = list_commits(), None, ""
    if sides is not None:
        named = list(samples[["record_id", "label", "git_commit"]].itertuples(index=False, name=None))
        chosen = {record_id for side in sides for record_id in choose_side(named, side, resolve_commit)}
        how: dict[str, Any] = {"across": frozenset(across), "force": force, "resolve": resolve_commit}
        comparison = _compare(source, samples, sides, chosen, **how)
    elif (last := find_last_sides(samples, list(commits))) is not None:
        with suppress(UnlikeSidesError):  # nobody asked for it
            comparison = _compare(source, samples, (last.base, last.head), last.record_ids, across=last.across)
            why = "These are the last two that the same cases were measured at; --compare BASE HEAD names others. "
            why += f"The first {MOST_CASES} of {last.cases:,} cases are compared. " if last.cases > MOST_CASES else ""
    return make_overview(
        wanted,
        lambda ids: source.records(record_ids=ids),
        label=label,
        comparison=comparison,
        why_compared=why,
        commits=commits,
        option=option,
        profiles=_read_profiles(set(wanted["question"])),
    )


def _read_profiles(questions: Collection[str]) -> dict[str, Profile]:
    """Read the newest kept profile of each case, by its question; of many kept ones the newest few."""
    from firstgrad.profiling.make import PROFILES

    profiles: dict[str, Profile] = {}
    for path in PROFILES.files()[:_MOST_PROFILES]:
        with suppress(StoreError):  # damaged, or of another version: it is no part of what was asked for
            profile = PROFILES.read(path)
            if profile.record.case.question in questions:
                profiles.setdefault(profile.record.case.question, profile)
    return profiles


def _compare(
    source: Source, samples: pd.DataFrame, sides: tuple[str, str], record_ids: Collection[str], **how: Any
) -> Comparison:
    from firstgrad.comparing.comparison import compare

    records = list(source.records(record_ids=record_ids))
    history = samples[samples["question"].isin([record.case.question for record in records])]
    return compare(records, *sides, history=history, **how)


def _along(source: Source, kind: AxisKind, label: str | None, models: Sequence[str] | None) -> Page:
    from firstgrad.comparing.sides import list_commits
    from firstgrad.growth.series import AxisKind, commit_axis, release_axis
    from firstgrad.show.series import make_page

    wanted = set(of_models(source.samples(label=label), models)["record_id"]) if models else None
    records: list[Record] = list(source.records(label=label, record_ids=wanted))
    along = release_axis(records) if kind is AxisKind.RELEASE else commit_axis(records, list_commits())
    if not along.places:
        other = next(one for one in AxisKind if one is not kind)
        raise SpecError(
            "--axis", f"no record of {len(records)} tells its {kind}. Measure first, or --axis {other}, or leave it out"
        )
    return make_page(records, along)
