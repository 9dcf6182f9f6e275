"""Kept traces: a JSON file each, named after its id; never overwritten."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from firstgrad.codec import to_json
from firstgrad.errors import StoreError
from firstgrad.store.files import make_folder_of, write_file
from firstgrad.store.jsonl import decode_stored
from firstgrad.tracing.record import ScriptTrace

if TYPE_CHECKING:
    from collections.abc import Sequence

DEFAULT_FOLDER = ".firstgrad/traces"


def require_folder(folder: str | Path = DEFAULT_FOLDER) -> None:
    """Make the folder of kept traces, before a script runs whose trace is to be kept; raise `StoreError`."""
    make_folder_of(Path(folder) / "any")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise StoreError(f"{folder}: you may not write here. Run in another folder, or give --no-keep")


def keep_trace(trace: ScriptTrace, folder: str | Path = DEFAULT_FOLDER) -> Path:
    """Write a trace to ``FOLDER/TRACE_ID.json``, whole or not at all."""
    path = Path(folder) / f"{trace.trace_id}.json"
    write_trace(trace, path)
    return path


def write_trace(trace: ScriptTrace, path: str | Path) -> None:
    """Write a trace to a file of any name, whole or not at all."""
    write_file(path, to_json(trace).encode() + b"\n")


def read_trace(path: str | Path) -> ScriptTrace:
    """Read a trace's file; `StoreError` where it isn't one, of this version."""
    path = Path(path)
    try:
        text = path.read_bytes()
    except OSError as error:
        raise StoreError(
            f"{path}: cannot be read ({error.strerror or error}). Give a trace's file, or its id"
        ) from None
    next_step = "Give a file that firstgrad trace wrote, or trace the script again"
    return decode_stored(text, ScriptTrace, where=str(path), next_step=next_step, again="Trace the script again")


def find_trace(what: str, folder: str | Path = DEFAULT_FOLDER) -> Path:
    """Find a trace by its file, or the beginning of its id; `StoreError` lists the latest ones."""
    if Path(what).is_file():
        return Path(what)
    kept = sorted(Path(folder).glob("*.json"), key=lambda path: -path.stat().st_mtime)
    chosen = [path for path in kept if what and path.stem.startswith(what)]
    if len(chosen) == 1:
        return chosen[0]
    problem = f"begins the ids of {len(chosen)} kept traces" if chosen else "is no file, and begins no kept trace's id"
    raise StoreError(f"{what!r} {problem}. {_listed(chosen or kept, folder)}")


def _listed(paths: Sequence[Path], folder: str | Path) -> str:
    if not paths:
        return f"{folder} has none. Make one: firstgrad trace SCRIPT"
    return f"{folder} has " + ", ".join(path.stem for path in paths[:10])
