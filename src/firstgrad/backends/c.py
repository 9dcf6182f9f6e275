"""The C backend: PyTensor writes C++ modules and g++ compiles them, one process each."""

from __future__ import annotations

from firstgrad.backends.base import BackendFacts
from firstgrad.backends.pytensor import PyTensorBackend
from firstgrad.case import BackendName
from firstgrad.observe.disk_cache import CacheEntry


class CBackend(PyTensorBackend):
    """PyTensor's C virtual machine."""

    facts = BackendFacts(
        name=BackendName.C,
        compiler=BackendName.C,
        colour="#D55E00",
        marker="o",
        mode=("cvm", "fast_run"),
        programs=("g++", "clang++"),
        missing="a C++ compiler (g++)",
        install="apt-get install g++ (Debian, Ubuntu), or conda install gxx",
        keeps="PyTensor keeps Numba's and C's in base_compiledir",
        cache_entries=(CacheEntry(name=r".+\.(so|pyd|dylib)", beside="mod.cpp"),),
    )


BACKENDS = (CBackend(),)
