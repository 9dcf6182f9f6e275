"""Figures: functions of records. They never measure or fit; each returns its `Figure`."""

from __future__ import annotations
