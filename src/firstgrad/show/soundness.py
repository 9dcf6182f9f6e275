"""What a page says of failures, doubts and environments."""

from __future__ import annotations

from typing import TYPE_CHECKING

from firstgrad.doubts import ADVICE
from firstgrad.record import Doubt
from firstgrad.show.cases import describe_host, tell_conditions
from firstgrad.show.page import Section
from firstgrad.show.result import Facts, Fold, Heading, Span, Style, Table, Text, Verbatim, left, right
from firstgrad.show.words import shown
from firstgrad.units import format_count

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd

    from firstgrad.record import Record
    from firstgrad.show.result import Part

MOST_ENVIRONMENTS, MOST_FAILURES, MOST_DOUBTED = 50, 50, 40
_LONGEST_NAME, _LONGEST_TEXT, _LONGEST_REASON, _LONGEST_TAIL, _PLACES = 160, 200, 400, 2000, 6


def find_failures(samples: pd.DataFrame, places: pd.Series[str] | None = None) -> pd.DataFrame:
    """Put equal failures of a case together, the newest first: case, reason, newest record, places, how many.

    `places` says where each sample was; left out, it is the day.
    """
    failed = samples.assign(case=_case_names(samples), place=samples["started_at"].str[:10])
    failed = failed if places is None else failed.assign(place=places)
    failed = failed[failed["reason"] != ""].sort_values("started_at", ascending=False, kind="stable")
    kinds = failed.groupby(["case", "reason"], sort=False)
    return kinds.agg(
        record_id=("record_id", "first"),
        n_samples=("record_id", "size"),
        places=("place", lambda all_: list(all_.unique())),
    ).reset_index()


def failure_section(kinds: pd.DataFrame, records: Mapping[str, Record]) -> Section:
    """List the first kinds of failures, with the last output of the newest."""
    parts: list[Part] = []
    parts.append(Text(f"{kinds['n_samples'].sum()} samples gave no numbers that count." if len(kinds) else "None."))
    for kind in kinds[:MOST_FAILURES].itertuples():
        more = len(kind.places) - _PLACES
        earlier = f" and at {more} earlier ones" if more > 0 else ""
        where = f"{kind.n_samples} at {', '.join(kind.places[:_PLACES])}{earlier}: "
        parts.append(Heading(_cut(kind.case, _LONGEST_TEXT)))
        parts.append(Text((where, Span(_cut(kind.reason, _LONGEST_REASON), Style.BAD))))
        record = records.get(kind.record_id)
        if record is not None and record.failure is not None and record.failure.stderr_tail:
            tail = "\n".join(record.failure.stderr_tail)[-_LONGEST_TAIL:]
            parts.append(Fold("Last lines of standard error", (Verbatim(tail.split("\n")),)))
    if len(kinds) > MOST_FAILURES:
        parts.append(Text(f"{len(kinds) - MOST_FAILURES} older kinds of failures are left out."))
    return Section("failures", "Failures", parts)


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def doubt_section(samples: pd.DataFrame) -> Section:
    """List the doubts of samples, what to do about each, and the first few dozen of its cases."""
    doubted = samples.assign(case=_case_names(samples), doubt=samples["doubts"].str.split()).explode("doubt")
    kinds = dict(list(doubted.groupby("doubt")["case"]))
    rows, folds = [], []
    for doubt in Doubt:
        if doubt in kinds:
            rows.append((str(doubt), f"{len(kinds[doubt])}", ADVICE[doubt]))
            cases = kinds[doubt].unique()
            names = [shown(name, _LONGEST_NAME) for name in cases[:MOST_DOUBTED]]
            more = f"; and {len(cases) - len(names)} more" if len(cases) > len(names) else ""
            folds.append(Fold(f"{doubt}: {format_count(len(cases), 'case')}", (Text("; ".join(names) + more),)))
    if not rows:
        return Section("doubts", "Doubts", (Text("None."),))
    table = Table(columns=(*left("doubt"), *right("samples"), *left("what it means")), rows=rows)
    return Section("doubts", "Doubts", (table, *folds))


def find_environments(samples: pd.DataFrame) -> pd.DataFrame:
    """Find the sets of conditions, the newest first: their newest record, labels, and how many samples."""
    newest = samples.sort_values("started_at", ascending=False, kind="stable").groupby("conditions", sort=False)
    return newest.agg(
        record_id=("record_id", "first"),
        n_samples=("record_id", "size"),
        labels=("label", lambda labels: ", ".join(filter(None, labels.unique()))),
    ).reset_index()


def environment_section(environments: pd.DataFrame, records: Mapping[str, Record]) -> Section:
    """List the newest environments and their hosts; `records` holds the newest of each."""
    listed = [
        (one, records[one.record_id].environment)
        for one in environments[:MOST_ENVIRONMENTS].itertuples()
        if one.record_id in records
    ]
    hosts = {environment.host.digest: environment.host for _, environment in listed}
    words, _ = tell_conditions({one.conditions: environment for one, environment in listed})
    packages = sorted({name for _, environment in listed for name, _ in environment.packages})
    rows = []
    for one, environment in listed:
        versions = dict(environment.versions)
        texts = (environment.device, environment.python, *(versions.get(package, "") for package in packages))
        texts += (environment.compiler, str(environment.threads), environment.flags, one.labels)
        cells = (shown(text, _LONGEST_TEXT) for text in texts)
        rows.append((words[one.conditions] or "all", environment.host.digest, *cells, f"{one.n_samples:,}"))
    names = (
        "measured with",
        "host",
        "device",
        "Python",
        *packages,
        "compiler",
        "threads",
        "flags",
        "labels",
        "samples",
    )
    left_out = len(environments) - len(listed)
    parts: list[Part] = [
        Facts([(f"host {digest}", shown(describe_host(host), _LONGEST_TEXT)) for digest, host in hosts.items()]),
        Table(title="Environments", columns=left(*names), rows=rows),
        *([Text(f"{left_out} older environments are left out.")] if left_out else []),
    ]
    return Section("environments", "Where and with what it was measured", parts)


def _case_names(samples: pd.DataFrame) -> pd.Series[str]:
    """Write each sample's case as its record's case is written."""
    return samples["model"] + ", " + samples["backend"] + ", " + samples["target"] + ", " + samples["scenario"]
