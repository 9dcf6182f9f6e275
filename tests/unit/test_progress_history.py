"""Former runs: kept in a bounded file, and what they say of the remaining time."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import make_case, make_environment, make_record, store_of
from firstgrad.case import BackendName, Scenario
from firstgrad.progress import history
from firstgrad.progress.history import (
    RUNS_OF_ONE,
    FormerRun,
    History,
    default_path,
    expect,
    measured_runs,
    model_key,
    place_key,
)
from firstgrad.record import Counts, Status

COLD = FormerRun(key="m", seconds=196.0, backend="numba", compiled=606, is_cache_first=False)
WARM = FormerRun(key="m", seconds=8.0, backend="numba", compiled=3, is_cache_first=True)


def test_what_was_added_is_read_back(tmp_path):
    kept = History(tmp_path / "below" / "compiles.jsonl")
    kept.add(COLD)
    kept.add(FormerRun(key="other", seconds=1.0))
    kept.add(WARM)
    assert kept.runs("m") == (COLD, WARM)


def test_only_the_newest_runs_of_a_model_count(tmp_path):
    kept = History(tmp_path / "h")
    for seconds in range(RUNS_OF_ONE + 5):
        kept.add(FormerRun(key="m", seconds=float(seconds)))
    assert [run.seconds for run in kept.runs("m")] == [float(each) for each in range(5, RUNS_OF_ONE + 5)]


def test_the_file_stays_small(tmp_path, monkeypatch):
    monkeypatch.setattr(history, "MAX_RUNS", 10)
    kept = History(tmp_path / "h")
    for seconds in range(50):
        kept.add(FormerRun(key="m", seconds=float(seconds)))
    assert len((tmp_path / "h").read_text().splitlines()) <= 10
    assert kept.runs("m")[-1].seconds == 49.0
    assert [path.name for path in tmp_path.iterdir()] == ["h"]


def test_damaged_lines_are_passed_over(tmp_path):
    kept = History(tmp_path / "h")
    kept.add(COLD)
    with (tmp_path / "h").open("a") as file:
        file.write('{"key": "m"}\nnonsense\n[1]\n\xff\n{"key": "m", "seconds": "soon", "backend": "", "compiled": 1}\n')
    kept.add(WARM)
    assert kept.runs("m") == (COLD, WARM)


@pytest.mark.parametrize("number", ["Infinity", "1e999", "NaN"])
@pytest.mark.parametrize("field", ["seconds", "compiled"])
def test_numbers_without_an_end_are_passed_over(tmp_path, field, number):
    fields = {"key": "m", "seconds": 3, "backend": "", "compiled": 3, "is_cache_first": None, field: "NUMBER"}
    (tmp_path / "h").write_text(json.dumps(fields).replace('"NUMBER"', number) + "\n")
    assert History(tmp_path / "h").runs("m") == ()


def test_code_without_a_file_has_no_place_and_a_cell_keeps_its_own_when_its_kernel_is_started_again():
    for file in ("<string>", "<stdin>", "<python-input-0>"):
        assert place_key(file, 1) == ""
    assert place_key("/home/me/fit.py", 1) == "place /home/me/fit.py:1"
    first, second = (place_key(f"/tmp/ipykernel_{pid}/3141592.py", 3) for pid in (41, 4242))  # noqa: S108 - only a name
    assert first == second != place_key("/tmp/ipykernel_41/3141592.py", 4)  # noqa: S108


def test_a_folder_that_cannot_be_written_is_silent(tmp_path):
    (tmp_path / "file").write_text("")
    kept = History(tmp_path / "file" / "compiles.jsonl")
    kept.add(COLD)
    assert kept.runs("m") == ()


def test_the_default_place_follows_the_users_cache_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_path() == tmp_path / "firstgrad" / "compiles.jsonl"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative/does/not/count")
    assert default_path() == Path.home() / ".cache" / "firstgrad" / "compiles.jsonl"


CPU = FormerRun(key="m", seconds=9.0, backend="jax")
GPU = FormerRun(key="m", seconds=30.0, backend="jax", device="cuda, NVIDIA H100")


FORMER_RUNS_TELL_WHAT_IS_LEFT = {
    "nothing without former runs": ([], {}, []),
    "runs that were over by now do not count": ([COLD, WARM], {"elapsed_seconds": 10.0}, [186.0]),
    "none is left": ([WARM], {"elapsed_seconds": 10.0}, []),
    "more units than a warm run had": ([COLD, WARM], {"compiled": 4}, [195.0]),
    "a first unit from the cache": ([COLD, WARM], {"is_cache_first": True}, [7.0]),
    "both while nothing tells them apart": ([COLD, WARM], {}, [7.0, 195.0]),
    "another backend does not count": ([COLD], {"backend": "jax"}, []),
    "its own does": ([COLD], {"backend": "numba"}, [195.0]),
    "a CPU": ([CPU, GPU], {"backend": "jax", "device": "cpu"}, [8.0]),
    "a GPU": ([CPU, GPU], {"backend": "jax", "device": GPU.device}, [29.0]),
    "a CPU tells nothing of a GPU": ([CPU], {"backend": "jax", "device": GPU.device}, []),
    "unlike devices are not put together": ([CPU, GPU], {"backend": "jax"}, []),
    "one device, not yet known": ([CPU], {"backend": "jax"}, [8.0]),
    "unlike devices, backend not known": ([COLD, GPU], {"device": GPU.device}, []),
    "Numba beside a GPU": ([COLD, GPU], {"backend": "numba", "device": GPU.device}, [195.0]),
}


@pytest.mark.parametrize(
    ("runs", "now", "left"), FORMER_RUNS_TELL_WHAT_IS_LEFT.values(), ids=FORMER_RUNS_TELL_WHAT_IS_LEFT
)
def test_former_runs_tell_what_is_left(runs, now, left):
    expected = expect(runs, **{"elapsed_seconds": 1.0} | now)
    if not left:
        assert expected is None
    else:
        assert (expected.low_seconds, expected.high_seconds, expected.runs) == (left[0], left[-1], len(left))
        assert expected.seconds == sum(left) / len(left)


def test_a_line_of_a_release_that_knew_no_devices_ran_on_none_that_is_known(tmp_path):
    line = '{"key": "m", "seconds": 9.0, "backend": "jax", "compiled": 1, "is_cache_first": false}'
    (tmp_path / "h").write_text(f"{line}\n")
    (run,) = History(tmp_path / "h").runs("m")
    assert run.device == ""
    assert expect([run], elapsed_seconds=1.0, backend="jax", device="cpu") is None


@given(
    st.lists(st.floats(0.1, 1e4), min_size=1, max_size=20),
    st.floats(0, 1e4),
)
def test_the_expected_time_lies_between_the_extremes(seconds, elapsed):
    expected = expect([FormerRun(key="m", seconds=each) for each in seconds], elapsed_seconds=elapsed)
    if expected is None:
        assert max(seconds) <= elapsed
    else:
        assert 0 < expected.low_seconds <= expected.seconds <= expected.high_seconds
        assert expected.runs == sum(each > elapsed for each in seconds)


def planted_model(shape=(3,), potentials=0, name="a_log__"):
    var = SimpleNamespace(name=name, type=SimpleNamespace(dtype="float64", shape=shape))
    return SimpleNamespace(value_vars=[var], potentials=[None] * potentials, observed_RVs=[], rvs_to_values={}, name="")


@pytest.mark.parametrize("other", [{"shape": (4,)}, {"potentials": 1}, {"name": "b"}])
def test_models_that_differ_have_different_keys_and_those_of_one_shape_one(other):
    assert model_key(planted_model()) == model_key(planted_model()) != ""
    assert model_key(planted_model()) != model_key(planted_model(**other))
    assert model_key(object()) == ""  # no model


def test_measured_samples_of_the_same_model_count(tmp_path):
    samples = [
        make_record(
            record_id=f"r{seconds}",
            case=make_case(reference, backend=BackendName.NUMBA, scenario=scenario),
            status=status,
            environment=make_environment(device="cuda, NVIDIA H100"),
            time_to_first_gradient_seconds=seconds,
            counts=Counts(groups=1, values=1, compiled_units=12),
        )
        for reference, seconds, status, scenario in (
            ("mine.py:build", 30.0, Status.OK, Scenario.COLD),
            ("mine.py:build", 2.0, Status.FAILED, Scenario.COLD),
            ("mine.py:build", 3.0, Status.OK, Scenario.HOT),
            ("other.py:build", 99.0, Status.OK, Scenario.COLD),
        )
    ]
    (run,) = measured_runs("mine.py:build", store_of(samples, tmp_path / "results.sqlite"))
    assert (run.seconds, run.backend, run.compiled, run.device) == (30.0, "numba", 12, "cuda, NVIDIA H100")


def test_without_a_store_nothing_is_measured(tmp_path):
    assert measured_runs("mine.py:build", tmp_path / "none.sqlite") == ()
    assert list(tmp_path.iterdir()) == []
