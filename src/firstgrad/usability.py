"""Whether a record's numbers count, and why not."""

from __future__ import annotations
