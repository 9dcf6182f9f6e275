"""Private cache folders: nothing is read from or left in the user's own."""

from __future__ import annotations

import os
import platform
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

PREFIX = "firstgrad-"
_OWNER = "owner"
CACHES = "caches"
"""Sub-folder of a private folder that holds every backend's cache."""
FILLED = "filled"
"""Sub-folder with the copy from which each warm sample starts."""
_OWN_FLAGS = ("base_compiledir", "compiledir")


def make_private_folder() -> Path:
    """Make an empty private folder that names its owner, and remove those whose owners are dead.

    Returns
    -------
    Path
        With the sub-folders ``caches`` and ``tmp``.
    """
    base = Path(tempfile.gettempdir())
    remove_abandoned(base)
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=base)).resolve()
    (folder / _OWNER).write_text(f"{os.getpid()} {_start_time(os.getpid())} {_place()}")
    for name in (CACHES, "tmp"):
        (folder / name).mkdir()
    return folder


def remove_abandoned(base: Path) -> list[Path]:
    """Remove private folders whose owner was killed together with everything that would have cleaned up.

    Parameters
    ----------
    base : Path
        Where private folders are made.

    Returns
    -------
    list of Path
        What was removed.
    """
    removed = []
    for folder in base.glob(f"{PREFIX}*"):
        try:
            pid, started, place = (folder / _OWNER).read_text().split()
            is_abandoned = place == _place() and _start_time(int(pid)) != started
        except (OSError, ValueError):
            continue  # not ours, or only just being made
        if is_abandoned:
            shutil.rmtree(folder, ignore_errors=True)
            removed.append(folder)
    return removed


def environment(folder: Path, inherited: Mapping[str, str], *, threads: int = 1) -> dict[str, str]:
    """Write the environment of a worker.

    Parameters
    ----------
    folder : Path
        A private folder; every backend's cache, and the temporary files of compilers, go there.
    inherited : mapping of str to str
        The parent's environment; the user's own PyTensor flags are kept, but for the cache's place.
    threads : int
        Threads of BLAS and OpenMP.

    Returns
    -------
    dict of str to str
    """
    caches = folder / CACHES
    count = str(threads)
    flags = [*user_flags(inherited), f"base_compiledir={caches / 'pytensor'}"]
    return {
        **inherited,
        "PYTENSOR_FLAGS": ",".join(flags),
        "NUMBA_CACHE_DIR": str(caches / "numba"),
        "JAX_COMPILATION_CACHE_DIR": str(caches / "jax"),
        # By default JAX keeps only what took a second to compile; a proof needs every entry.
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
        # Up to 0.10, JAX else makes the folder's path a part of each key: what another folder was filled with is lost.
        "JAX_PERSISTENT_CACHE_ENABLE_XLA_CACHES": "none",
        "JAX_PLATFORMS": inherited.get("JAX_PLATFORMS", "cpu"),
        "TMPDIR": str(folder / "tmp"),
        "PYTHONHASHSEED": "0",
        "OMP_NUM_THREADS": count,
        "OPENBLAS_NUM_THREADS": count,
        "MKL_NUM_THREADS": count,
        "NUMBA_NUM_THREADS": count,
    }


def user_flags(inherited: Mapping[str, str]) -> list[str]:
    """List the PyTensor flags that the user set, without the place of the cache."""
    given = [flag.strip() for flag in inherited.get("PYTENSOR_FLAGS", "").split(",")]
    return [flag for flag in given if flag and flag.partition("=")[0].strip() not in _OWN_FLAGS]


def empty_caches(folder: Path) -> None:
    """Make a private folder's caches empty."""
    shutil.rmtree(folder / CACHES)
    (folder / CACHES).mkdir()


def save_caches(folder: Path) -> None:
    """Keep a copy of the caches as they are: the state from which each warm sample starts."""
    shutil.copytree(folder / CACHES, folder / FILLED, symlinks=True)


def restore_caches(folder: Path) -> None:
    """Bring back the copy that `save_caches` made, with its times: compilers look at them."""
    shutil.rmtree(folder / CACHES)
    shutil.copytree(folder / FILLED, folder / CACHES, symlinks=True)


def _place() -> str:
    """Where process numbers mean what they mean here: containers and hosts may share a temporary folder."""
    try:
        namespace = Path("/proc/self/ns/pid").readlink()
    except OSError:
        namespace = Path("-")
    return f"{platform.node()}/{namespace}"


def _start_time(pid: int) -> str:
    """Start time of a process, so that a reused number is not taken for the same process; '' if dead."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    import psutil

    try:
        return str(int(psutil.Process(pid).create_time()))
    except psutil.NoSuchProcess:
        return ""
