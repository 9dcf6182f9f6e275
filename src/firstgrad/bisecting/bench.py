"""Measures revisions on this machine: what the store has is taken from there, so that a bisection goes on by itself."""

from __future__ import annotations

import hashlib
import os
import uuid
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from firstgrad.bisecting.builds import Builds, installed_name
from firstgrad.bisecting.history import find_package, is_release, list_commits, list_releases
from firstgrad.bisecting.run import LOOKS, NOT_BUILT, Bisecting, check_predicate
from firstgrad.bisecting.search import MOST_SKIPPED
from firstgrad.codec import to_json
from firstgrad.columns import metric_named, require_metrics
from firstgrad.comparing.environments import run_git
from firstgrad.doubts import is_to_be_repeated, why_unusable
from firstgrad.errors import PythonEnvironmentError, SpecError
from firstgrad.measuring.environment import describe_environment
from firstgrad.measuring.launch import measure
from firstgrad.record import Failure, Record, Status
from firstgrad.sources import ModelSource, check_reference, read_source, split_reference

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from firstgrad.bisecting.history import PackageSources, Revision
    from firstgrad.bisecting.run import Bisection
    from firstgrad.case import Case
    from firstgrad.measuring.events import Event
    from firstgrad.store import Keeper

_TRIES_AGAIN = 2  # of a sample that stood still for a while
_DIGITS = 8
_OWN = "firstgrad"


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """What is searched, and whose sources they are."""

    revisions: tuple[Revision, ...]
    folder: Path  # of the repository; here for releases
    package: PackageSources | None = None
    left_out: int = 0

    @property
    def name(self) -> str:
        """What is bisected, for people and for labels."""
        requirement = self.revisions[0].requirement
        return (
            requirement.partition("==")[0] if requirement else self.package.name if self.package else self.folder.name
        )


def bisect(
    good: str,
    bad: str,
    case: Case,
    *,
    repository: str | None = None,
    metric: str | None = None,
    predicate: str | None = None,
    first: bool = False,
    samples: int = LOOKS[-1],
    skips: int = MOST_SKIPPED,
    build_limit_seconds: float = 3600.0,
    retry_failed: bool = False,
    label: str = "",
    store: str | None = None,
    show: Callable[[str], AbstractContextManager[Callable[[Event], None]]],
    tell: Callable[[str], None],
    warn: Callable[[str], object],
) -> Bisection:
    """Find the commit or release between two that changed what a case takes; what is measured is kept in a store.

    The options are those of `firstgrad.bisect`. `show` opens the display of a sample, by its title; `tell` takes a line
    a step, and `warn` what is wrong with the store. An interrupt says in a note how to go on. Raises SpecError, before
    anything is built, where the options don't go together, or no commit has the model.
    """
    from firstgrad.store import Keeper

    if metric is not None and predicate is not None:
        raise SpecError("--metric, --predicate", "give one of them")
    if store == "none":
        raise SpecError("--store", "what is measured is kept, so that it goes on where it was stopped: a file or a URL")
    if metric is not None:
        require_metrics([metric], "--metric")
    state = check_predicate(predicate) if predicate is not None else ""
    line = read_line(good, bad, repository)
    _require_model(line, case)
    with ExitStack() as stack:
        keeper = stack.enter_context(Keeper(store, tell=warn))
        bench = StoredBench(
            line=line,
            case=case,
            keeper=keeper,
            stack=stack,
            show=show,
            tell=tell,
            label=label,
            limit_seconds=build_limit_seconds,
            retry_failed=retry_failed,
        )
        bisecting = Bisecting(
            revisions=line.revisions,
            left_out=line.left_out,
            name=line.name,
            bench=bench,
            case=case,
            metric=None if metric is None else metric_named(metric),
            predicate=state,
            is_first=first,
            rounds=samples,
            most_skipped=skips,
            tell=tell,
        )
        try:
            return bisecting.run()
        except KeyboardInterrupt as error:
            error.add_note(
                f"interrupted; {bench.measured} samples of this run are in {keeper.address}, and the same command "
                "goes on there"
            )
            raise


def _require_model(line: Line, case: Case) -> None:
    """Raise a `SpecError` where no commit of a line has the model's file."""
    place, _ = split_reference(case.model.reference)
    good, bad = line.revisions[0], line.revisions[-1]
    if line.package is not None or good.requirement or not place.endswith(".py") or Path(place).is_absolute():
        return
    path = os.path.normpath(place)
    known = run_git(line.folder, "ls-tree", good.name, "--", path).strip()
    if not known and not run_git(line.folder, "log", "-1", f"{good.name}..{bad.name}", "--", f":(literal){path}"):
        raise SpecError("MODEL", f"no commit from {good} to {bad} has {path} (looked from {line.folder})")


def read_line(good: str, bad: str, repository: str | None) -> Line:
    """Read which revisions lie between two ends; raises SpecError where there is no such line."""
    if is_release(good) != is_release(bad):
        raise SpecError("GOOD, BAD", f"expected two commits or two releases, got {good!r} and {bad!r}")
    if is_release(good):
        if repository is not None:
            raise SpecError("--repository", "is for commits, and these are releases")
        return Line(revisions=list_releases(good, bad), folder=Path.cwd())
    folder = Path(repository or "").expanduser().absolute()
    try:
        run_git(folder, "rev-parse", "--git-dir")
    except PythonEnvironmentError as error:
        raise SpecError(
            "--repository",
            f"{folder} is no git repository ({error}). Name a clone (--repository PATH), or releases of a package: "
            "pytensor==3.3.7 pytensor==3.3.8",
        ) from None
    list_commits(folder, good, bad)  # whether they are a line, before anything is read of them
    package = find_package(folder, bad)
    if package is not None and package.name == _OWN:
        raise SpecError(
            "--repository", "firstgrad measures with itself; compare its own commits with firstgrad compare"
        )
    revisions, left_out = list_commits(folder, good, bad, package)
    return Line(revisions=revisions, folder=folder, package=package, left_out=left_out)


@dataclass(slots=True, kw_only=True)
class StoredBench:
    """Measures each revision in the environment that `Builds` makes, and keeps each record before the next begins."""

    line: Line
    case: Case
    keeper: Keeper
    stack: ExitStack
    show: Callable[[str], AbstractContextManager[Callable[[Event], None]]]
    tell: Callable[[str], None]
    label: str = ""
    limit_seconds: float = 3600.0  # of a build
    retry_failed: bool = False
    measured: int = field(default=0, init=False)
    _builds: Builds = field(init=False)
    _source: ModelSource = field(default_factory=ModelSource, init=False)  # nothing where it is each commit's own
    _own: set[str] = field(default_factory=set, init=False)  # records of this run

    def __post_init__(self) -> None:
        place, line = split_reference(self.case.model.reference)[0], self.line
        is_inside = line.package is None and not line.revisions[0].requirement
        if is_inside and Path(place).is_absolute():
            raise SpecError("MODEL", f"{place} is one file for all commits. Give its path as seen from {line.folder}")
        is_of_package = line.package is not None and place.partition(".")[0] == line.package.name
        if not is_inside and not is_of_package:
            check_reference(self.case.model.reference)
            self._refuse_own_file(place)
        self._builds = Builds(
            case=self.case,
            folder=line.folder,
            package=line.package,
            stack=self.stack,
            tell=self.tell,
            limit_seconds=self.limit_seconds,
        )
        if not is_inside:
            self._source = read_source(self.case.model.reference, self._builds.model_folder)
        self.label = self.label or f"bisect-{line.name}-{self._digest()}"

    def _refuse_own_file(self, place: str) -> None:
        """Raise a `SpecError` where the model is a file of the package itself: all commits would have the same."""
        file, package = Path(place).absolute(), self.line.package
        if package is None or file.suffix != ".py" or not file.is_relative_to(self.line.folder):
            return
        parts = file.relative_to(self.line.folder).with_suffix("").parts
        if package.name in parts[:-1]:
            module = ".".join(parts[parts.index(package.name) :])
            function = self.case.model.reference.removeprefix(place)
            raise SpecError(
                "MODEL",
                f"{place} would be measured as it is now for all commits. Name it as a module: {module}{function}",
            )

    def sample(self, revision: Revision, case: Case, number: int, beside: str = "") -> Record:
        """Return a revision's sample; see `firstgrad.bisecting.run.Bench`."""
        label = f"{revision.short}{f'.{beside}' * bool(beside)}@{self.label}"
        stored = [
            record
            for record in self.keeper.store.records(label=label)
            if record.case.question == case.question and self._counts(record)
        ]
        if len(stored) >= number:
            return stored[number - 1]
        for _ in range(1 + _TRIES_AGAIN):
            record = self._measure(revision, case, label)
            self.measured += 1
            self._own.add(record.record_id)
            self.keeper.keep(record)
            if not is_to_be_repeated(record):
                break
        return record

    def _counts(self, record: Record) -> bool:
        """Whether a stored sample is one of this model as it is now, and not to be measured again."""
        is_again = self.retry_failed and record.record_id not in self._own and bool(why_unusable(record))
        is_of_now = self._source.gave(record.environment.source_digest, record.started_at)
        return is_of_now and not is_again and not is_to_be_repeated(record)

    def _measure(self, revision: Revision, case: Case, label: str) -> Record:
        try:
            interpreter = self._builds.ready(revision)
        except PythonEnvironmentError as error:
            return Record(
                record_id=uuid.uuid4().hex,
                started_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
                case=case,
                status=Status.FAILED,
                environment=replace(describe_environment(label=label), git_commit=revision.commit),
                failure=Failure(kind=NOT_BUILT, message=str(error)),
            )
        with self.show(f"{revision.short}: {case}") as on_event:
            (record,) = measure(case, label=label, interpreter=interpreter, on_event=on_event)
        return record

    def _digest(self) -> str:
        """Digest what must be the same for a sample to count again: machine, packages, flags, the model's files."""
        here, own = describe_environment(), installed_name(self.line.name)
        known = (
            here.host.digest, here.python, here.compiler, here.threads, here.flags, self._source.digest,
            str(self.line.folder),
            [one for one in here.versions if one[0] != own],
        )  # fmt: skip
        return hashlib.sha256(to_json(known).encode()).hexdigest()[:_DIGITS]
