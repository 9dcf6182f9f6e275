"""The two sides of a comparison: which records a name stands for, and what must be alike before they are compared."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from itertools import compress, islice
from typing import TYPE_CHECKING, Any

from firstgrad.columns import samples_table
from firstgrad.errors import SpecError, UnknownSideError, UnlikeSidesError
from firstgrad.growth.series import order_releases
from firstgrad.units import clean_line

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    import pandas as pd

    from firstgrad.record import Environment, Record
    from firstgrad.store import Store

SHORT_DIGITS = 10  # how much of a commit people are shown
_PREFIX = re.compile(r"[0-9a-f]{7,64}")
_WHOLE_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_NAMES_SHOWN = 12
_NOT_THERE = "not installed"
_UNKNOWN = "unknown"  # of a sample that ended before it was seen
_HOST = "host."
_BYTECODE = "bytecode"
_LONGEST_SECONDS = 60


class SideKind(StrEnum):
    """What a side was found by."""

    LABEL = "label"
    COMMIT = "commit"


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredSide:
    """One side of a comparison."""

    name: str  # as it was asked for
    kind: SideKind
    value: str  # the label, or the whole commit
    samples: int  # how many records it has, of any status

    def __str__(self) -> str:
        if self.kind is SideKind.LABEL:
            return f"label {self.value}"
        short = self.value[:SHORT_DIGITS]
        known = self.value.startswith(self.name.lower())
        return f"commit {short}" if known else f"{self.name} (commit {short})"


def find_side(
    records: Sequence[Record], name: str, resolve: Callable[[str], str] = lambda _: ""
) -> tuple[StoredSide, tuple[Record, ...]]:
    """Find the records (oldest first) that a name stands for.

    That is a label first, then a commit or at least its first 7 digits, then what `resolve` makes of a name such as
    ``HEAD~1``: the whole commit, '' where there is none.

    Raises UnknownSideError where nothing, or more than one commit, fits; the error says what is there.
    """
    names = [(record.environment.label, record.environment.git_commit) for record in records]
    kind, value, is_chosen = _find_name(names, name, resolve)
    chosen = tuple(compress(records, is_chosen))
    return StoredSide(name=name, kind=kind, value=value, samples=len(chosen)), chosen


def read_sides(store: Store, base: str, head: str, resolve: Callable[[str], str]) -> list[Record]:
    """Read the records among which `find_side` finds both sides, oldest first, and no more; raises as it does."""
    records = {
        record.record_id: record for name in dict.fromkeys((base, head)) for record in _read_side(store, name, resolve)
    }
    return sorted(records.values(), key=lambda record: record.started_at)


def read_history(store: Store, records: Iterable[Record]) -> pd.DataFrame:
    """Read all samples of the records' cases."""
    questions = dict.fromkeys(record.case.question for record in records)
    return samples_table([cells for question in questions for cells in store.cells(question=question)])


def choose_side(samples: Iterable[tuple[str, str, str]], name: str, resolve: Callable[[str], str]) -> tuple[str, ...]:
    """Name the records that `find_side` finds, by id, label and commit of each sample, oldest first."""
    known = list(samples)
    *_, is_chosen = _find_name([(label, commit) for _, label, commit in known], name, resolve)
    return tuple(compress((record_id for record_id, _, _ in known), is_chosen))


def _read_side(store: Store, name: str, resolve: Callable[[str], str]) -> list[Record]:
    if name and (labelled := list(store.records(label=name))):
        return labelled
    commit = name.lower() if _WHOLE_COMMIT.fullmatch(name.lower()) else ""
    if commit and (committed := list(store.records(git_commit=commit))):
        return committed
    # A commit's first digits, a name of git's, or nothing that is there: the table tells at a hundredth of the cost.
    samples = ((str(one["record_id"]), str(one["label"]), str(one["git_commit"])) for one in store.cells())
    return list(store.records(record_ids=choose_side(samples, name, resolve)))


def _find_name(
    names: Sequence[tuple[str, str]], name: str, resolve: Callable[[str], str]
) -> tuple[SideKind, str, list[bool]]:
    """Find what a name stands for among the labels and commits of samples, oldest first, and which have it."""
    if name and any(is_chosen := [label == name for label, _ in names]):
        return SideKind.LABEL, name, is_chosen
    commits = _newest_first([commit for _, commit in names])
    prefix = name.lower()
    fitting = [commit for commit in commits if commit.startswith(prefix)] if _PREFIX.fullmatch(prefix) else []
    if len(fitting) > 1:
        raise UnknownSideError(name, f"begins several commits: {', '.join(fitting)}. Give more digits")
    resolved = fitting[0] if fitting else resolve(name)
    if resolved and resolved in commits:
        return SideKind.COMMIT, resolved, [commit == resolved for _, commit in names]
    means = f" (commit {resolved[:SHORT_DIGITS]})" if resolved else ""
    raise UnknownSideError(name, f"no record has this label or commit{means}. {_describe(names, commits)}")


def _newest_first(names: list[str]) -> list[str]:
    return [name for name in dict.fromkeys(reversed(names)) if name]


def _describe(names: Sequence[tuple[str, str]], commits: Sequence[str]) -> str:
    """Say what the records could be asked for by."""
    if not names:
        return "There are no records at all: measure first, with `firstgrad measure --label NAME`"
    labels = _newest_first([label for label, _ in names])
    known = (("labels", labels), ("commits", [commit[:SHORT_DIGITS] for commit in commits]))
    there = [f"{kind} {_shortened(listed)}" for kind, listed in known if listed]
    return f"There are {' and '.join(there)}" if there else "None of the records has a label or a commit"


def _shortened(names: Sequence[str]) -> str:
    more = len(names) - _NAMES_SHOWN
    return ", ".join(map(clean_line, islice(names, _NAMES_SHOWN))) + (f" and {more} older" if more > 0 else "")


# --- the last two, where nobody names them ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class LastSides:
    """The last version of what was measured, and the one before: what they are called, and some of their samples."""

    base: str
    head: str
    across: frozenset[str]  # packages that differ: the compared thing; empty where commits or labels are
    record_ids: tuple[str, ...]  # of both sides, of cases that both have
    cases: int  # that both have; the samples are of the first few


_SAME = ["question", "host", "device", "python", "bytecode"]
MOST_CASES, _MOST_SAMPLES = 60, 600


def find_last_sides(samples: pd.DataFrame, commits: Sequence[str] = ()) -> LastSides | None:
    """Find the last two versions of the same cases: commits or labels under equal conditions, or releases.

    Of these three ways, that with most cases is taken. A commit is later where `commits` has it later, else where it
    was measured first later; so is a label. Releases are sets of packages that have a label of their own, ordered by
    their versions. None where no case has two versions.
    """
    by_commit = _order_names(samples, "git_commit", {commit: place for place, commit in enumerate(commits)})
    by_label = _order_names(samples, "label", {})
    ways = (
        _last_two(samples, ["question", "conditions", "label"], "git_commit", by_commit),
        _last_two(samples, ["question", "conditions"], "label", by_label),
        _last_two(samples[_has_own_label(samples)], _SAME, "label", _order_labels(samples)),
    )
    sides = [way for way in (*ways[:2], ways[2] if ways[2] and ways[2].across else None) if way is not None]
    return max(sides, key=lambda way: way.cases, default=None)


def _last_two(samples: pd.DataFrame, keys: list[str], name: str, order: dict[str, Any]) -> LastSides | None:
    """Find the last version that shares a case with an earlier one, and the last of these; none where none does."""
    named = samples[samples[name] != ""]
    several = named[named.groupby(keys, sort=False)[name].transform("nunique") > 1]
    if several.empty:
        return None
    head = max(several[name].unique(), key=order.__getitem__)
    shared = several[several.groupby(keys, sort=False)[name].transform(lambda names: head in names.to_numpy())]
    base = max((one for one in shared[name].unique() if one != head), key=order.__getitem__)
    both = shared[shared[name].isin([base, head])]
    both = both[both.groupby(keys, sort=False)[name].transform("nunique") > 1]
    places = both.groupby(keys, sort=False).ngroup()
    n_cases = int(places.max()) + 1
    newest = both[places < MOST_CASES].sort_values("started_at", kind="stable").groupby([*keys, name])
    differ = "conditions" not in keys
    packages = [dict(json.loads(texts.iloc[0])) if differ else {} for _, texts in both.groupby(name)["packages"]]
    return LastSides(
        base=base,
        head=head,
        across=frozenset(one for one in {*packages[0], *packages[1]} if packages[0].get(one) != packages[1].get(one)),
        record_ids=tuple(newest.tail(_MOST_SAMPLES // (2 * min(n_cases, MOST_CASES)))["record_id"]),
        cases=n_cases,
    )


def _order_names(samples: pd.DataFrame, name: str, places: Mapping[str, int]) -> dict[str, Any]:
    began = samples.groupby(name)["started_at"].min()
    return {text: (places.get(text, -1), moment) for text, moment in began.items()}


def _has_own_label(samples: pd.DataFrame) -> pd.Series[bool]:
    """Whether a sample's label is of no other packages."""
    return samples.groupby("label")["packages"].transform("nunique") == 1


def _order_labels(samples: pd.DataFrame) -> dict[str, Any]:
    labels = samples.groupby("label")["packages"].last()
    return order_releases({label: dict(json.loads(text)) for label, text in labels.items()})


# --- what must be alike -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Difference:
    """A condition that isn't the same on both sides."""

    field: str  # a package, `python`, `compiler`, `threads`, `flags`, `bytecode`, or a part of the host fingerprint
    base: str  # its values; several, with commas, where a side has more than one
    head: str
    is_declared: bool  # whether it was said to be the compared thing


def find_differences(
    matched: Iterable[tuple[Sequence[Record], Sequence[Record]]], across: Collection[str] = ()
) -> tuple[Difference, ...]:
    """List what differs between what the two sides have of each case; `across` names what is the compared thing.

    Raises SpecError where `across` has a name that no record knows, bytecode, or one of the host's.
    """
    differences: set[Difference] = set()
    known: set[str] = set()
    for pair in matched:
        base, head = (_conditions(record.environment for record in side) for side in pair)
        known |= base.keys() | head.keys()
        for field in base.keys() | head.keys():
            values = base.get(field, {_NOT_THERE}), head.get(field, {_NOT_THERE})
            if len((values[0] | values[1]) - {_UNKNOWN}) > 1:
                one, other = (", ".join(sorted(texts)) for texts in values)
                differences.add(Difference(field=field, base=one, head=other, is_declared=field in across))
    allowed = sorted(name for name in known if not name.startswith(_HOST) and name != _BYTECODE)
    for name in across:
        if known and name not in allowed:
            raise SpecError("--across", f"{name!r} cannot be declared. There are {', '.join(allowed)}")
    return tuple(sorted(differences))


def refuse_unlike(differences: Iterable[Difference]) -> None:
    """Refuse to compare across what was not declared: raises UnlikeSidesError naming each field with both values."""
    unlike = tuple((one.field, one.base, one.head) for one in differences if not one.is_declared)
    if unlike:
        raise UnlikeSidesError(unlike)


def _conditions(environments: Iterable[Environment]) -> dict[str, set[str]]:
    """Every field's values on one side."""
    listed = [dict(condition_fields(environment)) for environment in environments]
    names = {name for fields in listed for name in fields}
    return {name: {fields.get(name, _NOT_THERE) for fields in listed} for name in names}


def condition_fields(environment: Environment) -> Iterable[tuple[str, str]]:
    """Yield every condition by its name, the host's part by part."""
    yield from environment.packages
    yield "python", environment.python
    yield "compiler", environment.compiler or _NOT_THERE
    yield "threads", str(environment.threads)
    yield "flags", repr(environment.flags)
    yield _BYTECODE, {True: "compiled", False: "not compiled", None: _UNKNOWN}[environment.bytecode]
    yield "device", environment.device or "cpu"
    # Part by part: what `HostFingerprint.digest` is made of, so that the error can say what it is that differs.
    host = environment.host
    yield f"{_HOST}processor", host.processor
    yield f"{_HOST}cores", str(host.cores)
    yield f"{_HOST}memory_bytes", str(host.memory_bytes)
    yield f"{_HOST}operating_system", host.operating_system
    yield f"{_HOST}container_limits", repr(host.container_limits)


# --- what git knows of names and commits, in the folder one is in ------------------------------------------------


def resolve_commit(name: str) -> str:
    """Find the whole commit that ``main``, ``HEAD~1`` or a tag stands for; '' where git knows none, or isn't there."""
    if not name or name.startswith("-") or "\0" in name:  # git would take it for an option
        return ""
    return _ask_git("rev-parse", "--verify", "--quiet", f"{name}^{{commit}}").strip()


def list_commits() -> dict[str, str]:
    """List all commits with their subject lines, oldest first; empty outside of a repository and without git."""
    lines = _ask_git("rev-list", "--topo-order", "--reverse", "--all", "--format=%H%x09%s").split("\n")
    # rev-list writes a line `commit DIGEST` before each of ours
    return dict(line.split("\t", 1) for line in lines if "\t" in line)


def _ask_git(*words: str) -> str:
    git = shutil.which("git")
    if git:
        with suppress(OSError, ValueError, subprocess.TimeoutExpired):
            done = subprocess.run([git, *words], capture_output=True, timeout=_LONGEST_SECONDS, check=False)
            if done.returncode == 0:
                return done.stdout.decode(errors="replace")
    return ""
