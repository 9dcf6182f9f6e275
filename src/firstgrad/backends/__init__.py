"""Backends: what the graph is compiled to. A file each with a tuple ``BACKENDS``, and with all facts of them.

Importing a backend's file imports nothing that it compiles with: facts are read on the parent's side too.
"""

from __future__ import annotations

import shutil
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pkgutil import iter_modules
from typing import TYPE_CHECKING

from firstgrad.case import BackendName
from firstgrad.errors import BackendUnavailable

if TYPE_CHECKING:
    from firstgrad.backends.base import Backend, BackendFacts
    from firstgrad.observe.disk_cache import CacheEntry

__all__ = ["all_facts", "cache_entries", "facts_of", "load_backend"]


@cache
def _backends() -> dict[BackendName, Backend]:
    modules = (import_module(f"{__name__}.{module.name}") for module in iter_modules(__path__))
    known = {backend.facts.name: backend for module in modules for backend in getattr(module, "BACKENDS", ())}
    return {name: known[name] for name in BackendName}


def all_facts() -> tuple[BackendFacts, ...]:
    """List the facts of all backends, in the order of their names' enumeration."""
    return tuple(backend.facts for backend in _backends().values())


def facts_of(name: BackendName) -> BackendFacts:
    """Find the facts of a backend."""
    return _backends()[name].facts


def cache_entries() -> tuple[CacheEntry, ...]:
    """List the kinds of cache entries, of all backends."""
    return tuple(dict.fromkeys(entry for facts in all_facts() for entry in facts.cache_entries))


def load_backend(name: BackendName) -> Backend:
    """Find a backend; `BackendUnavailable` names what is not installed, and the command that installs it."""
    backend = _backends()[name]
    facts = backend.facts
    has_package = not facts.package or find_spec(facts.package) is not None
    has_program = not facts.programs or any(shutil.which(program) for program in facts.programs)
    if not (has_package and has_program):
        raise BackendUnavailable(name, facts.missing, facts.install)
    return backend
