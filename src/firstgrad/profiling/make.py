"""The parent's side of a profile: a case in, one profile out, with what memray noted in a further run of its own.

Memray (https://bloomberg.github.io/memray/) sees the measured process only, not the compilers that it starts.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter, defaultdict
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from firstgrad.case import Scenario
from firstgrad.errors import SpecError, WorkerError
from firstgrad.measuring.launch import conclude, fill, make_task
from firstgrad.measuring.private import PrivateCaches
from firstgrad.measuring.session import Transcript, run_worker
from firstgrad.observe.events import Attribution
from firstgrad.profiling import AllocationSite, Profile
from firstgrad.store.kept import KeptFiles

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from firstgrad.case import Case
    from firstgrad.measuring.events import Event

PROFILES = KeptFiles(
    kind=Profile,
    noun="profile",
    id_noun="record id",
    verb="profile",
    id_of=lambda profile: profile.record.record_id,
    describe=lambda profile: str(profile.record.case),
)
FLAME_GRAPH = "allocations.html"
MAX_SITES = 40  # so many of the largest sites are kept

_LONGEST_DRAWING_SECONDS = 900
_NAME_CHARACTERS = 100  # names of C++ can be longer than a page

type Frame = tuple[str, str, int]

PYTHON_OBJECTS: Frame = ("(Python objects)", "", 0)
"""Small objects share arenas of 1 MiB; whose turn it was to ask for one says nothing about whose objects are in it."""
NATIVE_CODE: Frame = ("(native code)", "", 0)
_ARENA = "new_arena"
_DOORS = ("llvmlite/binding/ffi.py", "ctypes/__init__.py")
"""Every call of LLVM goes through the first; who called it is what tells."""
_FRAMES_READ = 8

_PLUMBING = re.compile(
    r"(.*malloc|.*calloc|.*realloc|mmap\w*|posix_memalign|aligned_alloc|operator new.*|_?Py.*|pymalloc.*|"
    r"_PyObject.*|llvm::allocate_buffer.*|llvm::SmallVectorBase.*|<unknown>|\?\?|)$"
)
"""Native functions that hand memory on for others."""


def profile_case(
    case: Case,
    *,
    label: str = "",
    threads: int = 1,
    on_event: Callable[[Event], None] | None = None,
    allocations: Path | None = None,
) -> Profile:
    """Measure one sample with instruments on; the record has the failure where there was one.

    For ``warm`` an identical process without instruments fills the caches first. `allocations` is the folder for a
    flame graph of the allocations, which a further process of the same case makes with memray.
    """
    hear = on_event or (lambda _: None)
    if allocations is not None and find_spec("memray") is None:
        raise SpecError("--allocations", 'needs the package memray: pip install "firstgrad[memray]"')
    with PrivateCaches() as private:
        if case.scenario is Scenario.WARM:
            failed = fill(case, private, label=label, threads=threads, on_event=on_event)
            if failed is not None:
                return Profile(record=failed)
        private.restore()
        task = replace(make_task(case, private, label=label, threads=threads), profile=True)
        transcript = run_worker(task, private, Transcript(), hear)
        profile = Profile(record=conclude(task, transcript), attribution=transcript.attribution or Attribution())
        if allocations is None or profile.record.failure is not None:
            return profile
        private.restore()
        sites, problems = _allocation_sites(replace(case, evaluations=0), private, hear, threads, allocations)
        unavailable = (*profile.attribution.unavailable, *problems)
        return replace(profile, attribution=replace(profile.attribution, unavailable=unavailable), allocations=sites)


def _allocation_sites(
    case: Case, private: PrivateCaches, hear: Callable[[Event], None], threads: int, folder: Path
) -> tuple[tuple[AllocationSite, ...], tuple[str, ...]]:
    """Run the case once more under memray; the second is why there are none."""
    file = private.folder / "allocations.bin"
    file.unlink(missing_ok=True)  # memray refuses to write over a file
    task = replace(make_task(case, private, threads=threads), allocations_file=str(file))
    record = conclude(task, run_worker(task, private, Transcript(), hear))
    if record.failure is not None:
        return (), (f"allocations: the run under memray failed: {record.failure.message}",)
    try:
        return _summarise_allocations(file, folder), ()
    except (WorkerError, OSError, RuntimeError, ValueError) as error:  # the profile that is there must not be lost
        return (), (f"allocations: {error}",)


def _summarise_allocations(file: Path, folder: Path) -> tuple[AllocationSite, ...]:
    """Read memray's file: draw the flame graph, and add up what was alive at the peak by Python frame."""
    import memray

    draw_flame_graph(file, folder / FLAME_GRAPH)
    with memray.FileReader(file) as reader:
        records = [
            (record.hybrid_stack_trace(), record.stack_trace(_FRAMES_READ), record.size, record.n_allocations)
            for record in reader.get_high_watermark_allocation_records(merge_threads=True)
        ]
    return add_up(records)


def add_up(records: Iterable[tuple[Sequence[Frame], Sequence[Frame], int, int]]) -> tuple[AllocationSite, ...]:
    """Add allocations up by the innermost Python frame that is no mere door to native code; at most `MAX_SITES`.

    Each is given as its frames of both kinds, the first few of Python's (both innermost first), bytes, and how many.
    """
    sizes, allocations = Counter[Frame](), Counter[Frame]()
    natives: defaultdict[Frame, Counter[str]] = defaultdict(Counter)
    for hybrid, python, size, count in records:
        cause = _native_cause(hybrid, python[0] if python else None)
        inner = (frame for frame in python if not frame[1].endswith(_DOORS))
        frame = PYTHON_OBJECTS if cause == _ARENA else next(inner, python[0] if python else NATIVE_CODE)
        sizes[frame] += size
        allocations[frame] += count
        natives[frame][cause] += size
    return tuple(
        AllocationSite(
            function=frame[0],
            file=shorten_path(frame[1]),
            line=frame[2],
            size_bytes=size,
            allocations=allocations[frame],
            native=natives[frame].most_common(1)[0][0],
        )
        for frame, size in sizes.most_common(MAX_SITES)
    )


def shorten_path(file: str) -> str:
    """Leave the machine's own folders out of a file's path: what comes after ``site-packages`` or ``lib/python3.x``."""
    for root in (r".*/(?:site|dist)-packages/", r".*/lib/python3\.\d+t?/"):
        short = re.sub(root, "", file)
        if short != file:
            return short
    return Path(file).name if file.startswith("/") else file


def draw_flame_graph(file: Path, page: Path) -> None:
    """Have memray draw its flame graph of the peak as one page that loads nothing; raise `WorkerError` in its words."""
    page.parent.mkdir(parents=True, exist_ok=True)
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "memray", "flamegraph", "--no-web", "--force", "-o", str(page), str(file)],
            capture_output=True,
            errors="replace",
            check=False,
            timeout=_LONGEST_DRAWING_SECONDS,
        )
    except subprocess.TimeoutExpired as error:
        raise WorkerError(f"memray drew no flame graph within {_LONGEST_DRAWING_SECONDS} s") from error
    if done.returncode:
        words = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise WorkerError(f"memray drew no flame graph: {words[-1]}")


def _native_cause(hybrid: Sequence[Frame], frame: Any) -> str:
    """Name the innermost native function below a Python frame that is not plumbing."""
    for inner in hybrid:
        if inner == frame:
            break
        if not _PLUMBING.match(inner[0]):
            return _shorten_name(inner[0])
    return ""


def _shorten_name(name: str) -> str:
    """Cut a function's arguments off, and what is too long; parentheses within ``<>`` belong to a template."""
    depth, bare = 0, name
    for place, letter in enumerate(name):
        depth += (letter == "<") - (letter == ">")
        if letter == "(" and depth <= 0 and place:
            bare = name[:place]
            break
    return bare if len(bare) <= _NAME_CHARACTERS else bare[: _NAME_CHARACTERS - 3] + "..."
