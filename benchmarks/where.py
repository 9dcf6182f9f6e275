"""Where and with what something was measured, as a sentence of a page; written beside the numbers."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version

from firstgrad.measuring.environment import host_fingerprint

PACKAGES = ("pymc", "pytensor", "numba", "jax", "nutpie")


def where(how: str, packages: tuple[str, ...] = PACKAGES) -> str:
    """Return how it was measured, then packages, Python, processor and day."""
    installed = []
    for name in packages:
        try:
            installed.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    host, python = host_fingerprint(), sys.version.split()[0]
    return (
        f"{how}. {', '.join(installed)}; Python {python}; {host.cores} cores of {host.processor}; "
        f"{datetime.now(UTC):%Y-%m-%d}."
    )
