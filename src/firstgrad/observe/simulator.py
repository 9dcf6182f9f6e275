"""Instructions of this process by Valgrind, which runs it one by one: exact, at some 75 times the time.

The worker is started by Valgrind's tool callgrind with counting switched off, and switches it on for the measured
window by Valgrind's own door for programs that know of it: a few rotations of a register that do nothing elsewhere.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import platform
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from firstgrad.errors import SpecError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_FILE = "callgrind.counts"
# callgrind.h: ('C' << 24) + ('T' << 16), and the number of each request
_DUMP, _ZERO, _START, _STOP = (0x43540000 + number for number in (0, 1, 4, 5))
# valgrind.h, of amd64, as a function of the request's address
_DOOR = bytes.fromhex("4889f8 31d2 48c1c703 48c1c70d 48c1c73d 48c1c733 4887db 4889d0 c3")
# Valgrind doesn't know AVX-512: what leaves it out.
_NUMBA_PROCESSOR, _CXX_FLAGS = "haswell", "gcc__cxxflags"
_CXX_PROCESSOR = "x86-64-v3"


def find_valgrind() -> str:
    """Find Valgrind; raises `SpecError` where there is none, or none for this processor."""
    if platform.machine() != "x86_64":
        raise SpecError("--counting", f"simulated is for x86-64 processors, and this one is {platform.machine()}")
    program = shutil.which("valgrind")
    if program is None:
        raise SpecError("--counting", "simulated needs Valgrind: apt-get install valgrind (Debian, Ubuntu), or conda")
    return program


def in_valgrind(command: Sequence[str], variables: Mapping[str, str]) -> tuple[list[str], dict[str, str]]:
    """Return what runs a command in Valgrind, and with which variables; raises as `find_valgrind`."""
    counts = Path(variables["TMPDIR"]) / _FILE
    options = ["--tool=callgrind", "--instr-atstart=no", f"--callgrind-out-file={counts}", "--quiet"]
    flags = variables.get("PYTENSOR_FLAGS", "")
    if _CXX_FLAGS not in flags:
        flags = ",".join(filter(None, (flags, f"{_CXX_FLAGS}=-march={_CXX_PROCESSOR}")))
    changed = {"NUMBA_CPU_NAME": _NUMBA_PROCESSOR, "PYTENSOR_FLAGS": flags}
    return [find_valgrind(), *options, *command], {**variables, **changed}


class Simulator:
    """Switches Valgrind's counting on and off; where this process doesn't run in it, nothing is counted."""

    def __init__(self) -> None:
        self._code = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
        self._code.write(_DOOR)
        place = ctypes.addressof(ctypes.c_char.from_buffer(self._code))
        self._ask = ctypes.CFUNCTYPE(ctypes.c_uint64, ctypes.c_void_p)(place)

    def _request(self, number: int) -> None:
        arguments = (ctypes.c_uint64 * 6)(number)
        self._ask(ctypes.addressof(arguments))

    @contextmanager
    def counting(self) -> Iterator[None]:
        """Count within a block."""
        self._request(_START)
        self._request(_ZERO)
        yield
        self._request(_DUMP)
        self._request(_STOP)

    def read(self) -> int:
        """Return what was counted; raises `UnavailableError` where nothing was."""
        folder = Path(os.environ.get("TMPDIR", "."))
        for file in sorted(folder.glob(f"{_FILE}*")):
            with file.open(errors="replace") as lines:
                for line in lines:
                    if line.startswith(("totals:", "summary:")) and (number := int(line.split()[1])):
                        return number
        raise UnavailableError("simulated_instructions: this worker doesn't run in Valgrind, or it counted nothing")
