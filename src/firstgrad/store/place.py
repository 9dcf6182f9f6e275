"""Where a store is: a file or a URL, told apart by their spelling."""

from __future__ import annotations

from typing import TYPE_CHECKING

from firstgrad.errors import StoreError

if TYPE_CHECKING:
    from pathlib import Path

DEFAULT_PATH = ".firstgrad/results.sqlite"
"""The store of a project, seen from the project's root."""


def is_url(url_or_path: str | Path) -> bool:
    """Whether this is an SQLAlchemy URL; everything else is a path."""
    return isinstance(url_or_path, str) and "://" in url_or_path


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
