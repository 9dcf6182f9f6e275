"""Kept profiles: a JSON file each, named after its record; never overwritten."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from firstgrad.codec import to_json
from firstgrad.errors import RecordExistsError, StoreError
from firstgrad.profile import Profile
from firstgrad.store.files import make_folder_of, write_file
from firstgrad.store.jsonl import decode_stored

if TYPE_CHECKING:
    from collections.abc import Sequence

DEFAULT_FOLDER = ".firstgrad/profiles"  # the profiles of a project, seen from the project's root

_ENDING = ".json"
_MOST_CANDIDATES = 10


def keep_profile(profile: Profile, folder: str | Path = DEFAULT_FOLDER) -> Path:
    """Write a profile to ``FOLDER/RECORD_ID.json``, whole or not at all; never over another."""
    record_id = profile.record.record_id
    if not record_id or Path(record_id).name != record_id or record_id.startswith("."):
        raise StoreError(f"record id {record_id!r} makes no file name. Give the record another one")
    return write_profile(profile, Path(folder) / f"{record_id}{_ENDING}", is_new=True)


def require_folder(folder: str | Path = DEFAULT_FOLDER) -> None:
    """Make the folder of kept profiles, before anything is run whose profile is to be kept; raise `StoreError`."""
    make_folder_of(Path(folder) / "any")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise StoreError(f"{folder}: you may not write here. Run in another folder, or give --no-keep")


def write_profile(profile: Profile, path: str | Path, *, is_new: bool = False) -> Path:
    """Write a profile to a file of any name, whole or not at all; `RecordExistsError` where a new one is there."""
    path = Path(path)
    try:
        write_file(path, to_json(profile).encode() + b"\n", is_new=is_new)
    except FileExistsError as error:
        raise RecordExistsError(
            f"{path}: this profile is already there, and nothing is ever overwritten. Show it: "
            f"firstgrad profile --show {path}"
        ) from error
    return path


def read_profile(path: str | Path) -> Profile:
    """Read a profile's file; `StoreError` where it isn't one, of this version or an earlier one."""
    path = Path(path)
    try:
        text = path.read_bytes()
    except OSError as error:
        raise StoreError(
            f"{path}: cannot be read ({error.strerror or error}). Give a profile's file, or a kept profile's record id"
        ) from error
    next_step = "Give a file that firstgrad profile wrote, or profile again"
    return decode_stored(text, Profile, where=str(path), next_step=next_step, again="Profile the case again")


def find_profile(what: str, folder: str | Path = DEFAULT_FOLDER) -> Path:
    """Find a profile by its file, or the beginning of its record id; `StoreError` lists the candidates."""
    if names_file(what):
        return Path(what)
    kept = list_profiles(folder)
    if what.endswith(_ENDING):
        raise StoreError(f"{what}: there is no such file. {_listed(kept, folder)}")
    candidates = [path for path in kept if path.stem.startswith(what)]
    chosen = [path for path in candidates if path.stem == what] or candidates
    if len(chosen) == 1:
        return chosen[0]
    if not what or not candidates:
        raise StoreError(f"no kept profile's record id begins with {what!r}. {_listed(kept, folder)}")
    raise StoreError(f"{what!r} begins {len(candidates)} record ids. Give more of it. {_listed(candidates, folder)}")


def names_file(what: str) -> bool:
    """Whether a text is the name of a file that is there; a text that cannot be a name is none."""
    with suppress(OSError):  # too long, for one
        return Path(what).is_file()
    return False


def list_profiles(folder: str | Path = DEFAULT_FOLDER) -> tuple[Path, ...]:
    """List the files of kept profiles, the latest first; empty where the folder isn't there."""
    try:
        files = [
            (-path.stat().st_mtime, path)
            for path in Path(folder).iterdir()
            if path.suffix == _ENDING and not path.name.startswith(".") and path.is_file()
        ]
    except OSError:
        return ()
    return tuple(path for _, path in sorted(files))


def _listed(paths: Sequence[Path], folder: str | Path) -> str:
    if not paths:
        return f"{folder} has none. Make one: firstgrad profile"
    names = "; ".join(f"{path.stem} ({_case_of(path)})" for path in paths[:_MOST_CANDIDATES])
    more = f"; and {len(paths) - _MOST_CANDIDATES} older ones" if len(paths) > _MOST_CANDIDATES else ""
    return f"{folder} has {names}{more}"


def _case_of(path: Path) -> str:
    with suppress(StoreError):
        return str(read_profile(path).record.case)
    return "unreadable"
