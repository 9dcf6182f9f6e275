"""Which trace viewer a profile is written for."""

from __future__ import annotations

from enum import StrEnum


class TraceFormat(StrEnum):
    """``speedscope``: for speedscope.app. ``chrome``: for Perfetto and Chrome's own tracing, with memory."""

    SPEEDSCOPE = "speedscope"
    CHROME = "chrome"

    @property
    def file_name(self) -> str:
        """What a trace of this format is called in a profile's folder."""
        return f"trace.{self}.json"
