"""Filled compile caches as one file: packed with what they are of and where they fit, proven where they are unpacked.

A bundle is a gzipped tar with ``manifest.json`` first. It holds machine code: whoever uses one trusts who made it. It
is read as data only: nothing is unpickled or run here, each file is compared with its digest in the manifest, and
nothing is written but into the folder that is named.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import platform
import re
import stat
import tarfile
import tempfile
import zlib
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING

from firstgrad.backends import cache_entries, facts_of
from firstgrad.case import BackendName, Case, Scenario
from firstgrad.codec import from_json, to_json
from firstgrad.errors import FirstgradError, SpecError
from firstgrad.measuring.environment import describe_environment
from firstgrad.measuring.launch import run_sample
from firstgrad.measuring.private import PrivateCaches, worker_variables
from firstgrad.record import Record, Status

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from firstgrad.measuring.events import Event

MANIFEST = "manifest.json"
FORMAT = 1
_CACHES = "caches"
_LARGEST_MANIFEST = 64 * 2**20
_LINE_OF_FEATURES = re.compile(r"^(?:flags|Features)\s*:\s*(.*)$", re.MULTILINE)
_NOT_KEPT = re.compile(r"lock_dir|access-time-probe|.*\.lock")
"""What compilers leave in their caches for the time of a compile."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What machine code fits, beside the model: where it was made, or is to run."""

    machine: str  # of the processor's kind, such as x86_64
    processor: str
    features: tuple[str, ...]  # of the processor, sorted; () where the system doesn't tell
    libc: str
    python: str
    packages: tuple[tuple[str, str], ...]
    flags: str  # of PyTensor
    compiler: str  # of C, and the system that PyTensor keeps what it compiled apart by; '' where C compiled nothing
    system: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BundledEntry:
    """A file of a cache."""

    path: str  # below the folder of caches, with slashes
    size_bytes: int
    sha256: str
    modified_ns: int  # compilers look at it
    is_unit: bool  # whether it is a compiled unit


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseUse:
    """What two processes took from the caches, the first of which began without them."""

    case: Case
    first: Record
    second: Record | None = None  # none where the first one failed

    @property
    def failure(self) -> str:
        """Why there are no numbers; '' where there are."""
        record = self.second or self.first
        return record.failure.message if record.failure else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class BundledCase:
    """What was compiled, and what another process then found and computed."""

    case: Case
    source_digest: str
    units_read: int
    units_written: int  # by the second process once more: whoever unpacks the bundle compiles these, too
    answer_digest: str  # of the second process's first log-density and gradient, bit by bit; '' where it drew
    first_seconds: float  # to the first gradient or draw, in an empty cache and in the full one
    second_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What a bundle says of itself."""

    made_at: str
    place: Place
    cases: tuple[BundledCase, ...]
    entries: tuple[BundledEntry, ...]
    format: int = FORMAT

    @property
    def units(self) -> int:
        """How many compiled units it has."""
        return sum(entry.is_unit for entry in self.entries)

    @property
    def size_bytes(self) -> int:
        """Of all its files, unpacked."""
        return sum(entry.size_bytes for entry in self.entries)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """What a fresh process took from a bundle, and whether it computed the same."""

    bundled: BundledCase
    record: Record
    model_changed: bool  # whether the model's file isn't what it was

    @property
    def is_same(self) -> bool:
        """Whether its numbers are those of the process that had made sure of the bundle, bit by bit."""
        return bool(self.bundled.answer_digest) and self.record.check.answer_digest == self.bundled.answer_digest

    @property
    def problem(self) -> str:
        """What is not as promised; '' where all is."""
        if self.record.failure is not None:
            return self.record.failure.message
        use, changed = self.record.caches, "; the model's file has changed since" if self.model_changed else ""
        if use is None or not use.entries_read:
            return f"nothing was read from it{changed}"
        if use.entries_written > self.bundled.units_written:
            return f"{use.entries_written} units were compiled anew{changed}"
        if self.bundled.answer_digest and not self.is_same:
            return f"log-density and gradient differ from those of the process that made it{changed}"
        return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Packed:
    """What was packed, and what couldn't be."""

    file: str
    manifest: Manifest
    failed: tuple[CaseUse, ...] = ()


# --- what a second process finds ----------------------------------------------------------------------------------


def use_twice(
    cases: Sequence[Case], private: PrivateCaches, on_event: Callable[[Event], None] | None = None
) -> tuple[CaseUse, ...]:
    """Have two processes measure each case, all cases in the same caches.

    Returns
    -------
    tuple of CaseUse
        In the order of the cases; `private` has the filled caches.
    """
    uses = []
    for case in cases:
        first = run_sample(replace(case, scenario=Scenario.COLD), private, on_event=on_event)
        use = CaseUse(case=case, first=first)
        if first.failure is None:
            use = replace(use, second=run_sample(replace(case, scenario=Scenario.WARM), private, on_event=on_event))
        uses.append(use)
    return tuple(uses)


def explain(case: Case, on_event: Callable[[Event], None] | None = None) -> CaseUse:
    """Measure a case in empty caches, then once more, and return both records."""
    with PrivateCaches() as private:
        (use,) = use_twice([case], private, on_event)
    return use


# --- packing ------------------------------------------------------------------------------------------------------


def pack(cases: Sequence[Case], file: str | Path, on_event: Callable[[Event], None] | None = None) -> Packed:
    """Fill caches by the cases, have a second process make sure of each, and write all into one file.

    Parameters
    ----------
    cases : sequence of Case
        What is to be found in the caches; their scenarios don't matter.
    file : str or Path
        Is written whole or not at all; must not be there.

    Raises
    ------
    SpecError
        Where the file is there.
    FirstgradError
        Where no case could be compiled, or nothing was kept of any.
    """
    file = Path(file)
    if file.exists():
        raise SpecError("--output", f"{file} is there already. Remove it, or name another file")
    with PrivateCaches() as private:
        uses = use_twice(cases, private, on_event)
        bundled = tuple(_bundle(use) for use in uses if not use.failure)
        entries = tuple(_list_entries(private.caches))
        if not any(entry.is_unit for entry in entries) or not bundled:
            reasons = "; ".join(use.failure for use in uses if use.failure)
            raise FirstgradError(f"there is nothing to pack: {reasons or 'no cache keeps what was compiled'}")
        manifest = Manifest(
            made_at=datetime.now(UTC).isoformat(timespec="seconds"),
            place=place_here(one.case.backend for one in bundled),
            cases=bundled,
            entries=entries,
        )
        with _written_whole(file) as stream:
            _write(manifest, private.caches, stream)
    return Packed(file=str(file), manifest=manifest, failed=tuple(use for use in uses if use.failure))


def _bundle(use: CaseUse) -> BundledCase:
    second = use.second
    if second is None or second.caches is None:
        raise ValueError(f"{use.case} has no second process")
    return BundledCase(
        case=use.case,
        source_digest=second.environment.source_digest,
        units_read=second.caches.entries_read,
        units_written=second.caches.entries_written,
        answer_digest=second.check.answer_digest,
        first_seconds=whole_seconds(use.first),
        second_seconds=whole_seconds(second),
    )


def whole_seconds(record: Record) -> float:
    """Return the seconds to the first gradient, or draw; zero where it didn't come to that."""
    return record.time_to_first_gradient_seconds or record.time_to_first_draw_seconds or 0.0


def _list_entries(folder: Path) -> Iterator[BundledEntry]:
    """List the files of caches that another process may use."""
    kinds = cache_entries()
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() or not path.is_file() or any(map(_NOT_KEPT.fullmatch, path.relative_to(folder).parts)):
            continue
        content = path.read_bytes()
        yield BundledEntry(
            path=path.relative_to(folder).as_posix(),
            size_bytes=len(content),
            sha256=hashlib.sha256(content).hexdigest(),
            modified_ns=path.stat().st_mtime_ns,
            is_unit=any(kind.is_at(path) for kind in kinds),
        )


@contextmanager
def _written_whole(file: Path) -> Iterator[IO[bytes]]:
    """Give a file to write, which takes its name only when all is written."""
    file.parent.mkdir(parents=True, exist_ok=True)
    number, half = tempfile.mkstemp(dir=file.parent, prefix=".bundle-")
    try:
        with os.fdopen(number, "wb") as stream:
            yield stream
        Path(half).rename(file)
    except BaseException:
        with suppress(FileNotFoundError):
            Path(half).unlink()
        raise


def _write(manifest: Manifest, caches: Path, stream: IO[bytes]) -> None:
    with tarfile.open(fileobj=stream, mode="w:gz", compresslevel=6) as archive:

        def add(name: str, content: bytes) -> None:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))

        add(MANIFEST, to_json(manifest).encode())
        for entry in manifest.entries:
            add(f"{_CACHES}/{entry.path}", (caches / entry.path).read_bytes())


# --- where it fits ------------------------------------------------------------------------------------------------


def place_here(backends: Iterator[BackendName] | Sequence[BackendName] = ()) -> Place:
    """Describe this machine and Python, as far as machine code of these backends depends on it."""
    environment = describe_environment()
    has_c = any(facts_of(facts_of(name).compiler).name is BackendName.C for name in backends)
    features = ""
    with suppress(OSError):
        found = _LINE_OF_FEATURES.search(Path("/proc/cpuinfo").read_text())
        features = found[1] if found else ""
    return Place(
        machine=platform.machine(),
        processor=environment.host.processor,
        features=tuple(sorted(features.split())),
        libc=" ".join(platform.libc_ver()),
        python=environment.python,
        packages=environment.packages,
        flags=environment.flags,
        compiler=environment.compiler if has_c else "",
        system=platform.platform() if has_c else "",
    )


def find_misfits(made: Place, here: Place) -> tuple[str, ...]:
    """Say, each by its name, what of a bundle's place is another here; () where it fits."""
    misfits = [
        f"{name} {then or 'none'}, here {now or 'none'}"
        for name, then, now in (
            ("machine", made.machine, here.machine),
            ("processor", made.processor, here.processor),
            ("C library", made.libc, here.libc),
            ("Python", made.python, here.python),
            ("PyTensor's flags", made.flags, here.flags),
            ("compiler", made.compiler, here.compiler),
            ("system", made.system, here.system),
        )
        if then != now
    ]
    if lacking := sorted(set(made.features) - set(here.features)):
        misfits.append(f"features of the processor that aren't here: {', '.join(lacking)}")
    now = dict(here.packages)
    misfits += [
        f"{name} {version}, here {now.get(name, 'none')}" for name, version in made.packages if now.get(name) != version
    ]
    return tuple(misfits)


def require_fitting(manifest: Manifest, file: str | Path) -> None:
    """Raise FirstgradError, naming each difference, where machine code of a bundle isn't for this place."""
    here = place_here(one.case.backend for one in manifest.cases)
    if misfits := find_misfits(manifest.place, here):
        raise FirstgradError(
            f"{file} was made for another place: {'; '.join(misfits)}. Pack it anew here: firstgrad cache pack"
        )


# --- unpacking ----------------------------------------------------------------------------------------------------


def read_manifest(file: str | Path) -> Manifest:
    """Read what a bundle says of itself; raises FirstgradError where it is none, or of another format."""
    with _opened(file) as archive:
        return _read_manifest(archive, file)


def unpack(file: str | Path, folder: str | Path) -> Manifest:
    """Write the files of a bundle that fits this place into a folder, which must be empty or not there.

    Raises
    ------
    SpecError
        Where the folder has something in it.
    FirstgradError
        Where the bundle doesn't fit, isn't whole, or holds what its manifest doesn't name.
    """
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise SpecError("--into", f"{folder} isn't empty. Name a new folder")
    with _opened(file) as archive:
        manifest = _read_manifest(archive, file)
        require_fitting(manifest, file)
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".unpacking-") as half:
            whole = Path(half) / _CACHES
            whole.mkdir(mode=0o700)
            _take_out(archive, manifest, whole, file)
            with suppress(FileNotFoundError):
                folder.rmdir()
            whole.rename(folder)
    return manifest


def variables_for(folder: str | Path) -> dict[str, str]:
    """Return the environment variables by which compilers take a folder for their caches."""
    caches = Path(folder).resolve()
    asked = worker_variables(caches.parent, {})
    own = str(caches.parent / _CACHES)
    return {name: value.replace(own, str(caches)) for name, value in sorted(asked.items()) if own in value}


def verify(file: str | Path, on_event: Callable[[Event], None] | None = None) -> tuple[Verified, ...]:
    """Have a fresh process measure each case of a bundle in nothing but its caches.

    Returns
    -------
    tuple of Verified
        In the manifest's order; `Verified.problem` says what isn't as promised.
    """
    with PrivateCaches() as private:
        private.caches.rmdir()
        manifest = unpack(file, private.caches)
        return tuple(_verify(bundled, private, on_event) for bundled in manifest.cases)


def _verify(bundled: BundledCase, private: PrivateCaches, on_event: Callable[[Event], None] | None) -> Verified:
    record = run_sample(replace(bundled.case, scenario=Scenario.WARM), private, on_event=on_event)
    changed = record.status is Status.OK and record.environment.source_digest != bundled.source_digest
    return Verified(bundled=bundled, record=record, model_changed=changed)


@contextmanager
def _opened(file: str | Path) -> Iterator[tarfile.TarFile]:
    try:
        with tarfile.open(file, mode="r|gz") as archive:
            yield archive
    except FileNotFoundError:
        raise SpecError("BUNDLE", f"there is no {file}") from None
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        raise FirstgradError(f"{file} can't be read as a bundle: {error}") from error


def _read_manifest(archive: tarfile.TarFile, file: str | Path) -> Manifest:
    member = archive.next()
    if member is None or member.name != MANIFEST or not member.isreg() or member.size > _LARGEST_MANIFEST:
        raise FirstgradError(f"{file} is no bundle: it doesn't begin with {MANIFEST}")
    text = _read(archive, member)
    try:
        made_as = json.loads(text).get("format")
        if made_as == FORMAT:
            return from_json(text, Manifest)
    except (ValueError, AttributeError) as error:
        raise FirstgradError(f"{file}: its {MANIFEST} can't be read: {error}") from error
    raise FirstgradError(f"{file} has the format {made_as}, and this firstgrad reads {FORMAT}. Pack it anew")


def _take_out(archive: tarfile.TarFile, manifest: Manifest, folder: Path, file: str | Path) -> None:
    """Write what the manifest names, each file once and as it says, and refuse all else."""
    left = {f"{_CACHES}/{entry.path}": entry for entry in manifest.entries}
    for member in iter(archive.next, None):
        entry = left.pop(member.name, None)
        if entry is None or not member.isreg() or member.size != entry.size_bytes or not _is_below(entry.path):
            raise FirstgradError(f"{file} holds {member.name!r}, which isn't so in its manifest. Nothing was written")
        content = _read(archive, member)
        if hashlib.sha256(content).hexdigest() != entry.sha256:
            raise FirstgradError(f"{file}: {entry.path} isn't what the manifest says. Nothing was written")
        place = folder / entry.path
        place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        place.write_bytes(content)
        place.chmod(stat.S_IRUSR | stat.S_IWUSR)
        os.utime(place, ns=(entry.modified_ns, entry.modified_ns))
    if left:
        raise FirstgradError(
            f"{file} lacks {len(left)} files of its manifest, such as {min(left)}. Nothing was written"
        )


def _is_below(path: str) -> bool:
    parts = PurePosixPath(path).parts
    return bool(parts) and not path.startswith("/") and ".." not in parts and "\\" not in path and "\0" not in path


def _read(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    stream = archive.extractfile(member)
    if stream is None:
        raise FirstgradError(f"{member.name!r} is no file")
    return stream.read()
