"""What the shell is told."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """Exit codes of every verb."""

    GOOD = 0
    DIFFERENT = 1
    WRONG_USE = 2
    CASE_FAILED = 3
    INTERRUPTED = 130
