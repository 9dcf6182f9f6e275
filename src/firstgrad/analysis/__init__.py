"""Estimates from raw samples: functions of what is stored, they never measure."""

from __future__ import annotations
