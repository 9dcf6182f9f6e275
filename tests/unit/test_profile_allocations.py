"""The run under memray that follows a profile: what fails there costs its sites, never the profile."""

from types import SimpleNamespace

import pytest

from firstgrad.errors import WorkerError
from firstgrad.measure import profiling
from helpers import make_case, make_record


@pytest.mark.parametrize("error", [WorkerError("memray drew no flame graph: disk full"), OSError("disk full")])
def test_a_memray_that_fails_costs_only_its_sites(monkeypatch, tmp_path, error):
    def fail(*_):
        raise error

    monkeypatch.setattr(profiling, "run_worker", lambda *_: None)
    monkeypatch.setattr(profiling, "conclude", lambda *_: make_record())
    monkeypatch.setattr(profiling, "summarise_allocations", fail)
    private = SimpleNamespace(folder=tmp_path, caches=tmp_path)
    sites, problem = profiling._allocation_sites(make_case(), private, lambda _: None, 1, tmp_path)
    assert sites == ()
    assert problem == f"allocations: {error}"
