"""The C backend: PyTensor writes C++ modules and g++ compiles them, one process each."""

from __future__ import annotations

import shutil
from typing import Any

from firstgrad.backends.pytensor_base import PyTensorBackend
from firstgrad.case import BackendName
from firstgrad.errors import BackendUnavailable


class CBackend(PyTensorBackend):
    """PyTensor's C virtual machine."""

    name = BackendName.C

    def require(self) -> None:
        """Look for a C++ compiler."""
        if not any(shutil.which(compiler) for compiler in ("g++", "clang++")):
            raise BackendUnavailable(
                self.name,
                "a C++ compiler (g++)",
                "apt-get install g++ (Debian, Ubuntu), or conda install gxx",
            )

    def mode(self) -> Any:
        """Return the mode that ``linker=cvm`` with full rewriting gives."""
        from pytensor.compile.mode import Mode

        return Mode("cvm", "fast_run")


BACKEND = CBackend()
