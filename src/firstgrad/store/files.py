"""The one way to write a file: a regular one is replaced whole or not at all, anything else is written through."""

from __future__ import annotations

import errno
import os
import re
import stat
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO
from uuid import uuid4

from firstgrad.errors import StoreError
from firstgrad.store.address import refuse_address

if TYPE_CHECKING:
    from collections.abc import Iterable

_STANDARD_OUTPUT = 1
_DESCRIPTORS = {"-": 1, "/dev/stdin": 0, "/dev/stdout": 1, "/dev/stderr": 2}
_DESCRIPTOR = re.compile(r"/(?:dev|proc/self)/fd/(\d+)")
_MOST_LINKS = 40  # Linux follows no more of them
_NEXT_STEPS = {
    errno.EPIPE: "Whatever reads it ended before all was written",
    errno.ENOSPC: "Free some space, or give a path on another disk",
    errno.EDQUOT: "Free some space, or give a path on another disk",
}


def write_file(path: str | Path, content: bytes | Iterable[bytes], *, is_new: bool = False) -> None:
    """Write a file; one that is there stays as it was until the new one is whole and on the disk.

    What is no regular file is written to, not replaced: ``-`` and ``/dev/stdout`` (standard output), other open
    descriptors, FIFOs, devices. A link stays, and what it points to is written. A file that is replaced keeps its mode.

    Parameters
    ----------
    path : str or Path
        Its folder is made where there is none.
    content : bytes or iterable of bytes
        All of it, or part by part.
    is_new : bool
        Refuse a file that is there already, by FileExistsError.

    Raises
    ------
    StoreError
        Where it cannot be written; the error names it.
    """
    refuse_address(path)
    parts = (content,) if isinstance(content, bytes) else content
    try:
        descriptor = _descriptor_of(path)
        if descriptor is not None:
            if descriptor == _STANDARD_OUTPUT and sys.stdout is not None:
                sys.stdout.flush()
            # The descriptor itself: opened anew by its name, a file would lose what was written to it before
            with os.fdopen(os.dup(descriptor), "wb") as file:
                _write(file, parts)
            return
        target = Path(path).resolve() if Path(path).is_symlink() else Path(path)  # a link stays where it is
        mode = target.stat().st_mode if target.exists() else None
        if mode is None or stat.S_ISREG(mode):
            _replace(target, parts, mode, is_new=is_new)
        else:
            with target.open("wb") as file:
                _write(file, parts)
    except FileExistsError:
        raise
    except OSError as error:
        next_step = _NEXT_STEPS.get(error.errno or 0, "Give a path in a folder that you may write to")
        raise StoreError(f"{path}: cannot be written ({error.strerror or error}). {next_step}") from error


def is_standard_output(path: str | Path) -> bool:
    """Whether `write_file` would write this to standard output."""
    with suppress(OSError):
        return _descriptor_of(path) == _STANDARD_OUTPUT
    return False


def make_folder_of(path: Path) -> None:
    """Create the folder that a file is going to be in.

    Raises
    ------
    StoreError
        Where it cannot be created; the error names it.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(
            f"{path.parent}: this folder cannot be created ({error.strerror}). Give a path in a folder that "
            "you may write to"
        ) from error


def _descriptor_of(path: str | Path) -> int | None:
    """Find the open descriptor that a path names, itself or by a link."""
    seen = Path(path)
    for _ in range(_MOST_LINKS):
        if (named := _DESCRIPTORS.get(str(seen))) is not None:
            return named
        if (numbered := _DESCRIPTOR.fullmatch(str(seen))) is not None:
            return int(numbered[1])
        if not seen.is_symlink():
            return None
        seen = seen.parent / seen.readlink()
    return None


def _replace(target: Path, parts: Iterable[bytes], mode: int | None, *, is_new: bool) -> None:
    make_folder_of(target)
    beside = target.with_name(f".{uuid4().hex}.part")
    try:
        with beside.open("xb") as file:
            _write(file, parts)
            if mode is not None:
                os.fchmod(file.fileno(), stat.S_IMODE(mode))
            os.fsync(file.fileno())
        if is_new:
            target.open("xb").close()  # unlike a rename, it refuses where the name is taken
        beside.replace(target)
    finally:
        with suppress(OSError):
            beside.unlink(missing_ok=True)


def _write(file: BinaryIO, parts: Iterable[bytes]) -> None:
    file.writelines(parts)
    file.flush()
