"""A stored document back to a record, or an error that says which and what to do."""

from __future__ import annotations

import json

from firstgrad.codec import DecodeError, from_json
from firstgrad.errors import SchemaTooNewError, StoreError
from firstgrad.record import SCHEMA_VERSION, Record

_LONGEST_DETAIL = 500


def read_document(document: str | bytes, *, where: str, next_step: str) -> Record:
    """Decode one record.

    Parameters
    ----------
    document : str or bytes
        What `firstgrad.codec.to_json` wrote.
    where : str
        Names the document in errors.
    next_step : str
        What a reader can do about a damaged one.

    Raises
    ------
    SchemaTooNewError
        Where a newer firstgrad wrote it.
    StoreError
        Where it cannot be decoded.
    """
    try:
        record = from_json(document, Record)
    except DecodeError as error:
        _refuse_newer(_schema_version(document), where)
        detail = str(error)
        if len(detail) > _LONGEST_DETAIL:
            detail = detail[:_LONGEST_DETAIL] + "..."
        raise StoreError(f"{where}: {detail}. {next_step}") from error
    _refuse_newer(record.schema_version, where)
    return record


def _refuse_newer(version: int, where: str) -> None:
    if version > SCHEMA_VERSION:
        raise SchemaTooNewError(
            f"{where}: record schema version {version} was written by a newer firstgrad; this one reads up "
            f"to {SCHEMA_VERSION}. Upgrade firstgrad (pip install --upgrade firstgrad)"
        )


def _schema_version(document: str | bytes) -> int:
    """Version that a document claims to have, 0 where it claims none."""
    try:
        version = json.loads(document)["schema_version"]
    except Exception:  # noqa: BLE001 - damaged in any way: then it claims nothing
        return 0
    return version if isinstance(version, int) else 0
