"""What goes into a store: a record, though its server may be away for a while; the records of an export."""

from __future__ import annotations

import hashlib
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING

from firstgrad.codec import to_json
from firstgrad.errors import RecordExistsError, StoreError, StoreUnreachableError
from firstgrad.store.jsonl import DEFAULT_PATH, export_jsonl, import_jsonl

if TYPE_CHECKING:
    from collections.abc import Callable

    from firstgrad.record import Record
    from firstgrad.store.store import Store

PATIENCE_SECONDS = 600.0
_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 30.0
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_-]{1,100}")


def add_patiently(
    store: Store,
    record: Record,
    *,
    patience_seconds: float = PATIENCE_SECONDS,
    folder: str | Path = Path(DEFAULT_PATH).parent,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], object] = time.sleep,
    on_wait: Callable[[StoreUnreachableError, float], object] | None = None,
) -> None:
    """Keep a record, trying again while the store's server is away.

    The record is in the store once when this returns, also where the server took it and its answer was lost: a record
    that is there already with the same content counts as kept.

    Parameters
    ----------
    store : Store
        It was opened already.
    record : Record
        What to keep.
    patience_seconds : float
        How long to try.
    folder : str or Path
        Where the record is saved when it cannot be kept, as ``unsaved-<record_id>.jsonl``.
    clock, sleep : callable
        In seconds.
    on_wait : callable, optional
        Told before each pause: the error, and how long the pause is going to be in seconds.

    Raises
    ------
    RecordExistsError
        Where another record of this `record_id` is there.
    StoreUnreachableError
        Where the patience is over. The record is in a file that the error names.
    StoreError
        Where writing fails for another reason. The record is in a file then, too.
    """
    deadline = clock() + patience_seconds
    pause_seconds = _FIRST_PAUSE_SECONDS
    while True:
        try:
            _add_once(store, record)
        except RecordExistsError:
            raise
        except StoreUnreachableError as error:
            left_seconds = deadline - clock()
            if left_seconds <= 0:
                raise _saved(record, folder, error) from error
            pause_seconds = min(pause_seconds, left_seconds)
            _wait(record, folder, error, pause_seconds, sleep, on_wait)
            pause_seconds = min(2 * pause_seconds, _LONGEST_PAUSE_SECONDS)
        except StoreError as error:
            raise _saved(record, folder, error) from error
        else:
            return


def _add_once(store: Store, record: Record) -> None:
    try:
        store.add(record)
    except RecordExistsError:
        if to_json(store.get(record.record_id)) != to_json(record):
            raise


def _wait(
    record: Record,
    folder: str | Path,
    error: StoreUnreachableError,
    pause_seconds: float,
    sleep: Callable[[float], object],
    on_wait: Callable[[StoreUnreachableError, float], object] | None,
) -> None:
    try:
        if on_wait is not None:
            on_wait(error, pause_seconds)
        sleep(pause_seconds)
    except BaseException:  # Ctrl-C above all: who waits no longer wants the record all the same
        _save(record, folder)
        raise


def _saved[E: StoreError](record: Record, folder: str | Path, error: E) -> E:
    """Save the record, and say so in an error of the same kind."""
    path = _save(record, folder)
    return type(error)(
        f"{error}. The record is safe in {path}. Add it when the store can be written again: "
        f"firstgrad.store.import_into(Store.open(URL), {str(path)!r})"
    )


def _save(record: Record, folder: str | Path) -> Path:
    name = record.record_id
    if not _PLAIN_NAME.fullmatch(name):
        name = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    path = Path(folder) / f"unsaved-{name}.jsonl"
    export_jsonl([record], path)
    return path


def import_into(store: Store, path: str | Path) -> tuple[int, int]:
    """Add the records of a file to a store, passing over each `record_id` that is already there.

    Each record is its own transaction: after an error, those before the bad line are in the store, and the
    next import passes over them.

    Returns
    -------
    added, skipped : int
        How many were new, and how many were there.

    Raises
    ------
    StoreError
        As `import_jsonl` and `Store.add` do.
    """
    added = skipped = 0
    for record in import_jsonl(path):
        if record.record_id in store:
            skipped += 1
        else:
            store.add(record)
            added += 1
    return added, skipped
