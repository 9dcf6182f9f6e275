"""How what was measured gets into a store, whatever becomes of the store: no record is lost in silence."""

from __future__ import annotations

import hashlib
import logging
import re
import shlex
import sys
import tempfile
import time
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Self

from firstgrad.codec import to_json
from firstgrad.errors import RecordExistsError, StoreError, StoreUnreachableError
from firstgrad.store.address import DEFAULT_PATH, StoreAddress
from firstgrad.store.jsonl import export_jsonl, import_jsonl
from firstgrad.units import format_count

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from firstgrad.record import Record
    from firstgrad.store.store import Store

_LOG = logging.getLogger(__name__)
PATIENCE_SECONDS = 600.0
_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 30.0
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_-]{1,100}")


@dataclass(slots=True)
class Keeper:
    """Keeps the records of a run in a store.

    A server that is away is waited for. A SQLite file that is removed while this runs is made anew, with the records of
    this run. What can't be stored goes to a file, ``unsaved-<record_id>.jsonl``: in `folder`, or where that can't be
    written, in the folder for temporary files or the home folder; or else to standard error, as a line of JSON.

    Use it in a ``with`` statement: the store is open from its beginning, and at its end it makes sure once more that
    the file is there. Without one the first record opens the store.

    Parameters
    ----------
    place : StoreAddress, str, Path or Store, optional
        The project's own store where left out. A `Store` stays open.
    patience_seconds : float
        How long a server is waited for; once it was in vain, no longer.
    folder : str or Path
        Where what can't be stored goes first.
    tell : callable
        Told in a line what a person should know: that a server is waited for, that the file was made anew.
    clock, sleep : callable
        In seconds.
    """

    place: StoreAddress | str | Path | Store | None = field(default=None, repr=False)  # it may hold a password
    _: KW_ONLY
    patience_seconds: float = PATIENCE_SECONDS
    folder: str | Path = Path(DEFAULT_PATH).parent
    tell: Callable[[str], object] = lambda line: sys.stderr.write(f"firstgrad: {line}\n")
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], object] = time.sleep
    address: StoreAddress = field(init=False)
    _store: Store | None = field(default=None, init=False)
    _kept: list[str] = field(default_factory=list, init=False)
    """Ids of the records of this run that are in the store."""

    def __post_init__(self) -> None:
        from firstgrad.store.store import Store

        self.address = self.place.address if isinstance(self.place, Store) else StoreAddress.of(self.place)

    @property
    def store(self) -> Store:
        """The store; opened, and made where there is none, when this is first asked for. Raises `StoreError`."""
        from firstgrad.store.store import Store

        if self._store is None:
            self._store = self.place if isinstance(self.place, Store) else Store.open(self.address)
        return self._store

    def keep(self, record: Record) -> None:
        """Keep a record: it is in the store once when this returns, on the disk.

        Also where the server took it and its answer was lost: a record that is there already with the same content
        counts as kept.

        Raises
        ------
        RecordExistsError
            Where another record of this `record_id` is there.
        StoreUnreachableError
            Where the patience is over. The error says where the record is.
        StoreError
            Where it can't be stored for another reason. The error says where the record is.
        """
        deadline = self.clock() + self.patience_seconds
        pause_seconds = _FIRST_PAUSE_SECONDS
        while True:
            try:
                self._add(record)
            except RecordExistsError:
                raise
            except StoreError as error:
                left_seconds = deadline - self.clock()
                if self._is_lost:
                    self.make_sure()
                elif not isinstance(error, StoreUnreachableError) or left_seconds <= 0:
                    self.patience_seconds = 0.0
                    raise self._unsaved([record], error) from error
                else:
                    pause_seconds = min(pause_seconds, left_seconds)
                    self._wait(record, error, pause_seconds)
                    pause_seconds = min(2 * pause_seconds, _LONGEST_PAUSE_SECONDS)
            except BaseException:  # Ctrl-C or SIGTERM amid the transaction: whether it is done, nobody knows
                self.tell(self._save([record]))
                raise
            else:
                self._kept.append(record.record_id)
                self.make_sure()
                _LOG.info("sample %.8s is in %s", record.record_id, self.address)
                return

    def make_sure(self) -> StoreAddress:
        """Make sure that the store's file is there, and return where it is, for whoever says where the records are.

        A file that was removed or replaced is made anew, or opened as it is now, and gets the records of this run:
        connections to the old one still read it.

        Raises
        ------
        StoreError
            Where records of this run are lost, or can't be stored again; it says how many, or where they are.
        """
        if not self._is_lost or self._store is None:
            return self.address
        lost, self._store, kept, self._kept = self._store, None, self._kept, []
        records: list[Record] = []
        try:
            records += lost.records(record_ids=kept)
        except StoreError:
            pass  # those that were read are stored again; the others are counted below
        finally:
            lost.close()
        try:
            missing = [record for record in records if record.record_id not in self.store]
            for record in missing:
                self._add(record)
        except StoreError as error:
            raise self._unsaved(records, error) from error
        self._kept += [record.record_id for record in records]
        if kept and len(records) == len(kept) and not missing:
            return self.address  # the same file all the same: some file systems number theirs anew now and then
        samples = format_count(len(records), "sample")
        what = f"{self.address}: this file was removed or replaced while it was in use"
        if len(records) < len(kept):
            raise StoreError(f"{what}. It has {samples} of this run again; {len(kept) - len(records)} are lost")
        self.tell(f"{what}. It is there again with the {samples} of this run so far; what else it had is gone")
        return self.address

    def close(self) -> None:
        """Close the store; closing twice does nothing."""
        from firstgrad.store.store import Store

        if self._store is not None and not isinstance(self.place, Store):
            self._store.close()
        self._store = None

    def __enter__(self) -> Self:
        self.store  # noqa: B018 - opened before anything is measured
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            self.make_sure()
        except StoreError as error:
            if kind is None:
                raise
            self.tell(str(error))  # the first error is what ends the run
        finally:
            self.close()

    @property
    def _is_lost(self) -> bool:
        return self._store is not None and self._store.is_lost

    def _add(self, record: Record) -> None:
        try:
            self.store.add(record)
        except RecordExistsError:
            if to_json(self.store.get(record.record_id)) != to_json(record):
                raise

    def _wait(self, record: Record, error: StoreError, pause_seconds: float) -> None:
        try:
            self.tell(str(error))
            self.sleep(pause_seconds)
        except BaseException:  # Ctrl-C above all: who waits no longer wants the record all the same
            self.tell(self._save([record]))
            raise

    def _unsaved[E: StoreError](self, records: Sequence[Record], error: E) -> E:
        """Save records elsewhere, and say so in an error of the same kind."""
        return type(error)(f"{error}. {self._save(records)}")

    def _save(self, records: Sequence[Record]) -> str:
        """Save records where there is room, and say where they are and how to bring them in."""
        name = records[0].record_id
        if not _PLAIN_NAME.fullmatch(name):
            name = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:16]
        samples = format_count(len(records), "sample")
        for place in (self.folder, None, "~"):
            try:
                folder = Path(place or tempfile.gettempdir()).expanduser()
                path = folder.absolute() / f"unsaved-{name}.jsonl"
                export_jsonl(records, path)
            except (StoreError, OSError, RuntimeError):  # no such folder, no room there, no home
                continue
            command = f"firstgrad import {shlex.quote(str(path))}{self.address.option}"
            return f"{samples} of this run: safe in {path}. When the store can be written again: {command}"
        for record in records:
            sys.stderr.write(f"{to_json(record)}\n")
        command = f"firstgrad import FILE{self.address.option}"
        return f"{samples} of this run: a line of JSON each on standard error, since no file can be written. {command}"


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
