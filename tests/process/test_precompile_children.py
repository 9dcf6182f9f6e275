"""Children of ``firstgrad.precompile`` that crash, raise, never end or lose their parent; their units are planted."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import pytest

from firstgrad.case import BackendName, Sampler
from firstgrad.errors import FirstgradError, ModelError, SpecError
from firstgrad.model import make_model
from firstgrad.precompiling import launch

HERE = Path(__file__).parent
LONGEST_SECONDS = 60.0


@pytest.fixture
def plant(monkeypatch, tmp_path):
    """Have children make planted units; their caches and the user's are in a temporary folder."""
    folder, cache = tmp_path / "tmp", tmp_path / "cache"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.setattr(launch, "WORKER", "planted_units")
    monkeypatch.setattr(launch, "_user_cache", lambda _: (cache, {}))
    monkeypatch.setenv("PYTHONPATH", str(HERE))

    def run(kinds, **options):
        monkeypatch.setenv("PLANTED_UNITS", kinds)
        asked = {"backend": BackendName.C, "jobs": 2, "time_limit_seconds": LONGEST_SECONDS} | options
        try:
            return launch.precompile(make_model("pose"), **asked)
        finally:
            assert not list(folder.glob("firstgrad-*")), "no private folder is left"
            assert not psutil.Process().children(recursive=True), "no child is left"

    run.cache = cache
    return run


def names(folder):
    return sorted(path.name for path in folder.glob("*"))


def test_all_units_of_all_children_are_merged(plant):
    report = plant("good good good good")
    assert (report.entries, report.size_bytes, report.failed, report.left) == (4, 48, False, ())
    assert names(plant.cache) == [f"unit{number}" for number in range(4)]
    assert {unit.name for unit in report.units} == {f"good {number}" for number in range(4)}
    assert all(child.cpu_seconds > 0 and child.peak_bytes > 10**6 for child in report.children)


def test_a_child_that_is_killed_loses_its_unit_only(plant):
    report = plant("good crash good good")
    assert report.failed
    assert [unit.name for unit in report.left] == ["crash 1"]
    assert "killed" in report.left[0].left
    assert sum(bool(child.failure) for child in report.children) == 1
    assert len(names(plant.cache)) == 3


def test_a_unit_that_raises_is_named_and_its_child_goes_on(plant):
    report = plant("raise good good", jobs=1)
    assert report.failed
    assert [(unit.name, unit.left) for unit in report.left] == [("raise 0", "TypeError: no such function")]
    assert names(plant.cache) == ["unit1", "unit2"]


def test_where_all_children_are_killed_the_cache_is_as_it_was(plant):
    with pytest.raises(FirstgradError, match=r"all processes failed: it was killed.*Your cache is as it was"):
        plant("crash", jobs=1)
    assert not plant.cache.exists()


def test_a_model_that_cannot_be_built_says_why(plant):
    with pytest.raises(ModelError, match="no such data file"):
        plant("unbuilt")


def test_past_the_time_limit_the_unit_is_named_and_the_cache_is_as_it_was(plant):
    with pytest.raises(FirstgradError, match=r"wasn't done in time in endless 1"):
        plant("good endless", time_limit_seconds=5.0)
    assert not plant.cache.exists()


def test_an_interrupt_ends_the_children_and_leaves_the_cache_as_it_was(plant):
    def interrupt(_event):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        plant("good endless", on_event=interrupt)
    assert not plant.cache.exists()


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"backend": BackendName.JAX}, "backend"),
        ({"jobs": 0}, "jobs"),
        ({"sampler": Sampler.NUMPYRO}, "sampler"),
        ({"sampler": Sampler.NUTPIE}, "sampler"),
    ],
)
def test_wrong_use_starts_nothing(plant, options, field):
    with pytest.raises(SpecError) as error:
        plant("good", **options)
    assert error.value.field == field


PARENT = """
import sys
from pathlib import Path
from firstgrad.case import BackendName
from firstgrad.model import make_model
from firstgrad.precompiling import launch
launch.WORKER = "planted_units"
launch._user_cache = lambda _: (Path(sys.argv[1]), {})
tell = lambda event: print("compiled", flush=True)
launch.precompile(make_model("pose"), backend=BackendName.C, jobs=2, on_event=tell)
"""


def test_children_end_with_a_parent_that_is_killed(tmp_path):
    variables = os.environ | {
        "PLANTED_UNITS": "good endless endless",
        "PYTHONPATH": str(HERE),
        "TMPDIR": str(tmp_path),
    }
    command = [sys.executable, "-c", PARENT, str(tmp_path / "cache")]
    with subprocess.Popen(command, env=variables, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout.readline() == "compiled\n"
        children = psutil.Process(parent.pid).children(recursive=True)
        assert len(children) == 2
        os.kill(parent.pid, signal.SIGKILL)
    _, alive = psutil.wait_procs(children, timeout=LONGEST_SECONDS)
    assert not alive
    until = time.monotonic() + LONGEST_SECONDS
    while list(tmp_path.glob("firstgrad-*")) and time.monotonic() < until:
        pass
    assert not list(tmp_path.glob("*")), "neither a private folder nor a cache"
