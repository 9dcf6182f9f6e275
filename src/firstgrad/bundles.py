"""Filled compile caches as one file: packed with what they are of and where they fit, proven where they are unpacked.

A bundle is a gzipped tar with ``manifest.json`` first. It holds machine code: whoever uses one trusts who made it. It
is read as data only: nothing is unpickled or run here, no more is read than the manifest announces, each file is
compared with its digest, and nothing is written but into the folder that is named.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import platform
import re
import shutil
import tarfile
import zlib
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import dropwhile
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING

from firstgrad.backends import cache_entries, facts_of
from firstgrad.case import BackendName, Case, Scenario
from firstgrad.codec import from_json, to_json
from firstgrad.errors import FirstgradError, SpecError
from firstgrad.grouping import grouped
from firstgrad.measuring.environment import describe_environment
from firstgrad.measuring.launch import make_task, run_sample
from firstgrad.measuring.private import PrivateCaches, worker_variables
from firstgrad.measuring.session import Transcript, run_worker
from firstgrad.observe.compiles import count_cache
from firstgrad.observe.events import Attribution
from firstgrad.record import NeverKept, Record, Status
from firstgrad.store.files import is_standard_output, make_folder_of, write_file
from firstgrad.units import format_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from firstgrad.measuring.events import Event

MANIFEST = "manifest.json"
FORMAT = 2
_CACHES = "caches"
_HALF = ".unpacking"
_LARGEST_MANIFEST = 16 * 2**20
_LARGEST_HEADER = 16 * 2**10  # of a file in a tar, with its long name
_CHUNK = 2**20
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
    options: tuple[tuple[str, str], ...]  # variables that change what a compiler makes, where they are set
    cores: int  # XLA splits loops by them, and firstgrad's own functions know it; 0 where there are none of these
    compiler: str  # of C, and the system by which PyTensor names the folder of what it compiled; '' without C
    system: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BundledEntry:
    """A file of a cache."""

    path: str  # below the folder of caches, with slashes
    size_bytes: int
    sha256: str
    is_unit: bool  # whether it is a compiled unit


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseUse:
    """What two processes took from the caches, the first of which began without them."""

    case: Case
    first: Record
    second: Record | None = None  # none where the first one failed
    again: tuple[NeverKept, ...] = ()  # what the second one compiled again, by reason, where that was asked for

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
    """Measure a case in empty caches, then once more; where that compiles, a third process says what, and why."""
    with PrivateCaches() as private:
        (use,) = use_twice([case], private, on_event)
        return replace(use, again=_compiled_again(use, private))


def _compiled_again(use: CaseUse, private: PrivateCaches) -> tuple[NeverKept, ...]:
    second = use.second
    if second is None or second.caches is None or use.case.is_draw:
        return second.caches.never_kept if second is not None and second.caches is not None else ()
    if not (second.caches.entries_written or (second.counts and second.counts.compiled_units)):
        return ()
    task = replace(make_task(replace(use.case, scenario=Scenario.WARM, evaluations=0), private), profile=True)
    attribution = run_worker(task, private, Transcript()).attribution or Attribution()
    seconds = {unit.name: unit.own_seconds for unit in attribution.units if not unit.from_cache}
    return tuple(
        NeverKept(
            purpose="",
            names=tuple(miss.name for miss in misses),
            units=sum(miss.units for miss in misses),
            seconds=sum(seconds.get(miss.name, 0.0) for miss in misses),
            reason=reason,
        )
        for reason, misses in grouped((miss.reason, miss) for miss in count_cache(attribution).misses).items()
    )


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
    if file.exists() or file.is_symlink() or is_standard_output(file):
        raise SpecError("--output", f"{file} is there already. Remove it, or name another file")
    make_folder_of(file)
    if not os.access(file.parent, os.W_OK | os.X_OK):
        raise SpecError("--output", f"{file.parent} is a folder that you may not write to. Name another one")
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
        packed = private.folder / "bundle"
        with tarfile.open(packed, mode="w:gz", compresslevel=6) as archive:
            _fill_archive(archive, manifest, private.caches)
        with packed.open("rb") as stream:
            try:
                write_file(file, iter(lambda: stream.read(_CHUNK), b""), is_new=True)
            except FileExistsError:
                raise SpecError("--output", f"{file} is there already, since a moment. Name another file") from None
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
            is_unit=any(kind.is_at(path) for kind in kinds),
        )


def _fill_archive(archive: tarfile.TarFile, manifest: Manifest, caches: Path) -> None:
    def add(name: str, content: bytes) -> None:
        member = tarfile.TarInfo(name)
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))

    add(MANIFEST, to_json(manifest).encode())
    for entry in manifest.entries:
        add(f"{_CACHES}/{entry.path}", (caches / entry.path).read_bytes())


# --- where it fits ------------------------------------------------------------------------------------------------


def place_here(backends: Iterable[BackendName] = ()) -> Place:
    """Describe this machine and Python, as far as machine code of these backends depends on it."""
    environment = describe_environment()
    facts = [facts_of(name) for name in backends]
    has_c = any(facts_of(one.compiler).name is BackendName.C for one in facts)
    features = ""
    with suppress(OSError):
        line = _LINE_OF_FEATURES.search(Path("/proc/cpuinfo").read_text())
        features = line[1] if line else ""
    options = {name: os.environ.get(name, "") for one in facts for name in facts_of(one.compiler).options}
    return Place(
        machine=platform.machine(),
        processor=environment.host.processor,
        features=tuple(sorted(features.split())),
        libc=" ".join(platform.libc_ver()),
        python=environment.python,
        packages=environment.packages,
        flags=environment.flags,
        options=tuple(sorted((name, value) for name, value in options.items() if value)),
        cores=environment.host.cores if any(one.has_cache and not one.keeps_all for one in facts) else 0,
        compiler=environment.compiler if has_c else "",
        system=_system() if has_c else "",
    )


def _system() -> str:
    """Name the system as PyTensor names the folder of its C modules: the kernel without its patch level."""
    whole, release = platform.platform(), platform.release()
    numbers, hyphen, rest = release.partition("-")
    series = numbers.split(".")
    if not hyphen or len(series) < 3:  # noqa: PLR2004 - major, minor, patch
        return whole
    first, *others = rest.split("-")
    first = ".".join(dropwhile(str.isdigit, first.split(".")))
    return whole.replace(release, "-".join((".".join(series[:2]), first, *others)))


def key_of(place: Place) -> str:
    """Make a short text that changes with all that decides whether machine code fits: a key for a cache of folders."""
    digest = hashlib.sha256(to_json(place).encode()).hexdigest()[:16]
    return f"{place.machine}-python{place.python}-{digest}"


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
            ("options", _written(made.options), _written(here.options)),
            ("cores", str(made.cores), str(here.cores)),
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


def _written(options: tuple[tuple[str, str], ...]) -> str:
    return " ".join(f"{name}={value}" for name, value in options)


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
    with _opened(file) as (archive, source):
        return _read_manifest(archive, source)


def unpack(file: str | Path, folder: str | Path) -> Manifest:
    """Write the files of a bundle that fits this place into a folder, which must be empty or not there.

    Raises
    ------
    SpecError
        Where the folder has something in it, or isn't yours alone to write to.
    FirstgradError
        Where the bundle doesn't fit, isn't whole, holds what its manifest doesn't name, or can't be written.
    """
    folder = Path(folder)
    with _opened(file) as (archive, source):
        manifest = _read_manifest(archive, source)
        require_fitting(manifest, file)
        source.left = manifest.size_bytes + _LARGEST_HEADER * (len(manifest.entries) + 2)
        with _filling(folder, manifest.size_bytes) as half:
            _take_out(archive, manifest, half, file)
    return manifest


@contextmanager
def _filling(folder: Path, size_bytes: int) -> Iterator[Path]:
    """Give a folder in `folder`, whose content takes its place there when all is written; else nothing stays."""
    is_new = not folder.exists()
    half = _make_half(folder)
    moved = list[Path]()
    try:
        _require_room(folder, size_bytes)
        yield half
        for part in sorted(half.iterdir()):
            moved.append(part.rename(folder / part.name))
    except BaseException as error:
        for part in (half, *moved):
            shutil.rmtree(part, ignore_errors=True)
        if is_new:
            with suppress(OSError):
                folder.rmdir()
        if isinstance(error, OSError):
            raise FirstgradError(f"{folder} can't be written ({error.strerror}). Nothing was left there") from error
        raise
    half.rmdir()


def _make_half(folder: Path) -> Path:
    """Make the folder to write to, of one process only, and the folder that it is in where there is none."""
    half = folder / _HALF
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.stat()
        if status.st_uid != os.geteuid() or status.st_mode & 0o022:
            raise SpecError("--into", f"others may write to {folder}, and so change what you run. Name a new folder")
        half.mkdir(mode=0o700)
    except FileExistsError:
        raise SpecError("--into", f"{folder} isn't empty. Name a new folder") from None
    except OSError as error:
        raise SpecError("--into", f"{folder} can't be made ({error.strerror}). Name another folder") from None
    return half


def _require_room(folder: Path, size_bytes: int) -> None:
    if sum(1 for _ in folder.iterdir()) > 1:
        raise SpecError("--into", f"{folder} isn't empty. Name a new folder")
    if (free := shutil.disk_usage(folder).free) < size_bytes:
        raise FirstgradError(
            f"{folder}: {format_bytes(free)} are free there, and the bundle takes {format_bytes(size_bytes)}. "
            "Free some space, or name a folder on another disk"
        )


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


class _Source(io.BufferedIOBase):
    """The bytes of a bundle as they are unpacked, no more of them than are expected: a small file may hold a disk."""

    def __init__(self, file: str | Path, stream: gzip.GzipFile) -> None:
        super().__init__()
        self.file, self._stream = file, stream
        self.left = _LARGEST_MANIFEST + _LARGEST_HEADER

    def read(self, size: int | None = -1, /) -> bytes:
        """Read for `tarfile`, which always says how much."""
        try:
            content = self._stream.read(min(size or 0, self.left + 1))
        except (OSError, EOFError, zlib.error) as error:
            raise FirstgradError(f"{self.file} can't be read as a bundle: {error}") from error
        self.left -= len(content)
        if self.left < 0:
            raise FirstgradError(f"{self.file} unpacks to more than a bundle of its manifest would")
        return content


@contextmanager
def _opened(file: str | Path) -> Iterator[tuple[tarfile.TarFile, _Source]]:
    try:
        stream = gzip.open(file)  # noqa: SIM115 - closed below; what fails here is the file's own fault
    except FileNotFoundError:
        raise SpecError("BUNDLE", f"there is no {file}") from None
    except OSError as error:
        raise SpecError("BUNDLE", f"{file} can't be read ({error.strerror})") from None
    with stream:
        source = _Source(file, stream)
        try:
            with tarfile.open(fileobj=source, mode="r|", bufsize=tarfile.BLOCKSIZE) as archive:
                yield archive, source
        except tarfile.TarError as error:
            raise FirstgradError(f"{file} can't be read as a bundle: {error}") from error


def _read_manifest(archive: tarfile.TarFile, source: _Source) -> Manifest:
    file = source.file
    member = archive.next()
    if member is None or member.name != MANIFEST or not member.isreg() or member.size > _LARGEST_MANIFEST:
        raise FirstgradError(f"{file} is no bundle: it doesn't begin with {MANIFEST}")
    text = _content(archive, member).read()
    try:
        made_as = json.loads(text).get("format")
        manifest = from_json(text, Manifest) if made_as == FORMAT else None
    except (ValueError, AttributeError, RecursionError) as error:
        raise FirstgradError(f"{file}: its {MANIFEST} can't be read: {error}") from error
    if manifest is None:
        raise FirstgradError(f"{file} has the format {made_as!r}, and this firstgrad reads {FORMAT}. Pack it anew")
    for entry in manifest.entries:
        if not _is_below(entry.path) or entry.size_bytes < 0:
            raise FirstgradError(f"{file}: its {MANIFEST} names {entry.path!r}, which is no file of a cache")
    return manifest


def _take_out(archive: tarfile.TarFile, manifest: Manifest, folder: Path, file: str | Path) -> None:
    """Write what the manifest names, each file once and as it says, and refuse all else."""
    left = {f"{_CACHES}/{entry.path}": entry for entry in manifest.entries}
    for member in iter(archive.next, None):
        entry = left.pop(member.name, None)
        if entry is None or not member.isreg() or member.size != entry.size_bytes:
            raise FirstgradError(f"{file} holds {member.name!r}, which isn't so in its manifest. Nothing was written")
        content, digest = _content(archive, member), hashlib.sha256()
        place = folder / entry.path
        place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        # Its times are those of now: PyTensor throws C modules away that nobody used for 24 days.
        with open(place, "xb", opener=_private) as written:
            while chunk := content.read(_CHUNK):  # its end is the size that the manifest names
                digest.update(chunk)
                written.write(chunk)
        if digest.hexdigest() != entry.sha256:
            raise FirstgradError(f"{file}: {entry.path!r} isn't what the manifest says. Nothing was written")
    if left:
        raise FirstgradError(
            f"{file} lacks {len(left)} files of its manifest, such as {min(left)!r}. Nothing was written"
        )


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _is_below(path: str) -> bool:
    parts = PurePosixPath(path).parts
    return bool(parts) and path.isprintable() and not path.startswith("/") and ".." not in parts and "\\" not in path


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    content = archive.extractfile(member)
    if content is None:
        raise FirstgradError(f"{member.name!r} is no file")
    return content
