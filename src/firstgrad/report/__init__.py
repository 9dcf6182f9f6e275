"""Pages made from stored records: functions of records, they never measure."""

from __future__ import annotations
