"""What the pytest-benchmark suite shares: the grid of asv's suite, a store, and a host that doesn't flicker."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from firstgrad.measuring.environment import host_fingerprint
from firstgrad.store import DEFAULT_PATH, Store

if TYPE_CHECKING:
    from collections.abc import Iterator

# `benchmarks` is a package at the project's root, which `pytest`, unlike `python -m pytest`, leaves out.
sys.path.insert(0, str(Path(__file__).parents[2]))


def pytest_configure() -> None:
    """Refuse a tier that there isn't, before anything is collected."""
    from benchmarks.tiers import tier

    try:
        tier()
    except SystemExit as error:
        raise pytest.UsageError(str(error)) from error


@pytest.fixture(scope="session")
def store(pytestconfig: pytest.Config) -> Iterator[Store]:
    """Keep whole records where the command line keeps its own."""
    with Store.open(pytestconfig.rootpath / DEFAULT_PATH) as opened:
        yield opened


def pytest_benchmark_update_machine_info(machine_info: dict[str, Any]) -> None:
    """Name the host as firstgrad does, so that only another host is reported as different.

    What pytest-benchmark finds out itself holds the processor's frequency of the moment.
    """
    machine_info["cpu"] = {"brand_raw": host_fingerprint().processor, "count": host_fingerprint().cores}
    machine_info["host"] = host_fingerprint().digest
