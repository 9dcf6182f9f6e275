"""Resident memory of this process and its children, cheaply enough for two looks a second."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

_PROC = Path("/proc")
_DEEPEST = 8


def tree_rss_bytes(root: Path = _PROC) -> tuple[int, int] | None:
    """Read the resident memory of this process and all below it, compilers included.

    Parameters
    ----------
    root : Path
        Where Linux shows its processes.

    Returns
    -------
    rss_bytes, processes : int, int
        None in place of both where the system does not tell.
    """
    own = _resident_pages(root / str(os.getpid()))
    if own is None:
        return None
    page = os.sysconf("SC_PAGE_SIZE")  # after that: not every system has it
    pages, processes = own, 1
    found = _children(root / str(os.getpid()))
    for _ in range(_DEEPEST):
        below: list[int] = []
        for pid in found:
            if (resident := _resident_pages(root / str(pid))) is not None:
                pages, processes = pages + resident, processes + 1
                below += _children(root / str(pid))
        found = below
        if not found:
            break
    return pages * page, processes


def _resident_pages(process: Path) -> int | None:
    try:
        return int((process / "statm").read_bytes().split()[1])
    except (OSError, IndexError, ValueError):
        return None


def _children(process: Path) -> list[int]:
    found: list[int] = []
    with suppress(OSError, ValueError):
        for task in os.listdir(process / "task"):  # noqa: PTH208 - a third of the price of iterdir()
            found += [int(pid) for pid in (process / "task" / task / "children").read_bytes().split()]
    return found
