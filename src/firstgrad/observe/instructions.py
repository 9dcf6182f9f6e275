"""Instructions that this process and its children execute in user mode, counted by the processor itself.

Linux offers them through ``perf_event_open(2)``, where the processor has the counter, the kernel lets a user read it
(``/proc/sys/kernel/perf_event_paranoid`` at most 2), and no virtual machine hides it. Elsewhere there is none, and none
is made up. Between identical runs they differ far less than seconds do, since other processes don't count.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
import sys
from typing import NamedTuple

_SYSCALL = {"x86_64": 298, "aarch64": 241}
_ATTRIBUTE_BYTES = 112
_INHERIT, _EXCLUDE_KERNEL, _EXCLUDE_HYPERVISOR = 1 << 1, 1 << 5, 1 << 6
_TOTAL_TIME_ENABLED, _TOTAL_TIME_RUNNING = 1, 2
_CLOSE_ON_EXEC = 8


class PerfEvent(NamedTuple):
    """What the kernel is asked to count, by its own numbers (``linux/perf_event.h``)."""

    kind: int
    config: int


INSTRUCTIONS = PerfEvent(kind=0, config=1)  # PERF_TYPE_HARDWARE, PERF_COUNT_HW_INSTRUCTIONS


class InstructionCounter:
    """Counts from the moment it is made: this thread, and all threads and processes that it starts from then on."""

    def __init__(self, event: PerfEvent = INSTRUCTIONS) -> None:
        self._file = _open(event)

    def read(self) -> int | None:
        """Read the count so far; None where it is not counted, or extrapolated: the counter was shared with others."""
        if self._file is None:
            return None
        try:
            count, enabled, running = struct.unpack("QQQ", os.read(self._file, 24))
        except (OSError, struct.error):
            return None
        return int(count) if running >= enabled else None


def _open(event: PerfEvent) -> int | None:
    number = _SYSCALL.get(platform.machine())
    if sys.platform != "linux" or number is None:
        return None
    flags = _INHERIT | _EXCLUDE_KERNEL | _EXCLUDE_HYPERVISOR
    times = _TOTAL_TIME_ENABLED | _TOTAL_TIME_RUNNING
    # type, size, config, sample_period, sample_type, read_format, flags; the rest is zero
    fields = struct.pack("IIQQQQQ", event.kind, _ATTRIBUTE_BYTES, event.config, 0, 0, times, flags)
    attribute = ctypes.create_string_buffer(fields, _ATTRIBUTE_BYTES)
    try:
        file = ctypes.CDLL(None, use_errno=True).syscall(number, attribute, 0, -1, -1, _CLOSE_ON_EXEC)
    except (OSError, AttributeError):
        return None
    return None if file < 0 else int(file)
