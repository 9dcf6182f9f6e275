"""Devices of JAX's: asked for by a case, looked for before anything starts, told in a record; by planted devices."""

from __future__ import annotations

import itertools
import json
import stat
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from builders import firstgrad
from firstgrad.advising.samples import devices_that_pay
from firstgrad.backends import load_backend
from firstgrad.backends.base import Answer, Compiled, DeviceAccess
from firstgrad.case import BackendName
from firstgrad.codec import from_json, to_json
from firstgrad.columns import cells_of, samples_table
from firstgrad.comparing.measuring import _differing
from firstgrad.errors import SpecError
from firstgrad.growth.lines import find_lines, name_lines
from firstgrad.measuring import environment
from firstgrad.measuring.environment import check_devices, is_expected_device
from firstgrad.measuring.private import worker_variables
from firstgrad.measuring.worker import _memory_on, time_on_device
from firstgrad.model import make_model
from firstgrad.record import OnDevice, Record
from firstgrad.show.records import record_parts
from firstgrad.show.result import Facts
from firstgrad.suite import read_suite
from firstgrad.sweep.grid import make_grid
from firstgrad.sweep.plan import Durations
from helpers import make_case, make_environment, make_record

H100 = "cuda, NVIDIA H100"
ON_CUDA = make_case(backend=BackendName.JAX, device="cuda")
USED = OnDevice(
    peak_bytes=3 << 30,
    kept_bytes=1 << 20,
    limit_bytes=60 << 30,
    left_seconds=(1e-3, 2e-3, 9e-3),
    sent_seconds=(1e-4,),
    fetched_seconds=(3e-4,),
    sent_bytes=600,
    fetched_bytes=608,
)


def test_a_device_is_a_part_of_its_case_and_none_changes_no_case():
    plain = make_case(backend=BackendName.JAX)
    assert "device" not in json.loads(to_json(plain))
    assert from_json(to_json(ON_CUDA), type(ON_CUDA)) == ON_CUDA
    assert len({plain.id, ON_CUDA.id, make_case(backend=BackendName.JAX, device="cpu").id}) == 3
    assert "jax on cuda, " in str(ON_CUDA)
    assert "jax, " in str(plain)


@pytest.mark.parametrize(
    ("backend", "device", "said"),
    [
        (BackendName.NUMBA, "cuda", "numba runs on the processor"),
        (BackendName.C, "cpu", "c runs on the processor"),
        (BackendName.JAX, "cuda,cpu", "expected a platform"),
        (BackendName.JAX, "--evil", "expected a platform"),
    ],
)
def test_a_device_without_a_choice_or_a_name_is_wrong_use(backend, device, said):
    with pytest.raises(SpecError, match=f"--device: .*{said}"):
        make_case(backend=backend, device=device)


def test_the_worker_has_it_before_jax_is_imported(tmp_path):
    asked = worker_variables(tmp_path, {"JAX_PLATFORMS": "tpu"}, device="cuda")
    assert (asked["JAX_PLATFORMS"], asked["XLA_PYTHON_CLIENT_PREALLOCATE"]) == ("cuda", "false")
    assert worker_variables(tmp_path, {"JAX_PLATFORMS": "tpu"})["JAX_PLATFORMS"] == "tpu"


@pytest.fixture
def python(tmp_path):
    """Make a Python whose JAX has what a test says, or that fails; it keeps its arguments and variables."""

    def make(answer="", code=0):
        program = tmp_path / f"python{next(numbers)}"
        program.write_text(
            f"#!/bin/sh\nenv >{tmp_path}/variables\necho noise\necho '{answer}'\necho wrong >&2\nexit {code}\n"
        )
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        return program

    numbers = itertools.count()
    return make


def test_a_device_that_is_there_is_good_and_leaves_the_gpu_free(python, tmp_path, monkeypatch):
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    check_devices([ON_CUDA], python('{"cpu": "cpu", "cuda": "NVIDIA H100"}'))
    variables = (tmp_path / "variables").read_text().splitlines()
    assert "XLA_PYTHON_CLIENT_PREALLOCATE=false" in variables
    assert not any(line.startswith("JAX_PLATFORMS") for line in variables), "else JAX would look for no other"


def test_a_device_that_is_not_there_ends_with_what_is(python):
    with pytest.raises(SpecError, match=r"--device: JAX has no 'cuda' here\. There is cpu, tpu \(TPU v5\)\."):
        check_devices([ON_CUDA], python('{"cpu": "cpu", "tpu": "TPU v5"}'))
    with pytest.raises(SpecError, match=r"--device: JAX can't say which devices it has \(wrong\)"):
        check_devices([ON_CUDA], python(code=1))


def test_nobody_is_asked_for_the_processor(python):
    check_devices([make_case(), make_case(backend=BackendName.JAX, device="cpu")], python(code=1))


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (lambda: {"bytes_in_use": 5, "peak_bytes_in_use": 9}, {"bytes_in_use": 5, "peak_bytes_in_use": 9}),
        (lambda: None, {}),
        ([].pop, {}),
    ],
    ids=["a GPU", "the processor", "no statistics"],
)
def test_memory_is_what_jax_tells(monkeypatch, told, expected):
    devices = [SimpleNamespace(memory_stats=told), SimpleNamespace(memory_stats=lambda: {"bytes_in_use": 99})]
    monkeypatch.setattr("firstgrad.backends.find_spec", lambda _: True)
    monkeypatch.setitem(sys.modules, "jax", SimpleNamespace(local_devices=lambda: devices))
    assert load_backend(BackendName.JAX).access().memory() == expected
    assert load_backend(BackendName.FAKE).access() is None


def test_kept_is_what_is_in_use_later_and_the_peak_is_jaxs_own():
    after = {"bytes_in_use": 700, "peak_bytes_in_use": 900, "bytes_limit": 5000}
    access = DeviceAccess(memory=lambda: after, send=len, fetch=len)
    assert _memory_on(access, {"bytes_in_use": 500}) == OnDevice(peak_bytes=900, kept_bytes=200, limit_bytes=5000)
    assert _memory_on(access, {}).kept_bytes is None
    untold = DeviceAccess(memory=dict, send=len, fetch=len)
    assert _memory_on(untold, {}) == OnDevice()


def planted(costs):
    """Make a clock, a compiled function and a device: calls, fetches and sends take what `costs` says."""
    now = [0.0]

    def spend(name, answer):
        now[0] += costs[name]
        return answer

    compiled = Compiled(
        call=lambda _: Answer(np.zeros(2)),
        left=lambda _: spend("left", "result"),
        inputs=lambda point: [point["x"], point["x"]],
    )
    access = DeviceAccess(
        memory=dict,
        send=lambda inputs: spend("send", sum(one.nbytes for one in inputs)),
        fetch=lambda result: spend("fetch", len(result)),
    )
    return (lambda: now[0]), compiled, access


def test_calls_left_on_the_device_and_transfers_are_timed_apart():
    clock, compiled, access = planted({"left": 0.5, "fetch": 0.25, "send": 0.125})
    points = [{"x": np.zeros(3)}]
    used = time_on_device(OnDevice(peak_bytes=7), access, compiled, points, count=4, clock=clock)
    assert used.left_seconds == (0.5,) * 4
    assert used.fetched_seconds == (0.25,) * 4
    assert used.sent_seconds == (0.125,) * 4
    assert (used.sent_bytes, used.fetched_bytes, used.peak_bytes) == (48, 6, 7)
    assert time_on_device(OnDevice(), access, Compiled(call=compiled.call), points, count=4, clock=clock) == OnDevice()


def test_slow_calls_on_a_device_end_early():
    clock, compiled, access = planted({"left": 4.0, "fetch": 4.0, "send": 0.0})
    used = time_on_device(OnDevice(), access, compiled, [{"x": np.zeros(1)}], count=100, clock=clock)
    assert len(used.left_seconds) == len(used.fetched_seconds) == 3


def test_a_record_has_it_in_its_columns_and_its_words():
    record = make_record(case=ON_CUDA, environment=make_environment(device=H100), on_device=USED)
    assert from_json(to_json(record), Record) == record
    cells = cells_of(record)
    assert (cells["asked_device"], cells["device"]) == ("cuda", H100)
    assert (cells["evaluation_on_device"], cells["to_device"], cells["from_device"]) == (2e-3, 1e-4, 3e-4)
    assert (cells["device_peak_memory"], cells["device_kept_memory"]) == (3 << 30, 1 << 20)
    (facts,) = (part for part in record_parts(record) if isinstance(part, Facts))
    told = dict(facts.facts)
    assert told["on the device"] == "2.00 ms a call whose result is left there"
    assert told["device memory"] == "peak 3.00 GiB of 60.0 GiB; retained 1.00 MiB"
    assert "600 B to the device in 100 µs" in told["transfers"]


def test_a_record_without_a_device_says_nothing_of_one():
    record = make_record(case=make_case(backend=BackendName.JAX))
    assert "on_device" not in json.loads(to_json(record))
    cells = cells_of(record)
    assert {cells[name] for name in ("asked_device", "evaluation_on_device", "device_peak_memory")} == {None}
    (facts,) = (part for part in record_parts(record) if isinstance(part, Facts))
    assert not {"on the device", "transfers", "device memory"} & dict(facts.facts).keys()


def test_a_sweep_crosses_jax_alone_with_devices():
    backends = [BackendName.NUMBA, BackendName.JAX]
    grid = make_grid([make_model("a.py:b")], backends=backends, devices=["cpu", "cuda"])
    assert [(case.backend, case.device) for case in grid.cases] == [("numba", ""), ("jax", "cpu"), ("jax", "cuda")]
    with pytest.raises(SpecError, match="--device: is for JAX's backends; numba run"):
        make_grid([make_model("a.py:b")], backends=backends[:1], devices=["cuda"])


def test_a_sample_counts_where_its_case_named_the_device(monkeypatch):
    monkeypatch.delenv("JAX_PLATFORMS", raising=False)
    assert is_expected_device(H100, BackendName.JAX, "cuda")
    assert is_expected_device(H100, BackendName.JAX, "gpu")
    assert not is_expected_device("cpu", BackendName.JAX, "cuda")
    assert not is_expected_device(H100, BackendName.JAX)
    on_h100 = cells_of(
        make_record(case=ON_CUDA, environment=make_environment(device=H100), time_to_first_gradient_seconds=9.0)
    )
    durations = Durations([on_h100])
    assert durations.of(ON_CUDA) is not None
    assert durations.of(make_case(backend=BackendName.JAX)) is None, "the processor takes another time"


def test_samples_of_two_devices_are_two_lines_of_growth():
    model = [make_model("a.py:b", {"n": size}) for size in (1, 2)]
    records = [
        make_record(case=make_case(backend=BackendName.JAX, model=one), environment=make_environment(device=device))
        for one in model
        for device in ("cpu", H100)
    ]
    lines = find_lines(samples_table(records), "n")
    assert [line.device for line in lines] == ["cpu", H100]
    common, names = name_lines(lines)
    assert "on cuda" not in common
    assert names == ("jax, cold", f"on {H100}")


def test_sides_that_ask_for_two_devices_compare_them():
    cpu = make_case(backend=BackendName.JAX, device="cpu")
    assert _differing([None, None], [(cpu, ON_CUDA)]) == {"device"}
    assert _differing([None, None], [(cpu, cpu)]) == frozenset()


def test_firstgrads_own_way_sends_a_flat_vector_and_leaves_the_result(monkeypatch):
    backend = load_backend(BackendName.JAX_DIRECT)
    monkeypatch.setattr(backend, "wait", lambda result: ("waited for", result))
    held = {"k": np.array(0)}
    gradient = SimpleNamespace(
        flatten=lambda point: np.array([point["x"], 2.0]),
        function=lambda vector, *values: (vector.sum(), values),
        set_extra_values=lambda point: held.update(k=point["k"]),
        get_extra_values=lambda: dict(held),
        kept="loaded",
    )
    compiled = backend._compiled_of(gradient, SimpleNamespace())
    assert compiled.left({"x": 1.0, "k": 5}) == ("waited for", (3.0, (5,)))
    assert compiled.inputs({"x": 1.0}).tolist() == [1.0, 2.0]
    assert compiled.kept == "loaded"


def test_a_suite_file_names_devices(tmp_path):
    (tmp_path / "firstgrad.toml").write_text('models = ["pose"]\nbackends = ["c", "jax"]\ndevices = ["cpu", "cuda"]\n')
    cases = read_suite(tmp_path / "firstgrad.toml").grid().cases
    assert [(case.backend, case.device) for case in cases] == [("c", ""), ("jax", "cpu"), ("jax", "cuda")]


def measured_at(sizes, devices, costs, **fields):
    """Samples of a user's model at some sizes: `costs` gives first gradient and call, by device and size."""
    return [
        cells_of(
            make_record(
                case=make_case(backend=BackendName.JAX, model=make_model("a.py:b", {"n": size, "deep": True})),
                environment=make_environment(device=device),
                time_to_first_gradient_seconds=part * costs[device](size)[0],
                evaluation_seconds=(part * costs[device](size)[1],) * 3,
                **fields,
            )
        )
        for size in sizes
        for device in devices
        for part in (0.9, 1.0, 1.3)
    ]


COSTS = {"cpu": lambda n: (1.0, 1e-6 * n), H100: lambda n: (2.5, 5e-4 + 1e-8 * n)}


def test_advice_says_from_which_size_on_a_device_pays():
    samples = measured_at([10, 1000, 100, 10_000], COSTS, COSTS)
    assert list(devices_that_pay(samples, "a.py:b")) == [
        f"jax on {H100}: a call takes less than on the processor from n=1000 on, which pays there after 3,062 "
        "evaluations (measured: n=10, 100, 1000, 10000)."
    ]
    (small,) = devices_that_pay(measured_at([10, 100], COSTS, COSTS), "a.py:b")
    assert (
        small == f"jax on {H100}: at the largest size a call takes no less than on the processor (measured: n=10, 100)."
    )
    sooner = COSTS | {H100: lambda _: (0.5, 5e-7)}
    (always,) = devices_that_pay(measured_at([10, 100], COSTS, sooner), "a.py:b")
    assert "from n=10 on, which pays there from the first gradient on" in always


def test_advice_says_nothing_of_devices_without_numbers_of_both():
    assert not list(devices_that_pay(measured_at([10, 1000], ["cpu"], COSTS), "a.py:b"))
    apart = [*measured_at([10, 100], ["cpu"], COSTS), *measured_at([100, 1000], [H100], COSTS)]
    assert not list(devices_that_pay(apart, "a.py:b")), "one size in common tells no growth"
    samples = measured_at([10, 1000], COSTS, COSTS)
    assert not list(devices_that_pay(samples, "another.py:b"))
    failed = [one | {"reason": "failed"} for one in samples]
    assert not list(devices_that_pay(failed, "a.py:b"))


def test_a_device_that_is_not_here_is_blamed_on_who_asks_for_it(tmp_path, monkeypatch):
    monkeypatch.setattr(environment, "_list_devices", lambda *_: {"cpu": "cpu"})
    monkeypatch.chdir(tmp_path)
    (tmp_path / "firstgrad.toml").write_text('models = ["pose"]\nbackends = ["jax"]\ndevices = ["cuda"]\n')
    for verb in (("measure", "suite"), ("sweep", "suite"), ("compare", ".", ".", "suite")):
        ended = firstgrad(*verb)
        assert (ended.code, ended.err.count("firstgrad.toml, devices: JAX has no 'cuda' here")) == (2, 1)
        assert "--device: JAX has no 'rocm' here" in firstgrad(*verb, "--device", "rocm").err
