"""What memray noted of a compile: a table of the sites that held most memory at its peak, and a flame graph.

Memray (https://bloomberg.github.io/memray/) sees the measured process only, not the compilers that it starts.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections import defaultdict
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from firstgrad.errors import SpecError, WorkerError
from firstgrad.profile import AllocationSite

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

FLAME_GRAPH = "allocations.html"
MAX_SITES = 40
"""So many of the largest sites are kept."""

_NAME_CHARACTERS = 100
"""Names of C++ can be longer than a page."""

type Frame = tuple[str, str, int]

PYTHON_OBJECTS: Frame = ("(Python objects)", "", 0)
"""Small objects share arenas of 1 MiB; whose turn it was to ask for one says nothing about whose objects are in it."""
_ARENA = "new_arena"
NATIVE_CODE: Frame = ("(native code)", "", 0)
_DOORS = ("llvmlite/binding/ffi.py", "ctypes/__init__.py")
"""Every call of LLVM goes through the first; who called it is what tells."""
_FRAMES_READ = 8

_PLUMBING = re.compile(
    r"(.*malloc|.*calloc|.*realloc|mmap\w*|posix_memalign|aligned_alloc|operator new.*|_?Py.*|pymalloc.*|"
    r"_PyObject.*|llvm::allocate_buffer.*|llvm::SmallVectorBase.*|<unknown>|\?\?|)$"
)
"""Native functions that hand memory on for others."""


def require_memray() -> None:
    """Look for memray.

    Raises
    ------
    SpecError
        Where it is not installed.
    """
    if find_spec("memray") is None:
        raise SpecError("--allocations", 'needs the package memray: pip install "firstgrad[memray]"')


def summarise_allocations(file: Path, folder: Path) -> tuple[AllocationSite, ...]:
    """Read memray's file: draw the flame graph, and add up what was alive at the peak by Python frame.

    Parameters
    ----------
    file : Path
        What a worker's tracker wrote.
    folder : Path
        Gets `FLAME_GRAPH`, a page that loads nothing from outside.

    Returns
    -------
    tuple of AllocationSite
        The largest first, at most `MAX_SITES`.

    Raises
    ------
    WorkerError
        Where memray cannot read the file.
    """
    import memray

    draw_flame_graph(file, folder / FLAME_GRAPH)
    with memray.FileReader(file) as reader:
        records = [
            (each.hybrid_stack_trace(), each.stack_trace(_FRAMES_READ), each.size, each.n_allocations)
            for each in reader.get_high_watermark_allocation_records(merge_threads=True)
        ]
    return add_up(records)


def add_up(records: Iterable[tuple[Sequence[Frame], Sequence[Frame], int, int]]) -> tuple[AllocationSite, ...]:
    """Add allocations up by the innermost Python frame that is no mere door to native code.

    Parameters
    ----------
    records : iterable of (frames, Python frames, bytes, allocations)
        Frames of both kinds, and the first few of Python's, each innermost first.

    Returns
    -------
    tuple of AllocationSite
    """
    sites: dict[Frame, _Site] = defaultdict(_Site)
    for hybrid, python, size, count in records:
        cause = _native_cause(hybrid, python[0] if python else None)
        inner = (each for each in python if not each[1].endswith(_DOORS))
        frame = next(inner, python[0] if python else NATIVE_CODE)
        site = sites[PYTHON_OBJECTS if cause == _ARENA else frame]
        site.size_bytes += size
        site.allocations += count
        site.natives[cause] += size
    largest = sorted(sites.items(), key=lambda item: -item[1].size_bytes)[:MAX_SITES]
    return tuple(
        AllocationSite(
            function=function,
            file=shorten_path(file),
            line=line,
            size_bytes=site.size_bytes,
            allocations=site.allocations,
            native=max(site.natives, key=lambda name: site.natives[name]),
        )
        for (function, file, line), site in largest
    )


def shorten_path(file: str) -> str:
    """Leave the machine's own folders out of a file's path: what comes after ``site-packages`` or ``lib/python3.x``."""
    for root in (r".*/(?:site|dist)-packages/", r".*/lib/python3\.\d+t?/"):
        short = re.sub(root, "", file)
        if short != file:
            return short
    return Path(file).name if file.startswith("/") else file


def draw_flame_graph(file: Path, page: Path) -> None:
    """Have memray draw its flame graph of the peak as one page that loads nothing.

    Raises
    ------
    WorkerError
        With memray's own words.
    """
    page.parent.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        [sys.executable, "-m", "memray", "flamegraph", "--no-web", "--force", "-o", str(page), str(file)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        words = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise WorkerError(f"memray drew no flame graph: {words[-1]}")


@dataclass(slots=True)
class _Site:
    size_bytes: int = 0
    allocations: int = 0
    natives: dict[str, int] = field(default_factory=lambda: defaultdict(int))


def _native_cause(hybrid: Sequence[Frame], frame: Any) -> str:
    """Name the innermost native function below a Python frame that is not plumbing."""
    for each in hybrid:
        if each == frame:
            break
        if not _PLUMBING.match(each[0]):
            return _shorten_name(each[0])
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
