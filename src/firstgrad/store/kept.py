"""Kept profiles and traces: a JSON file each, named after its id; never overwritten."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from firstgrad.codec import to_json
from firstgrad.errors import RecordExistsError, StoreError
from firstgrad.store.files import make_folder_of, write_file
from firstgrad.store.jsonl import decode_stored

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_ENDING = ".json"
_MOST_CANDIDATES = 10


@dataclass(frozen=True, kw_only=True)
class KeptFiles[T]:
    """Where documents of one kind are kept, and how they are found again."""

    kind: type[T]
    noun: str  # what one is called
    id_noun: str  # and its id
    verb: str  # of the command line, which makes and shows one
    id_of: Callable[[T], str]
    describe: Callable[[T], str]  # in a list of candidates

    @property
    def default_folder(self) -> str:
        """The folder, seen from a project's root."""
        return f".firstgrad/{self.noun}s"

    def keep(self, document: T, folder: str | Path | None = None) -> Path:
        """Write one to ``FOLDER/ID.json``, whole or not at all; never over another."""
        name = self.id_of(document)
        if not name or Path(name).name != name or name.startswith("."):
            raise StoreError(f"{self.id_noun} {name!r} makes no file name. Give the {self.noun} another one")
        return self.write(document, self._in(folder) / f"{name}{_ENDING}", is_new=True)

    def require_folder(self, folder: str | Path | None = None) -> None:
        """Make the folder before anything is run that is to be kept; raises StoreError."""
        place = self._in(folder)
        make_folder_of(place / "any")
        if not os.access(place, os.W_OK | os.X_OK):
            raise StoreError(f"{place}: you may not write here. Run in another folder, or give --no-keep")

    def write(self, document: T, path: str | Path, *, is_new: bool = False) -> Path:
        """Write one to a file of any name, whole or not at all; RecordExistsError where a new one is there."""
        path = Path(path)
        try:
            write_file(path, to_json(document).encode() + b"\n", is_new=is_new)
        except FileExistsError as error:
            raise RecordExistsError(
                f"{path}: this {self.noun} is already there, and nothing is ever overwritten. Show it: "
                f"firstgrad {self.verb} --show {path}"
            ) from error
        return path

    def read(self, path: str | Path) -> T:
        """Read a file; StoreError where it isn't one of these, of this version or an earlier one."""
        path = Path(path)
        try:
            text = path.read_bytes()
        except OSError as error:
            raise StoreError(
                f"{path}: cannot be read ({error.strerror or error}). Give a {self.noun}'s file, or a kept "
                f"{self.noun}'s {self.id_noun}"
            ) from error
        next_step = f"Give a file that firstgrad {self.verb} wrote, or {self.verb} again"
        return decode_stored(
            text, self.kind, where=str(path), next_step=next_step, again=f"{self.verb.capitalize()} it again"
        )

    def find(self, what: str, folder: str | Path | None = None) -> Path:
        """Find one by its file, or the beginning of its id; StoreError lists the candidates."""
        if names_file(what):
            return Path(what)
        kept = self.files(folder)
        if what.endswith(_ENDING):
            raise StoreError(f"{what}: there is no such file. {self._listed(kept, folder)}")
        candidates = [path for path in kept if path.stem.startswith(what)]
        chosen = [path for path in candidates if path.stem == what] or candidates
        if len(chosen) == 1:
            return chosen[0]
        if not what or not candidates:
            raise StoreError(f"no kept {self.noun}'s {self.id_noun} begins with {what!r}. {self._listed(kept, folder)}")
        raise StoreError(
            f"{what!r} begins {len(candidates)} {self.id_noun}s. Give more of it. {self._listed(candidates, folder)}"
        )

    def files(self, folder: str | Path | None = None) -> tuple[Path, ...]:
        """List the files of those that are kept, the latest first; empty where the folder isn't there."""
        try:
            files = [
                (-path.stat().st_mtime, path)
                for path in self._in(folder).iterdir()
                if path.suffix == _ENDING and not path.name.startswith(".") and path.is_file()
            ]
        except OSError:
            return ()
        return tuple(path for _, path in sorted(files))

    def _in(self, folder: str | Path | None) -> Path:
        return Path(self.default_folder if folder is None else folder)

    def _listed(self, paths: Sequence[Path], folder: str | Path | None) -> str:
        if not paths:
            return f"{self._in(folder)} has none. Make one: firstgrad {self.verb}"
        names = "; ".join(f"{path.stem} ({self._described(path)})" for path in paths[:_MOST_CANDIDATES])
        more = f"; and {len(paths) - _MOST_CANDIDATES} older ones" if len(paths) > _MOST_CANDIDATES else ""
        return f"{self._in(folder)} has {names}{more}"

    def _described(self, path: Path) -> str:
        with suppress(StoreError):
            return self.describe(self.read(path))
        return "unreadable"


def names_file(what: str) -> bool:
    """Whether a text is the name of a file that is there; a text that cannot be a name is none."""
    with suppress(OSError):  # too long, for one
        return Path(what).is_file()
    return False
